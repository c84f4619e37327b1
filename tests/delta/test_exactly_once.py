"""However a run ends on its way to a Delta table, and whoever else writes there: each row is appended once."""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
import pyarrow as pa
import pytest
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake

from pipeline.errors import InterruptedRunError, LockedError
from pipeline.outputs.delta import append as module
from pipeline.outputs.delta.append import APPLICATION, Appending
from pipeline.outputs.delta.changes import Changes
from pipeline.outputs.delta.columns import BATCH, compared
from pipeline.outputs.delta.intent import Append
from tests.delta import killed
from tests.delta.killed import MOMENTS
from tests.delta.tables import table, written
from tests.faultserver.server import FaultServer
from tests.jobs import JobFiles, asked, environment, last_line, right_label, texts

SCHEMA = pa.schema([("id", pa.int64()), ("label", pa.string()), (BATCH, pa.int64())])


@pytest.fixture
def lake(job: JobFiles) -> Path:
    folder = job.folder / "lake"
    written(folder, table(texts(20)))
    job.set(input={"path": "lake"}, output={"path": "labels", "format": "delta", "columns": {"only": ["id"]}})
    return folder


def kill(job: JobFiles, moment: str) -> None:
    command = [sys.executable, killed.__file__, moment, "run", str(job.config_file())]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr


def rows(job: JobFiles) -> pl.DataFrame:
    return pl.read_delta(str(job.folder / "labels")).sort("id", BATCH)


@pytest.mark.slow
@pytest.mark.parametrize("night", ["the first", "another"])
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_run_that_was_killed_appends_its_rows_once(
    job: JobFiles, lake: Path, server: FaultServer, moment: str, night: str
) -> None:
    earlier = 0
    if night == "another":
        assert job.run().returncode == 0
        written(lake, table(texts(5, start=20), start=20), mode="append")
        earlier = 1
    kill(job, moment)
    done = job.run()
    assert done.returncode == 0, done.stderr
    found = rows(job)
    count = 25 if earlier else 20
    assert found.select("id", "label").rows() == [
        (n, right_label(text)) for n, text in enumerate(texts(count))
    ]
    assert found[BATCH].to_list() == [1] * 20 + [2] * (count - 20)
    assert len(asked(server)) == count
    before = DeltaTable(job.folder / "labels").version()
    assert last_line(job.run())["requests"] == 0
    assert DeltaTable(job.folder / "labels").version() == before == earlier


@pytest.mark.slow
def test_a_run_that_was_killed_after_its_commit_does_not_undo_a_later_one(job: JobFiles, lake: Path) -> None:
    kill(job, "after the commit")
    DeltaTable(lake).update({"text": "'another text'"}, predicate="id = 7")
    job.set(state={"dir": "state of another machine"})
    assert job.run().returncode == 0
    job.set(state={"dir": "state"})
    assert job.run("--set", "input.version=0").returncode == 0
    assert rows(job).filter(id=7).select("label", BATCH).rows() == [
        (right_label(texts(20)[7]), 1),
        (right_label("another text"), 2),
    ]


@pytest.mark.slow
def test_of_two_runs_at_once_one_appends_and_the_other_is_told(job: JobFiles, lake: Path) -> None:
    with FaultServer(label_for=right_label) as server:
        job.set(model={"base_url": server.base_url}, limits={"max_concurrency": 1})
        first = job.start()
        job.set(state={"dir": "state of another machine"})
        second = job.start()
        ends = sorted((process.communicate()[1], process.returncode) for process in (first, second))
    codes = sorted(code for _, code in ends)
    assert codes in ([0, 75], [0, 0]), ends  # they may have run one after the other
    assert rows(job)["id"].to_list() == list(range(20))
    assert lake.exists()


def some(labels: list[str], start: int = 0) -> Callable[[], Iterator[pa.Table]]:
    made = pa.table(
        {"id": range(start, start + len(labels)), "label": labels}, schema=pa.schema(list(SCHEMA)[:-1])
    )
    return lambda: iter([made.slice(0, 1), made.slice(1)])


def append(
    place: Path,
    rows: Callable[[], Iterator[pa.Table]],
    owner: str = "me",
    meanwhile: Callable[[], object] = lambda: None,
    before_commit: Callable[[], None] = lambda: None,
) -> None:
    with TemporaryDirectory(dir=place.parent) as folder:
        changes = Changes(Path(folder), 10, ["id"], compared(SCHEMA, ["id"], ""))
        for each in rows():
            changes.add(each)
        who = Append(owner, 0, lambda _: meanwhile())
        Appending(place, SCHEMA, "", rows, who, {}, before_commit).run(changes)


def held(place: Path) -> list[tuple[object, ...]]:
    return pl.read_delta(str(place)).sort(BATCH, "id").rows()


def once(act: Callable[[], object]) -> Callable[[], object]:
    """*act* the first time, and nothing afterwards."""
    left = [act]
    return lambda: left.pop()() if left else None


def test_what_another_writer_has_appended_meanwhile_is_not_appended_again(tmp_path: Path) -> None:
    place = tmp_path / "labels"
    append(place, some(["x"]))
    both = some(["x", "y"])
    append(place, both, "me", once(lambda: append(place, both, "another")))
    assert held(place) == [(0, "x", 1), (1, "y", 2)]


def test_what_another_writer_has_appended_meanwhile_is_not_lost_and_comes_before(tmp_path: Path) -> None:
    place = tmp_path / "labels"
    append(place, some(["x"]))
    append(place, some(["y"]), "me", once(lambda: append(place, some(["z"], 1), "another")))
    assert held(place) == [(0, "x", 1), (1, "z", 2), (0, "y", 3)]


def test_of_two_that_create_the_table_one_does(tmp_path: Path) -> None:
    place = tmp_path / "labels"
    append(place, some(["x"]), "me", once(lambda: append(place, some(["x", "y"]), "another")))
    assert held(place) == [(0, "x", 1), (1, "y", 1)]


def test_writers_that_are_quicker_again_and_again_end_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "labels"
    append(place, some(["x"]))
    monkeypatch.setattr(module, "TRIES", 2)

    def steal() -> None:
        seen = DeltaTable(place).transaction_version(APPLICATION) or 0
        write_deltalake(
            place,
            pa.table({"id": [9], "label": ["q"], BATCH: [seen + 1]}, schema=SCHEMA),
            mode="append",
            commit_properties=CommitProperties(app_transactions=[Transaction(APPLICATION, seen + 1)]),
        )

    with pytest.raises(InterruptedRunError, match="again and again"):
        append(place, some(["y"]), meanwhile=steal)
    assert [row for row in held(place) if row[1] == "y"] == []


def test_a_run_that_lost_its_lock_amid_the_rows_commits_nothing(tmp_path: Path) -> None:
    place = tmp_path / "labels"
    append(place, some(["x"]))
    calls = []

    def lose() -> None:
        calls.append(1)
        if len(calls) == 2:
            raise LockedError("lost")

    with pytest.raises(LockedError, match="lost"):
        append(place, some(["y"]), before_commit=lose)
    assert held(place) == [(0, "x", 1)]
