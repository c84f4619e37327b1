"""How long to wait after a failure, and when a row is given up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.llm.replies import Failure, FailureKind, Usage
from pipeline.llm.retry import Attempts, Backoff, RetryPolicy
from pipeline.system.clock import Clock

POLICY = RetryPolicy()
chance = st.floats(0, 1, exclude_max=True)


def random_is(value: float) -> Clock:
    """A clock whose random number is always *value*."""
    return Clock(random=lambda: value)


def failed(kind: FailureKind = FailureKind.TRANSIENT, **more: object) -> Failure:
    return Failure(kind, "it failed", **more)


@given(st.floats(60, 86_400), chance)
def test_a_retry_after_is_never_undercut_and_never_stretched_by_more_than_a_tenth(
    seconds: float, value: float
) -> None:
    for kind in (FailureKind.THROTTLED, FailureKind.TRANSIENT):
        waited = POLICY.delay(failed(kind, retry_after=seconds), 3, random_is(value))
        assert seconds <= waited <= seconds * 1.1


@given(st.floats(0, 60), st.integers(1, 20), chance)
def test_a_retry_after_never_shortens_the_own_growing_wait(
    seconds: float, failures: int, value: float
) -> None:
    clock = random_is(value)
    waited = POLICY.delay(failed(retry_after=seconds), failures, clock)
    own = POLICY.delay(failed(), failures, clock)
    assert max(seconds, own) <= waited <= max(seconds * 1.1, own)


@given(st.integers(1, 10_000), chance)
def test_delays_have_full_jitter_below_a_ceiling(failures: int, value: float) -> None:
    ceiling = min(30, 0.5 * 2 ** min(failures - 1, 30))
    assert POLICY.delay(failed(), failures, random_is(value)) == pytest.approx(value * ceiling)


def test_delays_double_up_to_their_ceiling() -> None:
    almost_one = random_is(1.0)
    assert [Backoff(1, 60).after(n, almost_one) for n in range(1, 9)] == [1, 2, 4, 8, 16, 32, 60, 60]


def after(*failures: Failure, others_succeed: bool = True) -> Attempts:
    attempts = Attempts()
    for failure in failures:
        attempts = attempts.after(failure, others_succeed=others_succeed)
    return attempts


def test_only_what_is_the_rows_fault_counts_against_it() -> None:
    assert after(failed()).own_failures == 1
    assert after(failed(), others_succeed=False).own_failures == 0
    for kind in (FailureKind.THROTTLED, FailureKind.UNREACHABLE):
        assert after(failed(kind)) == Attempts(calls=1)
    for kind in (FailureKind.DENIED, FailureKind.QUOTA, FailureKind.CONFIG):
        assert after(failed(kind)) == Attempts(calls=1, denied=1)
    for kind in (FailureKind.ROW, FailureKind.UNSUPPORTED):
        assert after(failed(kind)) == Attempts(calls=1, refused=1, refusal="None  it failed")


def test_garbled_replies_count_and_their_bills_add_up() -> None:
    first, second = (
        failed(FailureKind.GARBLED, usage=Usage(10, 5, 2, 0.1)),
        failed(FailureKind.GARBLED, usage=Usage(10)),
    )
    attempts = after(first, failed(), second, others_succeed=False)
    assert (attempts.calls, attempts.own_failures, attempts.garbled) == (3, 2, 2)
    assert attempts.paid == Usage(20, 5, 2, 0.1)


def exhausted(failure: Failure, attempts: Attempts, *, seconds: float = 0, garbled_share: float = 0) -> bool:
    return POLICY.exhausted(failure, attempts, seconds, garbled_share)


def test_a_row_has_twenty_failures_of_its_own_or_half_an_hour() -> None:
    assert not exhausted(failed(), Attempts(calls=500, own_failures=19))
    assert exhausted(failed(), Attempts(calls=20, own_failures=20))
    assert not exhausted(failed(), Attempts(), seconds=1799)
    assert exhausted(failed(), Attempts(), seconds=1800)


def test_a_row_has_four_garbled_replies_unless_the_endpoint_garbles_those_of_others() -> None:
    garbled = failed(FailureKind.GARBLED)
    assert not exhausted(garbled, Attempts(garbled=3, own_failures=3))
    assert exhausted(garbled, Attempts(garbled=4, own_failures=4))
    assert not exhausted(garbled, Attempts(garbled=4, own_failures=4), garbled_share=0.3)
    assert exhausted(garbled, Attempts(garbled=20, own_failures=20), garbled_share=0.3)
