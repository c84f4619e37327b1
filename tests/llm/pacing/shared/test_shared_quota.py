"""Several processes use one quota: all of it, and no more, whichever of them dies or stops."""

import asyncio
import math
import os
import signal
import subprocess
import sys
import time
from bisect import bisect_left
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.llm.pacing.shared.file import LEASE_SECONDS as FILE_LEASE
from pipeline.llm.pacing.shared.file import LOCK_SECONDS, FileState
from pipeline.llm.pacing.shared.quota import LATE_SECONDS, REQUESTS, TOKENS, SharedPause, SharedQuota
from pipeline.llm.pacing.shared.redis import LEASE_SECONDS as REDIS_LEASE
from pipeline.system.clock import Clock

RATE = 400
"""Requests a second."""

TAKES = """
import asyncio, sys, time
from pathlib import Path
from pipeline.llm.pacing.shared.file import FileState
from pipeline.llm.pacing.shared.quota import REQUESTS, SharedQuota
from pipeline.llm.pacing.shared.redis import RedisState, is_redis

async def main():
    name = sys.argv[1]
    state = RedisState(name) if is_redis(name) else FileState(Path(name))
    quota = SharedQuota(state, REQUESTS, float(sys.argv[2]) * 60)
    out = open(sys.argv[3], "w", buffering=1)
    while time.monotonic() < float(sys.argv[4]):
        await quota.take(1)
        out.write(f"{time.monotonic()}\\n")

asyncio.run(main())
"""


class Taker:
    """A process that takes as much as it gets."""

    def __init__(self, folder: Path, place: str, number: int, until: float) -> None:
        self.log = folder / f"taken-{number}"
        command = [sys.executable, "-c", TAKES, place, str(RATE), str(self.log), str(until)]
        self.process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(Path.cwd())})

    def taken(self) -> list[float]:
        return [float(line) for line in self.log.read_text().splitlines() if line]


def most_in_a_second(taken: list[float]) -> int:
    return max(bisect_left(taken, at + 1) - number for number, at in enumerate(taken))


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
@pytest.mark.parametrize("by", ["file", "redis"])
def test_four_processes_use_all_of_a_rate_and_no_more_and_the_others_what_one_leaves(
    tmp_path: Path, how: signal.Signals, by: str, request: pytest.FixtureRequest
) -> None:
    place = str(tmp_path / "quota") if by == "file" else request.getfixturevalue("redis_url")
    until = time.monotonic() + 8
    takers = [Taker(tmp_path, place, number, until) for number in range(4)]
    while not all(taker.log.exists() and len(taker.taken()) > 50 for taker in takers):
        time.sleep(0.05)
    begun = time.monotonic()
    time.sleep(2)
    takers[0].process.send_signal(how)
    ended = time.monotonic()
    for taker in takers[1:]:
        assert taker.process.wait() == 0
    takers[0].process.kill()
    takers[0].process.wait()
    taken = sorted(at for taker in takers for at in taker.taken())
    last = taken[-1]
    lease = RATE * (FILE_LEASE if by == "file" else REDIS_LEASE)
    assert most_in_a_second(taken) <= RATE + 1 + lease
    before = bisect_left(taken, ended) - bisect_left(taken, begun)
    after = len(taken) - bisect_left(taken, ended + 0.2)
    # Measured: 99 % on a quiet machine; what a busy one wakes too late is not used.
    assert before >= 0.85 * RATE * (ended - begun)
    assert after >= 0.85 * RATE * (last - ended - 0.2)
    shares = [len(taker.taken()) for taker in takers[1:]]
    assert min(shares) > 0.5 * max(shares)


async def test_what_is_not_used_in_its_time_is_gone(tmp_path: Path) -> None:
    quota = SharedQuota(FileState(tmp_path / "quota"), REQUESTS, 60_000)
    await quota.take(1)
    assert quota.holds(1)
    await asyncio.sleep(0.15)
    assert not quota.holds(1)


