"""The ledger as the event loop uses it: answers become durable in groups, and only then are reported."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, closing, suppress
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import DiskError, InterruptedRunError
from pipeline.ledger import Ledger, open_store
from pipeline.ledger.store import Store
from pipeline.ledger.writer import COMMIT_ANSWERS, MAX_GATHERED
from pipeline.records import Answer
from tests.answers import answer, answers, key


class Listener:
    """Keeps what the ledger reports, in groups as it reports them."""

    def __init__(self) -> None:
        self.groups: list[list[Answer]] = []
        self.failures: list[BaseException] = []

    def durable(self, group: Sequence[Answer]) -> None:
        self.groups.append(list(group))

    def open(self, folder: Path):
        return Ledger.open(folder, on_durable=self.durable, on_failure=self.failures.append)


@pytest.fixture
def listener() -> Listener:
    return Listener()


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where to spill to, for this test alone."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "elsewhere"))


@pytest.fixture
async def ledger(tmp_path: Path, listener: Listener) -> AsyncIterator[Ledger]:
    async with listener.open(tmp_path) as opened:
        yield opened


def fail(folder: Path) -> None:
    """Let no more answers be written to the ledger in *folder*, as if its disk failed."""
    with sqlite3.connect(folder / "ledger.sqlite") as other:
        other.execute("ALTER TABLE answers RENAME TO away")
    other.close()


def stored(folder: Path) -> int:
    with sqlite3.connect(folder / "ledger.sqlite") as other:
        count = other.execute("SELECT count(*) FROM answers").fetchone()[0]
    other.close()
    return count


async def test_an_answer_is_durable_before_it_is_reported(tmp_path: Path) -> None:
    seen: list[int] = []
    async with Ledger.open(
        tmp_path, on_durable=lambda group: seen.append(stored(tmp_path) - len(group)), on_failure=print
    ) as ledger:
        for number in range(50):
            await ledger.append(answer(number))
            await asyncio.sleep(0.004)
    assert seen
    assert min(seen) >= 0


@pytest.fixture
async def delays(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """For how many seconds the running loop was asked to call something later."""
    asked: list[float] = []
    loop = asyncio.get_running_loop()
    call_later = loop.call_later

    def noted(delay: float, *arguments: Any, **named: Any) -> asyncio.TimerHandle:
        asked.append(delay)
        return call_later(delay, *arguments, **named)

    monkeypatch.setattr(loop, "call_later", noted)
    return asked


async def test_at_a_low_rate_answers_share_a_commit_after_fifty_milliseconds(
    ledger: Ledger, listener: Listener, delays: list[float]
) -> None:
    for number in range(100):
        await ledger.append(answer(number))
    assert delays == [0.05]
    while not listener.groups:  # noqa: ASYNC110 - nobody flushes: they become durable by themselves
        await asyncio.sleep(0)
    assert [len(group) for group in listener.groups] == [100]


async def test_what_is_appended_at_once_is_committed_at_once(ledger: Ledger, listener: Listener) -> None:
    for number in range(COMMIT_ANSWERS - 1):
        await ledger.append(answer(number))
    await ledger.append(answer(-1), answer(-2))
    await ledger.flush()
    assert [len(group) for group in listener.groups] == [COMMIT_ANSWERS + 1]


async def test_at_a_high_rate_the_next_group_gathers_while_one_is_written(
    ledger: Ledger, listener: Listener
) -> None:
    for number in range(COMMIT_ANSWERS + MAX_GATHERED - 1):
        await ledger.append(answer(number))
    assert listener.groups == []
    await ledger.flush()
    assert [len(group) for group in listener.groups] == [COMMIT_ANSWERS, MAX_GATHERED - 1]


async def test_an_idle_ledger_commits_nothing(
    ledger: Ledger, listener: Listener, delays: list[float]
) -> None:
    await ledger.append(answer(1))
    while not listener.groups:  # noqa: ASYNC110 - there is no event to wait for
        await asyncio.sleep(0)
    for _ in range(100):
        await asyncio.sleep(0)
    assert len(listener.groups) == len(delays) == 1


async def test_workers_wait_while_the_disk_is_far_behind(tmp_path: Path, listener: Listener) -> None:
    async with listener.open(tmp_path) as ledger:
        other = sqlite3.connect(tmp_path / "ledger.sqlite", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")  # another run is writing, for long

        handed: list[Answer] = []

        async def work() -> None:
            for each in answers(0, 4 * MAX_GATHERED):
                handed.append(each)
                await ledger.append(each)

        worker = asyncio.create_task(work())
        for _ in range(100):
            await asyncio.sleep(0)
        assert not worker.done()
        assert len(handed) == COMMIT_ANSWERS + MAX_GATHERED
        other.execute("COMMIT")
        other.close()
        await worker
    assert stored(tmp_path) == 4 * MAX_GATHERED


async def test_leaving_makes_durable_what_is_in_hand(tmp_path: Path, listener: Listener) -> None:
    async with listener.open(tmp_path) as ledger:
        await ledger.append(answer(1))
    assert stored(tmp_path) == 1
    assert listener.groups == [[answer(1)]]


async def test_being_cancelled_twice_loses_no_answer(tmp_path: Path, listener: Listener) -> None:
    handed: list[Answer] = []

    async def hold() -> None:
        async with listener.open(tmp_path) as ledger:
            for each in answers(0, 3000):
                handed.append(each)
                await ledger.append(each)
            await asyncio.sleep(60)

    holding = asyncio.create_task(hold())
    while not listener.groups:  # noqa: ASYNC110 - there is no event to wait for
        await asyncio.sleep(0.001)
    holding.cancel()
    await asyncio.sleep(0)
    holding.cancel()
    with suppress(asyncio.CancelledError):
        await holding
    with open_store(tmp_path) as store:
        assert len(store.look_up([each.key for each in handed])) == len(handed) > COMMIT_ANSWERS


@pytest.mark.usefixtures("elsewhere")
async def test_being_cancelled_twice_on_a_failing_disk_spills_what_is_in_hand(
    tmp_path: Path, listener: Listener
) -> None:
    in_hand = asyncio.Event()

    async def hold() -> None:
        async with listener.open(tmp_path) as ledger:
            fail(tmp_path)
            for each in answers(0, 30):
                await ledger.append(each)
            in_hand.set()
            await asyncio.sleep(60)

    holding = asyncio.create_task(hold())
    await in_hand.wait()
    holding.cancel()
    await asyncio.sleep(0)
    holding.cancel()
    with pytest.raises(DiskError, match="30 paid answers were saved"):
        await holding
    assert listener.groups == []


@pytest.mark.usefixtures("elsewhere")
async def test_an_answer_that_comes_after_the_disk_failed_is_spilled_too(
    tmp_path: Path, listener: Listener
) -> None:
    with pytest.raises(DiskError, match="2 paid answers were saved"):  # noqa: PT012 - leaving is what raises
        async with listener.open(tmp_path) as ledger:
            fail(tmp_path)
            await ledger.append(answer(1))
            await ledger.flush()
            await ledger.append(answer(2))
    assert len(listener.failures) == 1
    assert listener.groups == []


@pytest.mark.usefixtures("elsewhere")
async def test_answers_that_a_bug_keeps_out_of_the_ledger_are_spilled(
    tmp_path: Path, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    def append(*_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(Store, "append", append)
    with pytest.raises(DiskError, match="a bug") as caught:
        async with listener.open(tmp_path) as ledger:
            await ledger.append(answer(1))
    assert "1 paid answer" in str(caught.value)
    assert "saved" in str(caught.value)
    assert listener.groups == []


async def test_a_look_up_finds_only_what_is_durable(ledger: Ledger) -> None:
    await ledger.append(answer(1))
    assert await ledger.look_up([key(1)]) == {}
    await ledger.flush()
    assert await ledger.look_up([key(1), key(2)]) == {key(1): answer(1)}
    assert await ledger.spent("run-1") == 0.25


@pytest.mark.usefixtures("elsewhere")
async def test_a_ledger_that_another_process_has_locked_is_no_broken_disk(
    tmp_path: Path, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.ledger.database.BUSY_SECONDS", 0.05)
    async with AsyncExitStack() as stack:
        ledger = await stack.enter_async_context(listener.open(tmp_path))
        other = stack.enter_context(
            closing(sqlite3.connect(tmp_path / "ledger.sqlite", isolation_level=None))
        )
        other.execute("BEGIN IMMEDIATE")
        await ledger.append(answer(1))
        await ledger.flush()
        other.execute("ROLLBACK")
        closed = stack.pop_all()
    with pytest.raises(InterruptedRunError, match=r"locked by another process.*\n1 paid answers were saved"):
        await closed.aclose()
    assert [type(failure) for failure in listener.failures] == [InterruptedRunError]
    with open_store(tmp_path) as store:
        assert set(store.look_up([key(1)])) == {key(1)}
