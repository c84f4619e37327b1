"""What comes before what, and how much at once: orders that a kill on this machine cannot show to be wrong."""

import asyncio
import fcntl
import os
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import groupby
from pathlib import Path

import pytest

from pipeline.engine.resolver import Resolver
from pipeline.errors import DiskError, InputDataError
from pipeline.journey import OPEN_CHUNKS
from pipeline.ledger import Ledger, open_store, spill
from pipeline.ledger.store import Store
from pipeline.ledger.writer import COMMIT_ANSWERS, MAX_GATHERED
from pipeline.outputs.columns import KEY
from pipeline.records import Answer, Answers, Prompt
from pipeline.storage import local
from pipeline.system.atomic import write
from pipeline.tasks.parse import Parser
from tests.answers import answer, answers, key, prompt, prompts
from tests.faultserver.server import FaultServer
from tests.jobs import JobFiles, asked, chunk_of, right_label, run_job, texts
from tests.llm.scripted import Call, Case, Sent, failed, limits, said
from tests.llm.scripted import prompt as scripted_prompt
from tests.llm.virtual_time import in_virtual_time, now


def name_of(handle: int) -> str:
    return Path(f"/proc/self/fd/{handle}").readlink().name


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The names of what is synced, and `<renamed>`, in their order."""
    steps: list[str] = []
    real_sync, real_exchange, real_rename = os.fsync, local.exchange, os.rename

    def sync(handle: int) -> None:
        real_sync(handle)
        steps.append(name_of(handle))

    def exchange(new: Path, old: Path) -> None:
        real_exchange(new, old)
        steps.append("<renamed>")

    def rename(old: str, new: str, **more: int) -> None:
        real_rename(old, new, **more)
        steps.append("<renamed>")

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(os, "rename", rename)
    monkeypatch.setattr(local, "exchange", exchange)
    return steps


def deep_job(job: JobFiles, rows: list[str]) -> JobFiles:
    (job.folder / "in" / "deep" / "er").mkdir(parents=True, exist_ok=True)
    job.table(rows, "in/deep/er/a.parquet")
    return job.set(input={"path": "in/**/*.parquet"}, output={"path": "out/days"})


@pytest.mark.parametrize("night", [1, 2])
async def test_a_folder_and_all_in_it_is_synced_before_it_appears_and_its_parent_after(
    job: JobFiles, synced: list[str], night: int
) -> None:
    for number in range(night):
        synced.clear()
        await run_job(deep_job(job, texts(20, number)).config())
    temporary = f".{os.getpid()}.tmp"
    at = synced.index("<renamed>")
    before, after = synced[:at], synced[at:]
    assert {f".days{temporary}", "deep", "er", "a.parquet"} <= set(before)
    assert after.index("out") < after.index(f".run.json{temporary}")


async def test_an_input_that_changes_while_the_output_is_written_keeps_it_from_appearing(
    job: JobFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    job.table(texts(20))
    sync = os.fsync

    def then_changed(handle: int) -> None:
        sync(handle)
        if name_of(handle).startswith(".labelled.parquet"):
            os.utime(job.folder / "in.parquet")

    monkeypatch.setattr(os, "fsync", then_changed)
    with pytest.raises(InputDataError, match="changed while") as caught:
        await run_job(job.config())
    assert caught.value.exit_status == 65
    assert list(job.output.parent.iterdir()) == []


async def test_an_input_that_changes_while_it_is_labelled_is_noticed(tmp_path: Path) -> None:
    def label(text: str) -> str:
        os.utime(tmp_path / "in.parquet")
        return right_label(text)

    with FaultServer(label_for=label) as server:
        job = JobFiles(tmp_path, server.base_url)
        job.table(texts(20))
        with pytest.raises(InputDataError, match="changed while"):
            await run_job(job.config())
    assert not job.output.exists()


async def opened_files(job: JobFiles, server: FaultServer, expected: int, *, fills_chunk: bool) -> set[int]:
    """Which of 12 files are asked about if of each one row is never answered, so that its chunk stays open."""
    files, size = 12, 20
    rows = texts(files * size)
    (job.folder / "in").mkdir()
    for number in range(files):
        some = rows[number * size : (number + 1) * size]
        job.table(chunk_of(some) if fills_chunk else some, f"in/{number:02}.parquet")
    job.set(input={"path": "in"}, output={"path": "out"}, limits={"drain": "0.1s"})
    last = set(rows[size - 1 :: size])
    server.when(last.__contains__, "hang")
    running = asyncio.create_task(run_job(job.config()))
    while len(asked(server)) < expected * size - expected:  # noqa: ASYNC110 - the server is in another thread
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.3)
    seen = {rows.index(text) // size for text in asked(server)}
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    return seen


async def test_only_so_many_chunks_are_open_at_once(job: JobFiles, server: FaultServer) -> None:
    assert await opened_files(job, server, OPEN_CHUNKS, fills_chunk=True) == set(range(OPEN_CHUNKS))


async def test_small_files_are_open_together(job: JobFiles, server: FaultServer) -> None:
    assert await opened_files(job, server, 12, fills_chunk=False) == set(range(12))


def test_when_the_run_must_end_nobody_sends_again_however_late_it_is_told(tmp_path: Path) -> None:
    """With 64 requests in flight the account is empty; the run hears of it a little later."""
    spent = False

    def behave(call: Call) -> Sent:
        nonlocal spent
        spent = spent or call.text == "row 2000"
        return failed(402, "no credits", seconds=0.01) if spent else said()

    async def main() -> tuple[float, float]:
        case = Case(limits(tmp_path), behave)
        await case.dispatcher.start()
        for number in range(5000):
            case.dispatcher.ask(scripted_prompt(f"row {number}"))
        while not case.stopped:  # noqa: ASYNC110 - in virtual time
            await asyncio.sleep(0.001)
        told_at = now()
        await asyncio.sleep(5)
        await case.dispatcher.drain(0)
        return told_at, max(case.times)

    told_at, last = in_virtual_time(main())
    assert last <= told_at


def test_a_second_signal_does_not_wait_for_what_is_in_flight(tmp_path: Path) -> None:
    with FaultServer() as server:
        job = JobFiles(tmp_path, server.base_url)
        job.table(texts(5))
        job.set(limits={"drain": "10m", "request_timeout": "10m"})
        server.when(lambda _: True, "hang")
        process = job.start("--quiet")
        while not asked(server) and not server.in_flight:
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        is_waiting = process.poll() is None
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    assert (is_waiting, process.returncode) == (True, 75)


class Late(Ledger):
    """A ledger in which an answer becomes durable right after it was looked up in vain."""

    async def look_up(self, keys) -> Answers:
        found = await super().look_up(keys)
        if self.arriving:
            each = self.arriving.pop()
            await self.append(each)
            await self.flush()
        return found

    arriving: list[Answer] = []  # noqa: RUF012 - of the one test


class Model:
    """Stands for the dispatcher; keeps what it is asked."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []

    async def open(self, _: Sequence[bytes]) -> "Model":
        return self

    def ask(self, prompt: Prompt, *_: Answer | None) -> None:
        self.asked.append(prompt.key)


