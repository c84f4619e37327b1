"""The checker finds every violation that is planted, and none where there is none."""

import asyncio
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import orjson
import polars as pl
import pyarrow.parquet as pq
import pytest

from pipeline.ledger.schema import BODY
from pipeline.servers.simulator.log import Entry
from tests.faultserver.server import FaultServer
from tests.jobs import LABELS, JobFiles, right_label, run_job, texts
from tests.reliability import checker
from tests.reliability.checker import ENOUGH_KILLS, Witness, violations
from tests.reliability.evidence import files_with, read_ledger

ROWS = 60


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> tuple[JobFiles, list[Entry]]:
    """A job that has ended well, and what the server saw of it."""
    rows: list[str | None] = [*texts(ROWS)]
    rows[7], rows[9] = rows[3], None
    with FaultServer(label_for=right_label) as server:
        job = JobFiles(tmp_path_factory.mktemp("job"), server.base_url)
        job.table(rows)
        asyncio.run(run_job(job.config()))
    return job, server.entries


@pytest.fixture
def job(pristine: tuple[JobFiles, list[Entry]], tmp_path: Path) -> JobFiles:
    """A copy of it, to be spoiled; the ledger as one file."""
    original = pristine[0]
    copy = JobFiles(tmp_path / "copy", original.settings["model"]["base_url"])
    copy.settings = original.settings
    shutil.copytree(original.folder, copy.folder)
    for report in copy.folder.glob("state/runs/*/report.json"):
        facts = {**orjson.loads(report.read_bytes()), "output": str(copy.output)}
        report.write_bytes(orjson.dumps(facts))
    return copy


@pytest.fixture
def entries(pristine: tuple[JobFiles, list[Entry]]) -> list[Entry]:
    """What the server saw, to be spoiled."""
    return list(pristine[1])


def rewrite(job: JobFiles, change: Callable[[pl.DataFrame], pl.DataFrame]) -> None:
    """Change the published output."""
    change(pl.read_parquet(job.output)).write_parquet(job.output)


def execute(job: JobFiles, statement: str) -> None:
    """Change the ledger."""
    with closing(sqlite3.connect(job.folder / "state" / "ledger.sqlite")) as connection:
        connection.execute(statement)
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for left in job.folder.glob("state/ledger.sqlite-*"):
        left.unlink()


def set_cell(name: str, row: int, value: object) -> Callable[[pl.DataFrame], pl.DataFrame]:
    """Return a change of one cell."""

    def change(table: pl.DataFrame) -> pl.DataFrame:
        cells = table[name].to_list()
        cells[row] = value
        return table.with_columns(pl.Series(name, cells, table[name].dtype))

    return change


def other_label(text: str) -> str:
    return LABELS[(LABELS.index(right_label(text)) + 1) % len(LABELS)]


def test_a_job_that_ended_well_has_no_violation(job: JobFiles, entries: list[Entry]) -> None:
    assert violations(job, entries) == []


OUTPUT = {
    "a row lost": (lambda table: table[1:], "exactly once"),
    "a row doubled": (lambda table: pl.concat([table[:1], table]), "exactly once"),
    "two rows swapped": (lambda table: pl.concat([table[1:2], table[:1], table[2:]]), "exactly once"),
    "an input column gone": (lambda table: table.drop("id"), "exactly once"),
    "an input cell changed": (set_cell("id", 11, 4711), "exactly once"),
    "a wrong label": (set_cell("label", 4, other_label(texts(ROWS)[4])), "only known labels"),
    "an unknown label": (set_cell("label", 4, "nonsense"), "only known labels"),
    "no label": (set_cell("label", 4, None), "only known labels"),
    "no status": (set_cell("label_status", 4, "running"), "exactly once"),
    "a failure that is none": (set_cell("label_status", 4, "error"), "output is a function"),
    "another run": (set_cell("label_run", 4, "19990101-000000-0000"), "output is a function"),
    "a first row as duplicate": (set_cell("label_source", 3, "duplicate"), "exactly once"),
    "a duplicate as first row": (set_cell("label_source", 7, "model"), "exactly once"),
    "a token too many": (set_cell("prompt_tokens", 4, 4711), "the books balance"),
    "a duplicate that is billed": (set_cell("completion_tokens", 7, 5), "the books balance"),
    "an empty row that is billed": (set_cell("prompt_tokens", 9, 5), "exactly once"),
}


@pytest.mark.parametrize("planted", OUTPUT)
def test_what_is_wrong_in_the_output_is_found(job: JobFiles, entries: list[Entry], planted: str) -> None:
    change, promise = OUTPUT[planted]
    rewrite(job, change)
    assert any(line.startswith(promise) for line in violations(job, entries)), violations(job, entries)


def set_field(name: str, value: str, number: int) -> str:
    """The statement that gives the answer with the id *number* another *value*, as SQL has it."""
    return f"UPDATE answers SET body = json_set(body, '$[{BODY.index(name)}]', {value}) WHERE id = {number}"


LEDGER = {
    "an answer lost": ("DELETE FROM answers WHERE id = 9", "paid is kept"),
    "another label": (set_field("text", '\'{"label":"none"}\'', 9), "output is a function"),
    "another bill": (set_field("prompt_tokens", "1", 9), "the books balance"),
    "another run": (set_field("run", "'x'", 9), "output is a function"),
}


