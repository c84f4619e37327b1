"""An event loop that never waits: where it would sleep, its clock jumps."""

import asyncio
import selectors
from collections.abc import Coroutine
from random import Random
from typing import Any, TypeVar

from pipeline.system.clock import Clock

T = TypeVar("T")

TICK = 1e-9
"""Seconds that each round of the loop takes. Without it, a wait shorter than the clock's resolution never ends."""


class _Jumping(selectors.DefaultSelector):
    """Adds up the time that it was asked to wait, instead of waiting."""

    passed = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        found = super().select(0)
        if not found:
            if timeout is None:
                raise AssertionError("all tasks wait for ever")
            self.passed += timeout
        self.passed += TICK
        return found


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """For code without sockets and threads: a day takes a moment."""

    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.passed

    def stall(self, seconds: float) -> None:
        """Let *seconds* pass in which nothing runs, as while the process is asleep."""
        self._jumping.passed += seconds


def in_virtual_time(work: Coroutine[Any, Any, T]) -> T:
    """Run *work* to its end in a loop of its own that begins at 0 seconds."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(work)


def now() -> float:
    """Seconds on the running loop's clock."""
    return asyncio.get_running_loop().time()


def virtual_clock(seed: int = 0) -> Clock:
    """A clock that follows the running loop, with repeatable randomness."""
    return Clock(now=now, random=Random(seed).random, wall=lambda: 1_700_000_000.0)
