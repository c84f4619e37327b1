"""`run --slice` and `assemble`: many processes give the table that one gives, and ask once about each prompt."""

import json
import shutil
from pathlib import Path

import polars as pl
import pytest

from pipeline.config.slices import Slice
from pipeline.job.options import RunOptions
from pipeline.job.prepare import prepare
from pipeline.job.workspace import workspace
from tests.faultserver.server import FaultServer
from tests.jobs import JobFiles, asked, command, last_line, right_label, texts
from tests.slices.compare import but_for_run_ids, distinct, slices, with_duplicates

ROWS = 600
COUNTS = (
    "rows",
    "ok",
    "failed",
    "empty",
    "duplicates",
    "prompt_tokens",
    "completion_tokens",
    "requests",
    "reused",
)


@pytest.mark.parametrize("name", ["in.parquet", "in.csv.gz"])
def test_slices_give_the_table_and_the_figures_of_one_process(
    job: JobFiles, server: FaultServer, tmp_path: Path, name: str
) -> None:
    rows = with_duplicates(ROWS)
    job.table(rows, name)
    job.set(state={"dir": "one"}, output={"path": "one.parquet"})
    one = last_line(job.run())
    expected = job.labelled()
    sent = len(asked(server))
    assert sent == distinct(rows)

    job.set(state={"dir": "cut"}, output={"path": "cut.parquet"})
    slices(job, 3)
    assert len(asked(server)) == 2 * sent
    assert not job.output.exists()
    assembled = command("assemble", str(job.config_file()))
    assert assembled.returncode == 0, assembled.stderr
    assert len(asked(server)) == 2 * sent
    assert but_for_run_ids(job.labelled()).equals(but_for_run_ids(expected))
    assert {name: last_line(assembled)[name] for name in COUNTS} == {name: one[name] for name in COUNTS}
    assert not list((tmp_path / "cut").glob("ledger.sqlite*"))


def test_what_a_slice_says_of_itself_adds_up(job: JobFiles, server: FaultServer) -> None:
    rows = with_duplicates(ROWS)
    job.table(rows)
    said = [last_line(job.run("--slice", f"{index}/3")) for index in range(3)]
    assert sum(each["requests"] for each in said) == distinct(rows) == len(asked(server))
    assert sum(each["rows"] for each in said) == sum(map(bool, rows))
    assert sum(each["prompt_tokens"] for each in said) == sum(e.prompt_tokens for e in server.entries)
    again = last_line(job.run("--slice", "1/3"))
    assert (again["requests"], again["ok"], again["status"]) == (0, said[1]["ok"], "done")


def test_assemble_names_the_slices_that_are_not_finished(job: JobFiles, server: FaultServer) -> None:
    job.table(texts(100))
    slices(job, 4, 1, 2)
    refused = command("assemble", str(job.config_file()))
    assert refused.returncode == 75
    assert "slices 0, 3 of 4: 0/4 has not begun; 3/4 has not begun" in refused.stderr
    assert not job.output.exists()
    slices(job, 4, 0)
    sent = len(asked(server))
    assert "slice 3 of 4" in command("assemble", str(job.config_file())).stderr
    assert len(asked(server)) == sent


def test_an_input_that_has_changed_since_is_told_by_the_answers_that_are_missing(
    job: JobFiles, server: FaultServer
) -> None:
    job.table(texts(50))
    slices(job, 2)
    job.table(texts(51))
    sent = len(asked(server))
    refused = command("assemble", str(job.config_file()))
    assert refused.returncode == 75
    assert "not all rows are answered: run slice" in refused.stderr
    assert len(asked(server)) == sent
    slices(job, 2)
    assert len(asked(server)) == sent + 1
    assert command("assemble", str(job.config_file())).returncode == 0
    assert job.labelled()["label"].to_list() == [right_label(text) for text in texts(51)]


def test_assembling_again_ends_at_once_and_after_a_retry_of_a_slice_publishes_anew(job: JobFiles) -> None:
    job.table(texts(60))
    slices(job, 2)
    config = str(job.config_file())
    first = last_line(command("assemble", config))
    again = last_line(command("assemble", config))
    assert (first["again"], again["again"], again["requests"]) == (False, True, 0)
    assert job.run("--slice", "0/2", "--retry", "ok").returncode == 0
    anew = last_line(command("assemble", config))
    assert not anew["again"]
    assert 0 < anew["requests"] < 60
    assert anew["reused"] == 60 - anew["requests"]


def test_a_lost_slice_is_asked_again_and_no_other(job: JobFiles, server: FaultServer, tmp_path: Path) -> None:
    job.table(texts(200))
    slices(job, 4)
    sent = len(asked(server))
    shutil.rmtree(tmp_path / "state/slices/2-of-4")
    assert "slice 2 of 4" in command("assemble", str(job.config_file())).stderr
    slices(job, 4)
    lost = asked(server)[sent:]
    assert 30 < len(lost) < 70
    assert command("assemble", str(job.config_file())).returncode == 0


