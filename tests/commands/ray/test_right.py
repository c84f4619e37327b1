"""The right of a worker to send ends by itself; and no lease is used before or after its time, whatever the clocks say."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.commands.ray.quota import Term
from pipeline.commands.ray.right import LIVE_SECONDS, SEND_SECONDS, TAKEN_OVER_SECONDS, Clocks, Right
from pipeline.errors import LockedError

DELAYS = st.lists(st.tuples(st.floats(0, 0.5), st.floats(0, 0.5)), min_size=1, max_size=20)


def test_the_right_counts_from_before_the_question_and_there_is_none_before_the_first_reply() -> None:
    now = [100.0]
    right = Right(Term(0, 1), lambda: now[0])
    with pytest.raises(LockedError):
        right.ensure_held()
    right.renew(99.0)
    right.renew(98.0)  # a late reply to an earlier question
    now[0] = 99.0 + SEND_SECONDS
    right.ensure_held()
    now[0] += 0.1
    with pytest.raises(LockedError):
        right.ensure_held()


def test_a_worker_sends_nothing_and_writes_nothing_any_more_when_another_has_its_slice() -> None:
    assert SEND_SECONDS < LIVE_SECONDS < TAKEN_OVER_SECONDS


@given(offset=st.floats(-1e6, 1e6), delays=DELAYS)
def test_another_clock_is_known_from_both_sides(offset: float, delays: list[tuple[float, float]]) -> None:
    clocks, own = Clocks(), 1_000.0
    for there, back in delays:
        clocks.see(own, own + there - offset, own + there + back)
        own += there + back + 0.01
    theirs = own - offset
    assert clocks.not_after(theirs) - 1e-6 <= own <= clocks.not_before(theirs) + 1e-6
    narrowest = min(there + back for there, back in delays)
    assert clocks.not_before(theirs) - clocks.not_after(theirs) <= narrowest + 0.01


def test_clocks_of_which_one_has_stood_still_are_learned_anew() -> None:
    clocks = Clocks()
    clocks.see(10.0, 10.0, 10.1)
    clocks.see(500.0, 20.0, 500.1)
    assert clocks.not_after(20.0) <= 500.1
    assert clocks.not_before(20.0) >= 500.0
