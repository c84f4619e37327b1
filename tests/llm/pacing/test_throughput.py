"""More in flight than brings more replies is noticed, and nothing else is taken for it."""

from pipeline.llm.pacing.throughput import ThroughputTable
from pipeline.system.clock import Clock


class Field:
    """A harvest on a clock that the test moves."""

    def __init__(self) -> None:
        self.at = 0.0
        self.harvest = ThroughputTable(Clock(now=lambda: self.at))

    def sees(self, in_flight: int, seconds: float, replies: int = 64) -> float | None:
        """Take so many replies in; returns the last judgement that was one."""
        found = None
        for _ in range(replies):
            found = self.harvest.saturation(in_flight, seconds) or found
        return found


def test_as_long_as_more_in_flight_bring_more_replies_nothing_is_enough() -> None:
    field = Field()
    assert [field.sees(in_flight, 0.5) for in_flight in (4, 8, 16, 32, 64)] == [None] * 5


def test_where_more_only_wait_for_each_other_the_fewest_that_bring_as_much_are_enough() -> None:
    field = Field()
    for in_flight in (8, 16, 32):
        field.sees(in_flight, 0.5)
    assert field.sees(64, 1.0) == 32


def test_where_more_bring_less_a_few_replies_are_enough_to_see_it() -> None:
    field = Field()
    field.sees(8, 0.5)
    field.sees(16, 0.5)
    assert field.sees(32, 2.0, replies=8) == 16


def test_a_few_replies_that_are_a_little_late_are_no_judgement() -> None:
    field = Field()
    field.sees(16, 0.5)
    assert field.sees(32, 1.0, replies=24) is None


def test_replies_that_come_quickly_are_no_burden() -> None:
    field = Field()
    field.sees(8, 0.01)
    assert field.sees(64, 0.2) is None


def test_numbers_close_to_each_other_are_not_compared() -> None:
    field = Field()
    field.sees(38, 0.5)
    assert field.sees(44, 0.9) is None


def test_what_was_seen_long_ago_is_forgotten() -> None:
    field = Field()
    field.sees(16, 0.5)
    field.at += ThroughputTable.FRESH_SECONDS + 1
    assert field.sees(32, 1.0) is None
