"""The ledger as the event loop sees it: answers become durable in groups, and only then are heard of."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from pipeline.errors import DiskError
from pipeline.ledger import Ledger, open_store
from pipeline.ledger.writer import COMMIT_ANSWERS, COMMIT_SECONDS, MAX_GATHERED
from pipeline.records import Answer
from tests.answers import answer, answers, key


class Listener:
    """Hears what the ledger tells, in groups as it tells them."""

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


def stored(folder: Path) -> int:
    with sqlite3.connect(folder / "ledger.sqlite") as other:
        count = other.execute("SELECT count(*) FROM answers").fetchone()[0]
    other.close()
    return count


async def test_an_answer_is_durable_before_anybody_hears_of_it(tmp_path: Path) -> None:
    seen: list[int] = []
    async with Ledger.open(
        tmp_path, on_durable=lambda group: seen.append(stored(tmp_path) - len(group)), on_failure=print
    ) as ledger:
        for number in range(50):
            await ledger.append(answer(number))
            await asyncio.sleep(0.004)
    assert seen
    assert min(seen) >= 0


async def test_at_a_low_rate_answers_share_a_commit_every_fifty_milliseconds(
    ledger: Ledger, listener: Listener
) -> None:
    loop = asyncio.get_running_loop()
    start = loop.time()
    for number in range(100):
        await ledger.append(answer(number))
        await asyncio.sleep(0.003)
    async with asyncio.timeout(
        20
    ):  # nobody flushes: they become durable by themselves, however slow the disk
        while not listener.groups:  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.005)
    await ledger.flush()
    assert sum(map(len, listener.groups)) == 100
    assert len(listener.groups) <= (loop.time() - start) / 0.05 + 2


async def test_at_a_high_rate_the_next_group_gathers_while_one_is_written(
    ledger: Ledger, listener: Listener
) -> None:
    for number in range(COMMIT_ANSWERS + MAX_GATHERED - 1):
        await ledger.append(answer(number))
    assert listener.groups == []
    await ledger.flush()
    assert [len(group) for group in listener.groups] == [COMMIT_ANSWERS, MAX_GATHERED - 1]


async def test_an_idle_ledger_commits_nothing(ledger: Ledger, listener: Listener) -> None:
    await ledger.append(answer(1))
    await asyncio.sleep(4 * COMMIT_SECONDS)
    assert len(listener.groups) == 1


async def test_workers_wait_while_the_disk_is_far_behind(tmp_path: Path, listener: Listener) -> None:
    async with listener.open(tmp_path) as ledger:
        other = sqlite3.connect(tmp_path / "ledger.sqlite", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")  # another run is writing, for long

        async def work() -> None:
            for each in answers(0, 4 * MAX_GATHERED):
                await ledger.append(each)

        worker = asyncio.create_task(work())
        await asyncio.sleep(0.3)
        assert not worker.done()
        assert len(ledger._committing) + len(ledger._gathering) <= COMMIT_ANSWERS + MAX_GATHERED
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
            ledger._store._connection.execute(
                "ALTER TABLE answers RENAME TO away"
            )  # stands for a disk that fails
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
            ledger._store._connection.execute("DROP TABLE answers")  # stands for a disk that fails
            await ledger.append(answer(1))
            await ledger.flush()
            await ledger.append(answer(2))
    assert len(listener.failures) == 1
    assert listener.groups == []


@pytest.mark.usefixtures("elsewhere")
async def test_answers_that_a_bug_keeps_out_of_the_ledger_are_spilled(
    tmp_path: Path, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:

    def bug(_: Sequence[Answer]) -> None:
        raise RuntimeError("a bug")

    with pytest.raises(DiskError, match="a bug") as caught:  # noqa: PT012 - leaving is what raises
        async with listener.open(tmp_path) as ledger:
            monkeypatch.setattr(ledger._store, "append", bug)
            await ledger.append(answer(1))
    assert "1 paid answer" in str(caught.value)
    assert "saved" in str(caught.value)
    assert listener.groups == []


async def test_a_look_up_tells_only_what_is_durable(ledger: Ledger) -> None:
    await ledger.append(answer(1))
    assert await ledger.look_up([key(1)]) == {}
    await ledger.flush()
    assert await ledger.look_up([key(1), key(2)]) == {key(1): answer(1)}
    assert await ledger.spent("run-1") == 0.25
