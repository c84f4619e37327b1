"""A state that is cut anew while a run begins in it: no key is asked twice, and no folder stays behind."""

import time
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from pipeline.commands.slices import reslice
from pipeline.errors import LockedError, PipelineError, UsageError
from pipeline.inputs.survey import survey
from pipeline.job.options import RunOptions
from pipeline.job.prepare import started
from pipeline.job.state import cutting
from tests.jobs import JobFiles, command, last_line, texts
from tests.slices.compare import slices

Meanwhile = Callable[[Callable[[], object]], None]


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Meanwhile:
    """Has something happen while a run surveys its input, which it does before it takes its lock."""

    def arrange(happens: Callable[[], object]) -> None:
        def surveyed(*given: Any, **named: Any) -> Any:
            monkeypatch.setattr("pipeline.job.prepare.survey", survey)
            happens()
            return survey(*given, **named)

        monkeypatch.setattr("pipeline.job.prepare.survey", surveyed)

    return arrange


def test_a_run_of_all_keys_sees_that_its_state_was_cut_while_it_surveyed(
    job: JobFiles, meanwhile: Meanwhile
) -> None:
    job.table(texts(10))
    assert job.run().returncode == 0
    job.table(texts(20))
    config = job.config()
    meanwhile(lambda: reslice(config, 2))
    with pytest.raises(UsageError, match="is cut into 2 slices"), started(config, RunOptions()):
        pass


@pytest.mark.parametrize("count", [1, 2])
def test_the_run_of_a_slice_sees_that_its_state_was_cut_anew_while_it_surveyed_and_leaves_no_folder(
    job: JobFiles, tmp_path: Path, count: int, meanwhile: Meanwhile
) -> None:
    job.table(texts(20))
    slices(job, 3)
    config = job.config()
    meanwhile(lambda: reslice(config, count))
    with pytest.raises(UsageError, match="ledger reslice CONFIG 3"), started(config, RunOptions(slice="0/3")):
        pass
    assert not (tmp_path / "state/slices/0-of-3").exists()
    assert last_line(command("ledger", "stats", str(job.config_file())))["answers"] == 20


def test_a_slice_that_has_been_moved_meanwhile_is_not_made_again_where_it_was(
    job: JobFiles, tmp_path: Path, meanwhile: Meanwhile
) -> None:
    job.table(texts(20))
    slices(job, 2)
    config, state = job.config(), tmp_path / "state"
    (state / "slices").rename(state / "slices.ready")  # as a `reslice` that was killed leaves it
    meanwhile(lambda: reslice(config, 2))
    with pytest.raises(LockedError, match="run again"), started(config, RunOptions(slice="0/2")):
        pass
    assert not (state / "slices.ready").exists()


@pytest.mark.parametrize("arguments", [[], ["--slice", "0/2"]])
def test_no_run_begins_while_a_ledger_is_being_cut(
    job: JobFiles, tmp_path: Path, arguments: list[str]
) -> None:
    job.table(texts(10))
    assert job.run(*arguments).returncode == 0
    job.table(texts(20))
    with cutting(tmp_path / "state"):
        refused = job.run(*arguments)
        assert refused.returncode == 75
        assert "`ledger reslice` is cutting it" in refused.stderr
        assert command("ledger", "reslice", str(job.config_file()), "2").returncode == 75


def test_runs_that_begin_together_do_not_keep_each_other_out(job: JobFiles) -> None:
    job.table(texts(10))
    config, ended = job.config(), list[PipelineError | None]()

    def begin(index: int) -> None:
        try:
            with started(config, RunOptions(slice=f"{index}/8")):
                time.sleep(0.1)
            ended.append(None)
        except PipelineError as error:
            ended.append(error)

    threads = [Thread(target=begin, args=(index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ended == [None] * 8


def test_to_cut_a_ledger_that_is_not_there_makes_no_folder(job: JobFiles, tmp_path: Path) -> None:
    job.table(texts(3))
    refused = command("ledger", "reslice", str(job.config_file()), "2")
    assert refused.returncode == 66
    assert not (tmp_path / "state").exists()
