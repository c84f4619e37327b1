"""The input or the task changes, between runs and in the midst of one: old answers stay, wrong rows never come."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pytest

from pipeline.api import load_config
from pipeline.commands.plan.command import plan
from pipeline.config.simulate.latency import Fixed
from pipeline.errors import InputDataError
from pipeline.inputs.read import CHUNK_ROWS
from tests.faultserver.server import FaultServer
from tests.faultserver.settings import FaultServerSettings
from tests.jobs import LABELS, JobFiles, asked, chunk_of, right_label, run_job, texts
from tests.reliability.checker import Witness
from tests.reliability.launcher import Execution, Launcher

NAMES = ["in.parquet", "in.csv"]


def frame(rows: list[str]) -> pl.DataFrame:
    return pl.DataFrame({"id": range(len(rows)), "text": rows})


def written(job: JobFiles, rows: list[str], name: str) -> Path:
    """A file with *rows* beside the input, as whoever replaces the input makes it."""
    before = job.settings["input"]["path"]
    job.table(rows, f"new-{Path(name).name}")
    job.set(input={"path": before})
    return job.folder / f"new-{Path(name).name}"


def replaced(job: JobFiles, name: str, rows: list[str]) -> list[str]:
    """Another file is moved to the input's path; some of its rows are new."""
    rows = [*texts(10, 1000), *rows[10:]]
    written(job, rows, name).replace(job.folder / name)
    return rows


def appended(job: JobFiles, name: str, rows: list[str]) -> list[str]:
    """A CSV is appended to; a Parquet file is written over in its place, with more rows."""
    more = texts(10, 2000)
    new = written(job, [*rows, *more], name)
    if name.endswith(".csv"):
        content = new.read_bytes()[(job.folder / name).stat().st_size :]
        with (job.folder / name).open("ab") as file:
            file.write(content)
    else:
        with (job.folder / name).open("r+b") as file:
            file.write(new.read_bytes())
    new.unlink()
    return [*rows, *more]


def cut(job: JobFiles, name: str, rows: list[str]) -> list[str]:
    """The last rows are cut off, in place."""
    new = written(job, rows[:-10], name)
    with (job.folder / name).open("r+b") as file:
        file.write(new.read_bytes())
        file.truncate()
    new.unlink()
    return rows[:-10]


CHANGES = [replaced, appended, cut]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("change", CHANGES)
async def test_between_runs_only_what_is_new_is_asked_and_the_output_follows(
    job: JobFiles, server: FaultServer, name: str, change: Callable[..., list[str]]
) -> None:
    witness = Witness(job, lambda: server.entries)
    rows = texts(40)
    job.table(rows, name)
    await run_job(job.config())
    witness.execution_ended()
    before = len(asked(server))

    changed = change(job, name, rows)
    result = await run_job(job.config())
    witness.execution_ended()

    assert witness.verdict() == []
    assert sorted(asked(server)[before:]) == sorted(set(changed) - set(rows))
    assert result.rows == len(changed)
    assert job.labelled()["text"].to_list() == changed


@pytest.fixture
def slow_server() -> Iterator[FaultServer]:
    with FaultServer(FaultServerSettings(latency=Fixed(0.03)), label_for=right_label) as server:
        yield server


@pytest.fixture
def slow_job(tmp_path: Path, slow_server: FaultServer) -> JobFiles:
    return JobFiles(tmp_path, slow_server.base_url).set(limits={"max_concurrency": 4})


@pytest.fixture
def start(launcher: Launcher, slow_job: JobFiles) -> Iterator[Callable[[], Execution]]:
    started: list[Execution] = []

    def begin() -> Execution:
        started.append(launcher.start("run", str(slow_job.config_file()), "--quiet"))
        return started[-1]

    yield begin
    for execution in started:
        execution.kill()


