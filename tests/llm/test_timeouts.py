"""The timeout follows the latency of replies, unless it is configured."""

from pipeline.llm.timeouts import AdaptiveTimeout


def test_the_timeout_is_three_times_the_slowest_of_a_thousand_within_30_and_300_seconds() -> None:
    def learned(seconds: float, fixed: float | None = None) -> float:
        timeout = AdaptiveTimeout(fixed)
        for _ in range(999):
            timeout.learn(0.1)
        assert timeout.seconds == (fixed or 60)
        timeout.learn(seconds)
        return timeout.seconds

    assert [learned(slowest) for slowest in (0.1, 20, 200)] == [30, 60, 300]
    assert learned(20, fixed=5) == 5


def test_from_few_replies_the_timeout_is_ten_times_the_slowest_and_grows_with_them() -> None:
    timeout = AdaptiveTimeout(None)
    seen = []
    for number in range(60):
        seen.append(timeout.seconds)
        timeout.learn(0.5 if number < 20 else 9 if number < 40 else 100)
    assert (set(seen[:20]), seen[20], seen[21], seen[41], timeout.seconds) == ({300}, 60, 90, 300, 300)


def test_a_probe_waits_for_three_times_the_slowest_reply_so_far() -> None:
    timeout = AdaptiveTimeout(None)
    assert timeout.probe_seconds == timeout.seconds == 300
    timeout.learn(0.1)
    assert (timeout.probe_seconds, timeout.seconds) == (30, 300)
    timeout.learn(20)
    assert (timeout.probe_seconds, timeout.seconds) == (60, 300)
