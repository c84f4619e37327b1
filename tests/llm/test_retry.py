"""How long to wait after a failure, and when a row has been tried enough."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.llm.replies import Failure, FailureKind, Usage
from pipeline.llm.retry import Backoff, Policy, Tries
from pipeline.system.clock import Clock

POLICY = Policy()
chance = st.floats(0, 1, exclude_max=True)


def rolling(value: float) -> Clock:
    """A clock whose dice always show *value*."""
    return Clock(random=lambda: value)


def failed(kind: FailureKind = FailureKind.TRANSIENT, **more: object) -> Failure:
    return Failure(kind, "it failed", **more)


@given(st.floats(0, 86_400), chance)
def test_a_retry_after_is_never_undercut_and_never_stretched_by_more_than_a_tenth(
    seconds: float, value: float
) -> None:
    for waited in (
        POLICY.pause(failed(FailureKind.THROTTLED, retry_after=seconds), 3, rolling(value)),
        POLICY.delay(failed(retry_after=seconds), 3, rolling(value)),
    ):
        assert seconds <= waited <= seconds * 1.1


@given(st.integers(1, 10_000), chance)
def test_delays_have_full_jitter_below_a_ceiling(failures: int, value: float) -> None:
    ceiling = min(30, 0.5 * 2 ** min(failures - 1, 30))
    assert POLICY.delay(failed(), failures, rolling(value)) == pytest.approx(value * ceiling)


def test_delays_double_up_to_their_ceiling() -> None:
    almost_one = rolling(1.0)
    assert [Backoff(1, 60).after(n, almost_one) for n in range(1, 9)] == [1, 2, 4, 8, 16, 32, 60, 60]


def test_everybody_waits_between_nothing_and_a_minute_after_a_throttle() -> None:
    assert POLICY.pause(failed(FailureKind.THROTTLED), 0, rolling(1.0)) == 1
    assert POLICY.pause(failed(FailureKind.THROTTLED), 100, rolling(1.0)) == 60


def after(*failures: Failure, others_succeed: bool = True) -> Tries:
    tries = Tries()
    for failure in failures:
        tries = tries.after(failure, others_succeed=others_succeed)
    return tries


def test_only_what_is_the_rows_fault_counts_against_it() -> None:
    assert after(failed()).own == 1
    assert after(failed(), others_succeed=False).own == 0
    for kind in (FailureKind.THROTTLED, FailureKind.UNREACHABLE, FailureKind.DENIED, FailureKind.UNSUPPORTED):
        assert after(failed(kind)) == Tries(calls=1, denied=kind is FailureKind.DENIED)


def test_garbled_replies_count_and_their_bills_add_up() -> None:
    first, second = (
        failed(FailureKind.GARBLED, usage=Usage(10, 5, 2, 0.1)),
        failed(FailureKind.GARBLED, usage=Usage(10)),
    )
    tries = after(first, failed(), second, others_succeed=False)
    assert (tries.calls, tries.own, tries.garbled) == (3, 2, 2)
    assert tries.paid == Usage(20, 5, 2, 0.1)


def enough(failure: Failure, tries: Tries, *, seconds: float = 0, garbled_share: float = 0) -> bool:
    return POLICY.exhausted(failure, tries, seconds, garbled_share)


def test_a_row_has_twenty_failures_of_its_own_or_half_an_hour() -> None:
    assert not enough(failed(), Tries(calls=500, own=19))
    assert enough(failed(), Tries(calls=20, own=20))
    assert not enough(failed(), Tries(), seconds=1799)
    assert enough(failed(), Tries(), seconds=1800)


def test_a_row_has_four_garbled_replies_unless_the_endpoint_garbles_everybodys() -> None:
    garbled = failed(FailureKind.GARBLED)
    assert not enough(garbled, Tries(garbled=3, own=3))
    assert enough(garbled, Tries(garbled=4, own=4))
    assert not enough(garbled, Tries(garbled=4, own=4), garbled_share=0.3)
    assert enough(garbled, Tries(garbled=20, own=20), garbled_share=0.3)