def until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.002)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("change", CHANGES)
def test_during_a_run_nothing_is_published_and_the_next_run_is_right(
    slow_job: JobFiles, slow_server: FaultServer, start: Callable[[], Execution], name: str, change: Callable[..., list[str]]
) -> None:  # fmt: skip
    witness = Witness(slow_job, lambda: slow_server.entries)
    rows = texts(40)
    slow_job.table(rows, name)
    execution = start()
    until(lambda: len(asked(slow_server)) >= 10)
    changed = change(slow_job, name, rows)
    ended = execution.wait()
    assert ended.status == 65, ended.err
    assert f"{slow_job.folder / name}: changed while the run was reading it; run again" in ended.err
    assert list(slow_job.output.parent.iterdir()) == []
    before = len(asked(slow_server))
    assert before == len(rows)

    assert start().wait().status == 0
    witness.execution_ended()
    assert witness.verdict() == []
    assert sorted(asked(slow_server)[before:]) == sorted(set(changed) - set(rows))


def parts_of(job: JobFiles) -> list[Path]:
    return sorted((job.folder / "state" / "runs").glob("*/parts/r*.arrow"))


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_parts_of_a_former_input_never_get_into_the_output(
    slow_job: JobFiles, slow_server: FaultServer, start: Callable[[], Execution], how: signal.Signals
) -> None:
    """The rows of a finished part change places, so that its name and its number of rows stay what they were."""
    witness = Witness(slow_job, lambda: slow_server.entries)
    (slow_job.folder / "in").mkdir()
    for number in range(3):
        slow_job.table(chunk_of(texts(20, number * 20)), f"in/{number}.parquet")
    slow_job.set(input={"path": "in"}, output={"path": "out/days"})
    execution = start()
    until(lambda: parts_of(slow_job))
    execution.signal(how)
    assert execution.wait().status == (75 if how is signal.SIGTERM else -9)
    until(lambda: not slow_server.in_flight)
    witness.execution_ended(killed=how is signal.SIGKILL)
    assert parts_of(slow_job)[0].name == f"r{0:015}-{CHUNK_ROWS:015}.arrow"

    slow_job.table(chunk_of(texts(20)[::-1]), "in/0.parquet")
    slow_job.set(input={"path": "in"})
    assert start().wait().status == 0
    witness.execution_ended()
    assert witness.verdict() == []


