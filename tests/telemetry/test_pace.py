"""Where a run stands, and how fast it is: of late, and never backwards."""

import pytest

from pipeline.telemetry.pace import Pace, Progress


class Run:
    """A run of 1,000 rows, and the clock that it is measured with."""

    def __init__(self) -> None:
        self.now, self.progress = 0.0, Progress(rows=1000)
        self.pace = Pace(lambda: self.progress, lambda: self.now)

    def at(self, now: float, done: int, *, waiting: bool = False):
        self.now, self.progress = now, Progress(rows=1000, done=done, waiting=waiting)
        return self.pace.look()


@pytest.fixture
def run() -> Run:
    return Run()


def test_nothing_is_said_of_the_pace_before_there_is_one(run: Run) -> None:
    first = run.at(0, 0)
    assert (first.rate, first.left, first.share) == (None, None, 0.0)


def test_the_pace_is_that_of_the_last_seconds_and_not_of_the_whole_run(run: Run) -> None:
    for second in range(60):
        run.at(second, 2 * second)
    quick = run.at(60, 120)
    assert (quick.rate, quick.left) == (2.0, 440.0)
    for second in range(61, 100):
        run.at(second, 120 + 10 * (second - 60))
    assert run.at(100, 520).rate == 10.0


def test_rows_that_were_done_when_the_run_was_continued_are_no_pace(run: Run) -> None:
    run.at(0, 800)
    assert run.at(10, 810).rate == 1.0


def test_what_is_done_never_gets_less(run: Run) -> None:
    run.at(0, 0)
    assert run.at(1, 300).done == 300
    assert run.at(2, 290).done == 300


def test_no_time_is_said_to_be_left_while_the_endpoint_is_away_and_none_is_at_the_end(run: Run) -> None:
    run.at(0, 0)
    assert run.at(10, 100, waiting=True).left is None
    assert run.at(20, 1000).left == 0.0


@pytest.mark.parametrize("second", [5, 500])
def test_the_time_left_is_that_of_the_slower_of_two_models_from_early_on(second: int) -> None:
    run = Run()
    rows, first, share = 10_000, 100, 0.3
    ends = max(rows / first, rows * share / second)
    for now in range(int(ends)):
        answered = min(first * now, rows)
        decided = min(second * now, share * answered)
        unsure = int(share * answered - decided)
        run.now = now
        run.progress = Progress(rows=rows, done=answered - unsure, unsure=unsure, second=int(decided))
        left = run.pace.look().left
        assert now < 20 or left == pytest.approx(ends - now, rel=0.05, abs=2)


def test_no_time_is_said_to_be_left_as_long_as_the_pace_of_the_second_model_is_unknown(run: Run) -> None:
    for now in range(10):
        run.now, run.progress = now, Progress(rows=1000, done=70 * now, unsure=30 * now)
        assert run.pace.look().left is None


def test_a_run_without_rows_is_done() -> None:
    assert Pace(Progress).look().share == 1.0
