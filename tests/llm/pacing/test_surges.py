"""Where the level is low and much is refused all the same, far more is sent for a moment: noise gets no more by it."""

import pytest

from pipeline.llm.pacing.dips import Surges
from pipeline.system.clock import Clock

REPLY_SECONDS = 0.1


class Steps:
    """Surges from a level, on a clock that the test moves."""

    def __init__(self, level: float = 0.02) -> None:
        self.at, self.level, self.bearable = 0.0, level, level
        self.surges = Surges(Clock(now=lambda: self.at, random=lambda: 0.5))

    def went(self, seconds: float, refused: str = "") -> list[tuple[float, float, int]]:
        """Let time pass in which one is sent each second, *refused* (x) or not (.) in turn; return the surges.

        Each is told by its moment, its level, and the requests that it took.
        """
        found, fates = [], refused or "."
        for second in range(1, int(seconds) + 1):
            self.at += 1.0
            self.surges.on_outcome(refused=fates[second % len(fates)] == "x")
            self.surges.plan(self.level, self.bearable, REPLY_SECONDS)
            level, sent = self.surges.level, 0
            while self.surges.level:
                self.surges.on_sent()
                sent += 1
            found += [(self.at, level, sent)] if sent else []
        return found


def test_many_refused_begin_a_surge_which_comes_half_as_often_each_time() -> None:
    at = [at for at, _, _ in Steps().went(400, "x.")]
    assert at[0] <= 15
    assert len(at) >= 4
    for last, here, following in zip(at, at[1:], at[2:], strict=False):
        assert following - here == pytest.approx(2 * (here - last), rel=0.35)


def test_after_a_surge_that_raised_the_level_the_next_comes_as_soon_as_the_first() -> None:
    steps = Steps()
    for _ in range(4):
        assert steps.went(14, "x.")
        steps.level *= 2


@pytest.mark.parametrize("level", [0.001, 0.5, 1.0, 4.0])
def test_a_surge_is_far_more_than_the_level_and_takes_few_requests(level: float) -> None:
    (_, height, sent), *_ = Steps(level).went(60, "x.")
    assert height >= max(2.0, 4 * level)
    assert sent <= 8 + height


def test_where_few_are_refused_or_dips_show_what_is_noise_there_is_no_surge() -> None:
    assert not Steps().went(400, "x.........")
    assert not Steps(level=5.0).went(400, "x.")


def test_a_level_far_below_what_may_well_be_borne_begins_a_surge_without_a_refusal() -> None:
    steps = Steps()
    steps.bearable = 64.0
    at = [at for at, _, _ in steps.went(30)]
    assert at[0] <= 2
    assert 3 <= len(at) <= 7
