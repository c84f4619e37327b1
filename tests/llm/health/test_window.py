"""Only the calls of the last seconds count."""

import asyncio

from pipeline.llm.health.window import SlidingWindow
from tests.llm.virtual_time import in_virtual_time, virtual_clock


def test_calls_are_counted_and_dropped_after_the_windows_length() -> None:
    async def main() -> list[tuple[int, int]]:
        window, found = SlidingWindow(10, virtual_clock()), []
        for replied in (True, False, False):
            window.count(replied=replied)
            found.append((window.replies, window.failures))
            await asyncio.sleep(6)
        window.clear()
        return [*found, (window.replies, window.failures)]

    assert in_virtual_time(main()) == [(1, 0), (1, 1), (0, 2), (0, 0)]


def test_calls_are_forgotten_with_time_though_nothing_more_is_counted() -> None:
    async def main() -> list[tuple[int, int]]:
        window, found = SlidingWindow(10, virtual_clock()), []
        window.count(replied=True)
        window.count(replied=False)
        for _ in range(2):
            found.append((window.replies, window.failures))
            await asyncio.sleep(11)
        return [*found, (window.replies, window.failures)]

    assert in_virtual_time(main()) == [(1, 1), (0, 0), (0, 0)]