class ChangesWhilePublishing:
    """Changes the input at the moment in which publishing begins: the labels are there, the rows are read again."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, change: Callable[[], object]) -> None:
        self.done = False
        make = os.mkdir

        def made(path: Path, *arguments: object) -> None:
            make(path, *arguments)
            if "keys" in str(path) and not self.done:
                self.done = True
                change()

        monkeypatch.setattr(os, "mkdir", made)


def reversed_in_place(path: Path, rows: list[str]) -> None:
    frame(rows[::-1]).write_parquet(path)


def reversed_beside(path: Path, rows: list[str]) -> None:
    frame(rows[::-1]).write_parquet(path.with_name(".new"))
    path.with_name(".new").replace(path)


@pytest.mark.parametrize("change", [reversed_in_place, reversed_beside])
async def test_rows_that_change_places_while_they_are_published_are_not_published(
    job: JobFiles, server: FaultServer, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path, list[str]], None]
) -> None:  # fmt: skip
    (job.folder / "in").mkdir()
    for number in range(2):
        job.table(texts(20, number * 20), f"in/{number}.parquet")
    job.set(input={"path": "in"}, output={"path": "out/days"})
    moment = ChangesWhilePublishing(monkeypatch, lambda: change(job.folder / "in/1.parquet", texts(20, 20)))
    with pytest.raises(InputDataError, match=r"in/1\.parquet: .*(changed while|cannot be read)"):
        await run_job(job.config())
    assert moment.done
    assert list(job.output.parent.iterdir()) == []
    witness = Witness(job, lambda: server.entries)
    await run_job(job.config())
    witness.execution_ended()
    assert witness.verdict() == []
    assert len(asked(server)) == 40


async def test_a_csv_that_is_cut_while_it_is_published_is_named(
    job: JobFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    job.table(texts(40), "in.csv")
    moment = ChangesWhilePublishing(monkeypatch, lambda: os.truncate(job.folder / "in.csv", 500))
    with pytest.raises(InputDataError, match=r"in\.csv: "):
        await run_job(job.config())
    assert moment.done
    assert list(job.output.parent.iterdir()) == []


async def test_an_input_that_goes_away_during_the_run_is_named(tmp_path: Path) -> None:
    def label(text: str) -> str:
        if text == texts(1, 5)[0]:
            (tmp_path / "in.parquet").rename(tmp_path / "gone")
        return right_label(text)

    with FaultServer(label_for=label) as server:
        job = JobFiles(tmp_path, server.base_url)
        job.table(texts(20))
        with pytest.raises(InputDataError, match=r"in\.parquet: was there when the run began .*; run again"):
            await run_job(job.config())
    assert not job.output.exists()


# The task.

MORE = [{"name": name, "description": f"about {name}"} for name in (*LABELS, "news")]
LONGEST = 5


def task(**changes: object) -> Callable[[JobFiles], object]:
    return lambda job: job.set(task=changes)


TASKS: dict[str, tuple[Callable[[JobFiles], object], int]] = {
    "a label more": (task(labels=MORE), 30),
    "another description": (task(labels=[*MORE[:4], {"name": "mail", "description": "letters"}]), 30),
    "other instructions": (task(instructions="Choose the best label."), 30),
    "an example": (task(examples=[{"text": "doom", "label": "games"}]), 30),
    "another temperature": (lambda job: job.set(model={"temperature": 0.5}), 30),
    "another model": (lambda job: job.set(model={"name": "another-model"}), 30),
    "texts cut shorter": (task(max_text_tokens=20), LONGEST),
    "another prefix": (lambda job: job.set(output={"columns": {"prefix": "tag_"}}), 0),
    "fewer columns": (lambda job: job.set(output={"columns": {"only": ["id"]}}), 0),
    "another limit": (lambda job: job.set(limits={"max_concurrency": 3}), 0),
    "nothing": (lambda _: None, 0),
}


@pytest.mark.parametrize("name", TASKS)
async def test_after_a_change_of_the_task_only_new_keys_are_sent_and_plan_says_how_many(
    job: JobFiles, server: FaultServer, name: str
) -> None:
    change, expected = TASKS[name]
    rows = [*texts(30 - LONGEST), *(f"long {n} {'and long ' * 50}" for n in range(LONGEST))]
    job.table([*rows, rows[0], None])
    witness = Witness(job, lambda: server.entries, right=None)
    await run_job(job.config())
    witness.execution_ended()
    sent = server.requests

    change(job)
    found = plan(job.config())
    assert (found.requests, found.answered, found.prompts) == (expected, 30 - expected, 30)
    before = len(asked(server))
    assert server.requests == sent  # a plan sends nothing
    result = await run_job(job.config())
    witness.execution_ended()

    assert len(asked(server)) - before == expected == result.requests
    assert witness.broken == []
    prefix = "tag_" if name == "another prefix" else ""
    assert job.labelled()[f"{prefix}label_status"].to_list() == ["ok"] * 31 + ["empty"]


async def test_going_back_to_an_earlier_task_costs_nothing(job: JobFiles, server: FaultServer) -> None:
    job.table(texts(20))
    await run_job(job.config())
    first = job.labelled()
    job.set(task={"instructions": "Choose the best label."})
    await run_job(job.config())
    job.set(task={"instructions": "Choose the label."})
    config = load_config(job.config_file())
    assert plan(config).requests == 0
    assert (await run_job(config)).requests == 0
    assert len(asked(server)) == 40
    assert job.labelled().equals(first)