async def test_no_answer_slips_in_between_look_up_and_claim(tmp_path: Path, job: JobFiles) -> None:
    job.table(["text"])
    model = Model()
    resolver = Resolver(Parser(job.config().task), "run-1", retry=(), open_asker=model.open)  # type: ignore[arg-type]
    async with (
        Late.open(tmp_path, on_durable=resolver.on_durable, on_failure=print) as ledger,
        asyncio.timeout(5),
    ):
        resolver.ledger = ledger
        same = prompts(prompt(1))
        first = asyncio.create_task(resolver.resolve(same))
        while not model.asked:  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0)
        Late.arriving.append(answer(1))
        for answered in (await resolver.resolve(same), await first):
            assert answered.columns()[KEY] == [key(1)]
    assert model.asked == [key(1)]


def test_what_is_spilled_is_synced_while_it_is_locked(
    tmp_path: Path, synced: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    noted, locked = os.fsync, []

    def look(handle: int) -> None:
        noted(handle)
        with open(f"/proc/self/fd/{handle}", "rb") as other:  # noqa: PTH123 - by its number
            locked.append(is_locked(other.fileno()))

    monkeypatch.setattr(os, "fsync", look)
    assert "3 paid answers were saved" in spill.spill(tmp_path / "state", answers(0, 3))
    (file,) = spill.spilled(tmp_path / "state")
    assert synced[0] == file.name
    assert locked[0]


def is_locked(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False


def test_a_spill_that_is_being_written_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    spill.spill(tmp_path / "state", answers(0, 3))
    (file,) = spill.spilled(tmp_path / "state")
    with file.open("rb") as writing:
        fcntl.flock(writing, fcntl.LOCK_EX)
        open_store(tmp_path / "state").close()
        assert file.exists()
    with open_store(tmp_path / "state") as store:
        assert len(store.look_up([key(n) for n in range(3)])) == 3
    assert not file.exists()


async def test_after_a_failure_of_the_disk_nothing_more_is_written_to_the_ledger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that has lost what it was to sync may call the next sync a success."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    state = tmp_path / "state"
    durable: list[Answer] = []
    with pytest.raises(DiskError, match="2 paid answers were saved"):  # noqa: PT012 - leaving is what raises
        async with Ledger.open(state, on_durable=durable.extend, on_failure=list) as ledger:
            with closing(sqlite3.connect(state / "ledger.sqlite", isolation_level=None)) as disk:
                disk.execute("ALTER TABLE answers RENAME TO away")  # stands for a disk that fails
                await ledger.append(answer(1))
                await ledger.flush()
                disk.execute("ALTER TABLE away RENAME TO answers")  # it seems to be well again
                await ledger.append(answer(2))
                await ledger.flush()
    assert durable == []
    with open_store(state) as store:
        assert len(store.look_up([key(1), key(2)])) == 2


def test_a_rebuilt_ledger_is_on_the_disk_before_it_gets_its_name_and_the_name_after_it(
    tmp_path: Path, synced: list[str]
) -> None:
    with Store(tmp_path / "ledger.sqlite") as store:
        store.append(answers(0, 50))
    with (tmp_path / "ledger.sqlite").open("r+b") as file:
        file.write(b"x" * 100)
    synced.clear()
    with Store(tmp_path / "ledger.sqlite") as store:
        assert len(store.look_up([key(n) for n in range(50)])) == 50
    assert [step for step, _ in groupby(synced)] == [
        "ledger.sqlite.rebuilding", "<renamed>", tmp_path.name,  # it is complete
        "<renamed>", tmp_path.name,  # the damaged one is aside
        "<renamed>", tmp_path.name,  # the new one is there
    ]  # fmt: skip


@pytest.mark.parametrize("sets", [1, 2])
def test_the_newest_answer_of_a_key_counts(tmp_path: Path, sets: int) -> None:
    some = [answer(1, text="old"), answer(2), answer(1, text="new")]
    with Store(tmp_path / "ledger.sqlite") as store:
        for group in [some] if sets == 1 else [some[:2], some[2:]]:
            store.append(group)
            store.look_up([key(2)])
        assert store.look_up([key(1)])[key(1)].text == "new"


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_permissions_are_those_asked_for_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        write(tmp_path / "own", b"1")
        write(tmp_path / "open", b"1", mode=0o644)
    finally:
        os.umask(before)
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("own", "open")] == [0o600, 0o644]


async def test_whoever_hands_answers_over_waits_for_a_slow_disk(tmp_path: Path) -> None:
    async with Ledger.open(tmp_path, on_durable=list, on_failure=list) as ledger:
        other = sqlite3.connect(tmp_path / "ledger.sqlite", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")  # another run is writing, for long

        async def work() -> None:
            for each in answers(0, 2 * MAX_GATHERED + COMMIT_ANSWERS):
                await ledger.append(each)

        worker = asyncio.create_task(work())
        await asyncio.sleep(0.2)
        is_over = worker.done()
        other.execute("COMMIT")
        other.close()
        await worker
    assert not is_over


def test_a_ledger_is_opened_by_one_process_at_a_time(tmp_path: Path) -> None:
    """SQLite fails where two connections switch a new file to WAL at the same time."""
    handle = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    opening = threading.Thread(target=lambda: open_store(tmp_path).close())
    opening.start()
    opening.join(0.2)
    is_waiting = opening.is_alive()
    os.close(handle)
    opening.join()
    assert is_waiting