def test_another_count_is_refused_and_the_sentence_names_the_command(
    job: JobFiles, server: FaultServer
) -> None:
    job.table(texts(30))
    slices(job, 2)
    sent = len(asked(server))
    refused = job.run("--slice", "0/3")
    assert refused.returncode == 2
    assert "ledger reslice CONFIG 3" in refused.stderr
    whole = job.run()
    assert whole.returncode == 2
    assert "assemble CONFIG" in whole.stderr
    assert "ledger reslice CONFIG 1" in whole.stderr
    assert len(asked(server)) == sent


def test_a_ledger_that_is_not_cut_is_no_slice_of_one(job: JobFiles, server: FaultServer) -> None:
    job.table(texts(10))
    assert job.run().returncode == 0
    refused = job.run("--slice", "0/1")
    assert refused.returncode == 2
    assert "has a ledger that is not cut; run without --slice" in refused.stderr
    assert len(asked(server)) == 10


@pytest.mark.parametrize("name", ["2/2", "3/2", "a/b", "1", "-1/2", "0/0"])
def test_what_is_no_slice_is_refused(job: JobFiles, name: str) -> None:
    job.table(texts(3))
    refused = job.run(f"--slice={name}")
    assert refused.returncode == 2
    assert "0/4" in refused.stderr


def test_a_slice_goes_with_no_choice_of_rows(job: JobFiles) -> None:
    job.table(texts(3))
    assert job.run("--slice", "0/2", "--limit", "2").returncode == 2


@pytest.mark.slow
def test_a_ledger_is_cut_anew_and_back_without_a_request(
    job: JobFiles, server: FaultServer, tmp_path: Path
) -> None:
    rows = with_duplicates(ROWS)
    job.table(rows)
    assert job.run().returncode == 0
    expected, sent = job.labelled(), len(asked(server))
    config = str(job.config_file())
    refused = job.run("--slice", "0/3")
    assert "ledger reslice CONFIG 3" in refused.stderr

    for count in (3, 5, 1, 4):
        cut = command("ledger", "reslice", config, str(count))
        assert last_line(cut) == {"slices": count, "answers": sent}
        assert last_line(command("ledger", "stats", config))["answers"] == sent
        job.output.unlink()
        if count > 1:
            slices(job, count)
        assert command("run" if count == 1 else "assemble", config).returncode == 0
        assert job.labelled().equals(expected)
    assert len(asked(server)) == sent
    assert sorted(path.name for path in (tmp_path / "state/slices").iterdir()) == [
        f"{n}-of-4" for n in range(4)
    ]


def test_other_commands_read_a_ledger_that_is_cut(job: JobFiles, tmp_path: Path) -> None:
    job.table(texts(40))
    slices(job, 2)
    config = str(job.config_file())
    planned = last_line(command("plan", config))
    assert planned["requests"] == 0
    assert command("ledger", "export", config, str(tmp_path / "all.parquet")).returncode == 0
    assert pl.read_parquet(tmp_path / "all.parquet").height == 40
    assert right_label(texts(40)[7]) in command("explain", config, "7").stdout
    runs = json.loads(command("status", config).stdout.splitlines()[-1])["runs"]
    assert [run["status"] for run in runs] == ["published"] * 2
    assert sum(run["rows_done"] for run in runs) == 40
    pruned = command("ledger", "prune", config, "--older-than-days", "0", "--yes")
    assert last_line(pruned)["answers"] == 40


def test_the_run_of_a_slice_keeps_to_its_share_of_the_limits(job: JobFiles) -> None:
    job.table(texts(3))
    config = job.set(limits={"max_cost_usd": 3}).config()
    assert prepare(config, RunOptions(slice="1/3")).config.limits.max_cost_usd == 1
    assert prepare(config).config.limits.max_cost_usd == 3


def test_each_slice_has_its_share_of_the_limits(job: JobFiles) -> None:
    job.table(texts(3))
    limits = job.set(limits={"requests_per_minute": 90, "tokens_per_minute": 1000, "max_concurrency": 8, "max_cost_usd": 3}).config().limits  # fmt: skip
    shares = [limits.divided(Slice(index, 3)) for index in range(3)]
    assert [share.requests_per_minute for share in shares] == [30] * 3
    assert sum(share.max_concurrency for share in shares) == 8
    assert [share.max_cost_usd for share in shares] == [1] * 3
    live = job.set(limits={"shared": "acme"}).config().limits.divided(Slice(0, 3))
    assert (live.requests_per_minute, live.tokens_per_minute) == (90, 1000)


def test_a_slice_is_worked_on_by_one_process_at_a_time(job: JobFiles, tmp_path: Path) -> None:
    job.table(texts(10))
    config = job.config()
    place = workspace(tmp_path / "state/slices/0-of-2", config.output.path)
    with place.locked():
        second = job.run("--slice", "0/2")
        assert second.returncode == 75
        assert job.run("--slice", "1/2").returncode == 0
        refused = command("assemble", str(job.config_file()))
        assert "slice 0 of 2: 0/2 is at work as process" in refused.stderr
        assert command("ledger", "reslice", str(job.config_file()), "1").returncode == 75
