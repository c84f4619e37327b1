"""Runs over a Delta table: which version is labelled, however the table changes meanwhile and afterwards."""

import sys
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from deltalake import DeltaTable

from tests.delta.tables import delete_by_vector, table, written
from tests.faultserver.server import FaultServer
from tests.jobs import JobFiles, asked, command, last_line, right_label, texts


@pytest.fixture
def lake(job: JobFiles) -> Path:
    """A table with 20 rows, of which three were deleted; the job reads it."""
    folder = job.folder / "lake"
    written(folder, table(texts(20)), partition_by="half").delete("id IN (3, 4, 5)")
    job.set(input={"path": "lake"}, output={"path": "labelled"})
    return folder


def labels(job: JobFiles) -> dict[int, str]:
    """The label of each id in the output."""
    frame = pl.read_parquet(job.folder / "labelled" / "*.parquet")
    assert frame["label"].to_list() == [right_label(text) for text in frame["text"]]
    return dict(zip(frame["id"], frame["label"], strict=True))


def test_live_rows_are_labelled_and_no_others_are_asked_about(
    job: JobFiles, lake: Path, server: FaultServer
) -> None:
    delete_by_vector(lake, [0])
    done = job.run()
    assert done.returncode == 0, done.stderr
    assert len(labels(job)) == len(asked(server)) == 16
    assert labels(job).keys() < set(range(20)) - {3, 4, 5}


@pytest.mark.parametrize("verb", ["check", "plan"])
def test_what_is_read_is_said_before_a_run(job: JobFiles, lake: Path, verb: str) -> None:
    said = command(verb, str(job.config_file()))
    assert said.returncode == 0
    assert "version 1 of the Delta table" in said.stderr
    assert str(lake) in said.stderr


@pytest.mark.slow
def test_the_next_night_asks_only_about_what_is_new(job: JobFiles, lake: Path, server: FaultServer) -> None:
    assert job.run().returncode == 0
    written(lake, table(texts(2, start=100), start=100), mode="append")
    DeltaTable(lake).optimize.compact()
    server.entries.clear()
    assert last_line(job.run())["reused"] == 17
    assert sorted(asked(server)) == sorted(texts(2, start=100))
    assert len(labels(job)) == 19
    assert last_line(job.run())["requests"] == 0


@pytest.mark.slow
def test_a_version_that_is_chosen_is_labelled_whatever_came_later(job: JobFiles, lake: Path) -> None:
    job.set(input={"version": 0})
    assert job.run().returncode == 0
    assert len(labels(job)) == 20
    assert lake.exists()


class Meanwhile:
    """Knows the right labels, and does something when it is asked for the sixth one."""

    def __init__(self, act: Callable[[], object]) -> None:
        self._act, self._asked = act, 0

    def __call__(self, text: str) -> str:
        self._asked += 1
        if self._asked == 6:
            self._act()
        return right_label(text)


@pytest.mark.slow
def test_a_run_that_was_stopped_goes_on_with_its_version(job: JobFiles, lake: Path) -> None:
    def append() -> None:
        written(lake, table(texts(2, start=100), start=100), mode="append")

    with FaultServer(label_for=Meanwhile(append)) as server:
        job.set(model={"base_url": server.base_url, "price": {"input": 1e6, "output": 1e6}})
        job.set(limits={"max_concurrency": 1, "max_cost_usd": 1000})
        stopped = job.run()
        assert stopped.returncode == 75, stopped.stderr
        begun = len(asked(server))
        job.set(limits={"max_cost_usd": None})
        assert job.run().returncode == 0
        assert 5 < begun < len(asked(server)) == 17
        assert labels(job).keys() == set(range(20)) - {3, 4, 5}
        assert job.run().returncode == 0
        assert labels(job).keys() == {*range(20), 100, 101} - {3, 4, 5}
        assert len(asked(server)) == 19


@pytest.mark.slow
def test_files_that_vacuum_takes_amid_a_run_end_it_and_the_next_one_reads_the_newest(
    job: JobFiles, lake: Path
) -> None:
    def replace_all() -> None:
        made = DeltaTable(lake)
        made.optimize.compact()
        made.vacuum(0, dry_run=False, enforce_retention_duration=False)

    written(lake, table(texts(2, start=100), start=100), mode="append")
    with FaultServer(label_for=Meanwhile(replace_all)) as server:
        job.set(model={"base_url": server.base_url})
        ended = job.run()
        assert (ended.returncode, "cannot be read now" in ended.stderr) == (65, True), ended.stderr
        done = job.run()
        assert done.returncode == 0, done.stderr
        assert "goes on with the newest version" in done.stderr
        assert len(labels(job)) == len(asked(server)) == 19


@pytest.mark.parametrize("verb", ["check", "plan", "run"])
def test_without_the_extra_the_way_to_it_is_said(
    job: JobFiles, lake: Path, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    monkeypatch.setitem(sys.modules, "deltalake", None)
    said = command(verb, str(job.config_file()))
    assert (said.returncode, "pip install 'nano-pipeline[delta]'" in said.stderr) == (78, True), said.stderr
    assert lake.exists()


@pytest.mark.slow
def test_other_commands_know_the_live_rows_only(job: JobFiles, lake: Path) -> None:
    delete_by_vector(lake, [0])
    assert job.run().returncode == 0
    config = str(job.config_file())
    explained = command("explain", config, "0")
    assert explained.returncode == 0, explained.stderr
    assert command("explain", config, "16").returncode != 0
    made = command("init", str(lake), "--to", str(job.folder / "made.yaml"), "--labels", "a,b")
    assert (made.returncode, "for 16 rows" in made.stderr) == (0, True), made.stderr
    assert command("status", config).returncode == 0
    shown = job.run("--limit", "3", "--show")
    assert shown.returncode == 0, shown.stderr


@pytest.mark.slow
def test_once_the_slices_are_published_the_next_night_reads_the_newest_version(
    job: JobFiles, lake: Path
) -> None:
    for part in ("0/2", "1/2"):
        assert job.run("--slice", part).returncode == 0
    assert command("assemble", str(job.config_file())).returncode == 0
    written(lake, table(texts(2, start=100), start=100), mode="append")
    assert last_line(command("plan", str(job.config_file())))["rows"] == 19
    for part in ("0/2", "1/2"):
        assert job.run("--slice", part).returncode == 0
    assert command("assemble", str(job.config_file())).returncode == 0
    assert len(labels(job)) == 19