async def test_a_large_amount_gets_through_in_its_time(tmp_path: Path) -> None:
    now = 100.0
    state = FileState(tmp_path / "quota", now=lambda: now)
    assert (await state.lease(REQUESTS, 5_000, 1_000)).wait == 0
    assert (await state.lease(REQUESTS, 1, 1_000)).wait == 5


def test_a_pause_is_every_process_s_and_is_never_shortened(tmp_path: Path) -> None:
    one, other = (SharedPause(FileState(tmp_path / "quota"), Clock()) for _ in range(2))
    assert other.seconds_left <= 0
    one.extend(60)
    one.extend(1)
    assert 59 < other.seconds_left <= 60


async def test_the_lowest_rate_that_somebody_still_uses_holds_for_all(tmp_path: Path) -> None:
    now = 1_000.0
    one, other = (FileState(tmp_path / "quota", now=lambda: now) for _ in range(2))
    assert (await one.lease(REQUESTS, 1, 20)).rate == 20
    assert (await other.lease(REQUESTS, 1, 10)).rate == 10
    now += 50
    assert (await one.lease(REQUESTS, 1, 20)).rate == 10  # and this does not keep it in force
    assert (await one.lease(REQUESTS, 1, math.inf)).rate == 10
    now += 20
    assert (await one.lease(REQUESTS, 1, 20)).rate == 20


async def test_who_has_no_rate_keeps_to_that_of_others_and_else_to_none(tmp_path: Path) -> None:
    state = FileState(tmp_path / "quota")
    free = SharedQuota(state, TOKENS, None)
    await free.take(1e9)
    assert free.holds(1e9)
    await state.lease(TOKENS, 10, 100)
    assert (await state.lease(TOKENS, 5, math.inf)).wait > 0


async def test_amounts_count_once_somebody_has_a_rate(tmp_path: Path) -> None:
    state = FileState(tmp_path / "quota")
    free = SharedQuota(state, TOKENS, None)
    assert free.counts  # others may have one
    await free.take(1)
    assert not free.counts
    other = SharedQuota(state, TOKENS, 60_000)
    await other.take(1)
    await asyncio.sleep(FILE_LEASE + LATE_SECONDS)
    await free.take(1)
    assert free.counts
    assert other.counts


async def test_a_file_that_was_removed_is_made_again_and_shared(tmp_path: Path) -> None:
    now = 1_000.0
    one, other = (FileState(tmp_path / "quota", now=lambda: now) for _ in range(2))
    (tmp_path / "quota").unlink()
    assert (await one.lease(REQUESTS, 10, 10)).wait == 0
    assert (await other.lease(REQUESTS, 10, 10)).wait == 1


@pytest.mark.parametrize("content", [b"", b"x" * 64, b"pipeline" + bytes(56)])
async def test_a_file_that_says_nothing_is_a_new_one(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "quota").write_bytes(content)
    assert (await FileState(tmp_path / "quota").lease(REQUESTS, 1, 10)).wait == 0


HOLDS = "import fcntl, sys; f = open(sys.argv[1], 'r+'); fcntl.flock(f, fcntl.LOCK_EX); print('', flush=True); sys.stdin.read()"


@pytest.fixture
def stuck(tmp_path: Path) -> Iterator[FileState]:
    """A quota whose lock a process holds that does not go on."""
    state = FileState(tmp_path / "quota")
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(tmp_path / "quota")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout
        holder.stdout.readline()
        yield state
        holder.kill()


async def test_a_lock_that_nobody_gives_back_is_passed_over(
    stuck: FileState, caplog: pytest.LogCaptureFixture
) -> None:
    assert (await stuck.lease(REQUESTS, 1, 10)).wait == 0
    begun = time.monotonic()
    for _ in range(100):  # it is not waited for again
        await stuck.lease(REQUESTS, 1, 1_000)
    assert time.monotonic() - begun < LOCK_SECONDS
    assert "is locked by a process that does not go on" in caplog.text