@pytest.mark.parametrize("planted", LEDGER)
def test_what_is_wrong_in_the_ledger_is_found(job: JobFiles, entries: list[Entry], planted: str) -> None:
    statement, promise = LEDGER[planted]
    execute(job, statement)
    assert any(line.startswith(promise) for line in violations(job, entries)), violations(job, entries)


def test_a_request_that_is_billed_twice_is_found(job: JobFiles, entries: list[Entry]) -> None:
    found = violations(job, [*entries, entries[-1]])
    assert any(line.startswith("never twice") for line in found)
    assert any(line.startswith("the books balance") for line in found)


def test_a_bill_that_nobody_paid_is_found(job: JobFiles, entries: list[Entry]) -> None:
    cheap = [replace(entry, prompt_tokens=0) for entry in entries]
    assert any(line.startswith("the books balance") for line in violations(job, cheap))


def test_a_request_for_a_durable_answer_is_found_in_the_next_execution(
    job: JobFiles, entries: list[Entry]
) -> None:
    log = list(entries)
    witness = Witness(job, lambda: log)
    witness.execution_ended(killed=True)
    log.append(entries[-1])
    witness.execution_ended()
    assert any(line.startswith("never twice") for line in witness.broken)


def test_a_durable_answer_that_goes_or_changes_between_executions_is_found(
    job: JobFiles, entries: list[Entry]
) -> None:
    witness = Witness(job, lambda: entries)
    witness.execution_ended()
    execute(job, set_field("text", "'x'", 5))
    witness.execution_ended()
    assert [line[:12] for line in witness.broken] == ["paid is kept"]
    execute(job, "DELETE FROM answers WHERE id = 6")
    witness.execution_ended()
    assert sum(line.startswith("paid is kept") for line in witness.broken) == 2


@pytest.mark.parametrize(("commit", "promises"), [(10, []), (5, ["paid is kept"])])
def test_kills_that_cost_more_than_what_was_in_flight_and_in_a_commit_are_found(
    job: JobFiles, entries: list[Entry], commit: int, promises: list[str]
) -> None:
    job.set(limits={"max_concurrency": 4})
    execute(job, "DELETE FROM answers")
    seen: list[Entry] = []
    witness = Witness(job, lambda: seen, commit=commit)
    for kill in range(ENOUGH_KILLS):
        seen += entries[10 * kill : 10 * kill + 10]
        witness.execution_ended(killed=True)
    assert [line[:12] for line in witness.verdict() if "half of the kills" in line] == promises


def test_a_kill_that_costs_more_than_the_disk_can_hold_up_is_found(
    job: JobFiles, entries: list[Entry], monkeypatch: pytest.MonkeyPatch
) -> None:
    job.set(limits={"max_concurrency": 4})
    execute(job, "DELETE FROM answers WHERE id > 40")
    for most, promises in ((50, []), (5, ["paid is kept"])):
        monkeypatch.setattr(checker, "MOST", most)
        witness = Witness(job, lambda: entries)
        witness.execution_ended(killed=True)
        assert [line[:12] for line in witness.broken] == promises


LITTER = ("out/.labelled.parquet.77.tmp", "state/runs/x/.run.json.77.tmp", "state/runs/x/parts/r1.arrow")


@pytest.mark.parametrize("name", LITTER)
def test_what_was_left_behind_is_found(job: JobFiles, entries: list[Entry], name: str) -> None:
    file = job.folder / name
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    file.write_bytes(b"")
    file.chmod(0o600)
    assert any(line.startswith("nothing left behind") for line in violations(job, entries))


def test_a_state_that_others_may_read_is_found(job: JobFiles, entries: list[Entry]) -> None:
    (job.folder / "state" / "ledger.sqlite").chmod(0o644)
    assert [line for line in violations(job, entries) if "others may read" in line]


def test_an_output_that_cannot_be_read_is_found(job: JobFiles, entries: list[Entry]) -> None:
    job.output.write_bytes(job.output.read_bytes()[:-20])
    assert ["exactly once: the output cannot be read" in line for line in violations(job, entries)] == [True]


def test_a_report_that_counts_wrongly_is_found(job: JobFiles, entries: list[Entry]) -> None:
    report = next(job.folder.glob("state/runs/*/report.json"))
    report.write_bytes(orjson.dumps({**orjson.loads(report.read_bytes()), "rows": 1}))
    assert any("the report counts" in line for line in violations(job, entries))


def test_a_secret_is_found_in_names_and_in_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"\x00 sk-canary \xff")
    (tmp_path / "sk-canary").touch()
    (tmp_path / "b").write_bytes(b"sk-other")
    assert sorted(path.name for path in files_with("sk-canary", tmp_path)) == ["a", "sk-canary"]


def test_the_ledger_is_read_from_a_copy_so_that_a_crash_stays_as_it_was(job: JobFiles) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in (job.folder / "state").iterdir()}
    assert len(read_ledger(job.folder / "state").newest) == ROWS - 2
    assert {path.name: path.stat().st_mtime_ns for path in (job.folder / "state").iterdir()} == before


def test_the_input_is_compared_whatever_its_metadata(job: JobFiles, entries: list[Entry]) -> None:
    table = pq.read_table(job.output)
    pq.write_table(table.replace_schema_metadata({}), job.output)
    assert violations(job, entries) == []
