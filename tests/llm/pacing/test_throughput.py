"""Saturation is noticed, and nothing else is taken for it."""

from pipeline.llm.pacing.throughput import ThroughputTable
from pipeline.system.clock import Clock


class Endpoint:
    """Replies to a table on a clock that the test moves."""

    def __init__(self) -> None:
        self.at = 0.0
        self.table = ThroughputTable(Clock(now=lambda: self.at))

    def replies(self, in_flight: int, seconds: float, count: int = 64) -> float | None:
        """Record *count* replies; returns the last saturation that was found."""
        found = None
        for _ in range(count):
            found = self.table.saturation(in_flight, seconds) or found
        return found


def test_while_more_in_flight_bring_more_replies_there_is_no_saturation() -> None:
    endpoint = Endpoint()
    assert [endpoint.replies(in_flight, 0.5) for in_flight in (4, 8, 16, 32, 64)] == [None] * 5


def test_where_more_only_wait_for_each_other_it_saturates_at_the_fewest_that_bring_as_much() -> None:
    endpoint = Endpoint()
    for in_flight in (8, 16, 32):
        endpoint.replies(in_flight, 0.5)
    assert endpoint.replies(64, 1.0) == 32


def test_where_more_bring_less_a_few_replies_show_it() -> None:
    endpoint = Endpoint()
    endpoint.replies(8, 0.5)
    endpoint.replies(16, 0.5)
    assert endpoint.replies(32, 2.0, count=8) == 16


def test_a_few_replies_that_are_a_little_late_show_nothing() -> None:
    endpoint = Endpoint()
    endpoint.replies(16, 0.5)
    assert endpoint.replies(32, 1.0, count=24) is None


def test_quick_replies_are_no_sign_of_load() -> None:
    endpoint = Endpoint()
    endpoint.replies(8, 0.01)
    assert endpoint.replies(64, 0.2) is None


def test_levels_close_to_each_other_are_not_compared() -> None:
    endpoint = Endpoint()
    endpoint.replies(38, 0.5)
    assert endpoint.replies(44, 0.9) is None


def test_old_measurements_are_not_compared_with() -> None:
    endpoint = Endpoint()
    endpoint.replies(16, 0.5)
    endpoint.at += ThroughputTable.FRESH_SECONDS + 1
    assert endpoint.replies(32, 1.0) is None
