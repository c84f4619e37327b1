"""How long calls may take."""

from pipeline.llm.timeouts import AdaptiveTimeout


def test_patience_is_three_times_the_slowest_of_a_thousand_within_30_and_300_seconds() -> None:
    def learned(seconds: float, fixed: float | None = None) -> float:
        patience = AdaptiveTimeout(fixed)
        for _ in range(999):
            patience.learn(0.1)
        assert patience.seconds == (fixed or 300)
        patience.learn(seconds)
        return patience.seconds

    assert [learned(slowest) for slowest in (0.1, 20, 200)] == [30, 60, 300]
    assert learned(20, fixed=5) == 5
