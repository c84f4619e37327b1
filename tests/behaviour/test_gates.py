"""What a gate holds back stays unpublished until a person says so; what a stopped run has can be looked at."""

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.faultserver.server import FaultServer
from tests.jobs import JobFiles, asked, command, last_line, right_label, texts


class Model:
    """A model that is right until it is told to say something else."""

    def __init__(self) -> None:
        self.says: dict[str, str] = {}
        self.always: str | None = None

    def __call__(self, text: str) -> str:
        return self.always or self.says.get(text) or right_label(text)


@pytest.fixture
def model() -> Model:
    return Model()


@pytest.fixture
def server(model: Model) -> Iterator[FaultServer]:
    with FaultServer(label_for=model) as running:
        yield running


@pytest.fixture
def job(tmp_path: Path, server: FaultServer) -> JobFiles:
    files = JobFiles(tmp_path, server.base_url)
    files.table(texts(60))
    return files


def publish(job: JobFiles, *arguments: str) -> tuple[int, dict[str, Any]]:
    done = command("publish", str(job.config_file()), *arguments)
    return done.returncode, last_line(done)


def night(job: JobFiles, *rows: str) -> None:
    """Change the table, as each night does."""
    job.table([*texts(60), *rows])


def test_a_closed_gate_publishes_nothing_and_asks_nothing_again_until_it_is_published_anyway(
    job: JobFiles, model: Model, server: FaultServer
) -> None:
    assert job.set(gates={"failed": "1%"}).run().returncode == 0
    before = job.output.read_bytes()
    night(job, "a new row")
    model.says["a new row"] = "nothing of the kind"
    job.set(gates={"failed": 0})
    first = job.run()
    requests = len(server.entries)
    again = job.run()
    for done in (first, again):
        assert (done.returncode, last_line(done)["status"]) == (76, "held")
        assert "gates.failed: 1 of 61 (1.6 %) rows failed, more than 0" in done.stderr
        assert "job.yaml --anyway" in done.stderr
    assert job.output.read_bytes() == before
    assert publish(job)[0] == 76
    status, result = publish(job, "--anyway")
    assert (status, result["rows"], result["failed"]) == (1, 61, 1)  # limits.max_failed allows 1 %
    assert len(job.labelled()) == 61
    assert len(server.entries) == requests
    assert job.run("--set", "limits.max_failed=5%").returncode == 0
    assert len(server.entries) == requests


def test_labels_that_have_moved_since_the_last_run_close_their_gate(job: JobFiles, model: Model) -> None:
    job.set(gates={"label_shift": 0.1})
    night(job, *texts(400, start=1_000))
    assert job.run().returncode == 0
    night(job, *texts(440, start=1_000))
    assert job.run().returncode == 0
    night(job, *texts(440, start=1_000), *texts(300, start=2_000))
    model.always = "games"
    done = job.run()
    assert done.returncode == 76
    assert "gates.label_shift" in done.stderr
    assert publish(job, "--anyway")[0] == 0


def test_the_right_labels_close_a_gate_though_the_output_does_not_keep_them(job: JobFiles) -> None:
    rows = texts(60)
    gold = [right_label(text) if number % 2 else "sound" for number, text in enumerate(rows)]
    job.table(pl.DataFrame({"text": rows, "gold": gold}))
    job.set(task={"gold": "gold"}, gates={"gold_accuracy": 0.9}, output={"columns": {"only": ["text"]}})
    done = job.run()
    right = sum(label == right_label(text) for label, text in zip(gold, rows, strict=True))
    assert done.returncode == 76
    assert f"gates.gold_accuracy: {right} of 60" in done.stderr
    assert job.run("--set", "gates.gold_accuracy=0.4").returncode == 0
    assert "gold" not in job.labelled().columns


def test_a_model_that_changes_its_mind_closes_the_canarys_gate(
    job: JobFiles, model: Model, server: FaultServer
) -> None:
    job.set(gates={"canary_flips": "5%"}, model={"price": {"input": 1, "output": 2}})
    assert last_line(job.run())["side"] is None  # the first run chooses the rows
    night(job, "a new row")
    second = last_line(job.run())
    assert second["side"]["requests"] == 60
    assert len(asked(server)) == 60 + 61
    night(job, "a new row", "another one")
    model.always = "mail"
    third = job.run()
    assert third.returncode == 76
    assert "rows that were asked anew got another label, more than 5 %" in third.stderr
    sent = len(server.entries)
    status, result = publish(job, "--anyway")
    assert status == 0
    assert result["side"]["cost_usd"] > 0
    assert len(server.entries) == sent
    labels = job.labelled()
    assert labels["label"][:60].to_list() == [right_label(text) for text in texts(60)]  # no row is touched


def test_the_books_balance_with_what_the_canary_has_cost(job: JobFiles, server: FaultServer) -> None:
    job.set(gates={"canary_flips": "5%"})
    job.run()
    night(job, *texts(5, start=500))
    before = len(server.entries)
    result = last_line(job.run())
    billed = sum(entry.prompt_tokens or 0 for entry in server.entries[before:])
    assert result["prompt_tokens"] + result["side"]["prompt_tokens"] == billed
    stats = command("ledger", "stats", str(job.config_file()))
    assert stats.returncode == 0


def test_a_part_of_the_rows_has_no_gates_and_no_canary(job: JobFiles, server: FaultServer) -> None:
    job.set(gates={"failed": 0, "canary_flips": 0, "label_shift": 0.0})
    job.run()
    sent = len(server.entries)
    done = job.run("--limit", "10")
    assert (done.returncode, last_line(done)["side"], len(server.entries)) == (0, None, sent)


def test_what_a_stopped_run_has_is_published_beside_the_output_until_that_is_whole(
    job: JobFiles, server: FaultServer
) -> None:
    rows: list[str | None] = [*texts(60)]
    rows[7] = None
    job.table(rows)
    job.set(
        model={"price": {"input": 100_000, "output": 100_000}},
        limits={"max_cost_usd": 400, "max_concurrency": 1},
    )
    done = job.run("--partial")
    assert done.returncode == 75
    partial = job.folder / "out/labelled.partial.parquet"
    assert str(partial) in done.stderr
    assert not job.output.exists()
    table = pl.read_parquet(partial)
    statuses = table["label_status"].value_counts()
    counts = dict(zip(*statuses.to_dict(as_series=False).values(), strict=True))
    assert len(table) == 60
    assert counts["empty"] == 1
    assert 0 < counts["ok"] < 59
    assert counts["ok"] + counts["pending"] == 59
    pending = table.filter(pl.col("label_status") == "pending")
    assert pending["label"].null_count() == len(pending)
    assert set(pending["label_source"]) == {"none"}
    sent = len(server.entries)
    status, result = publish(job, "--partial")
    assert (status, result["status"], result["pending"]) == (0, "partial", counts["pending"])
    assert publish(job)[0] == 75  # not all rows are answered
    assert len(server.entries) == sent
    assert job.run("--set", "limits.max_cost_usd=10000").returncode == 0
    assert job.output.exists()
    assert not partial.exists()
    assert list((job.folder / "state/runs").glob("*partial*")) == []


def test_nothing_is_held_when_the_output_is_published(job: JobFiles, server: FaultServer) -> None:
    job.run()
    sent = len(server.entries)
    assert publish(job, "--anyway")[0] == 0
    assert publish(job)[0] == 0
    assert len(server.entries) == sent


def test_a_gold_column_that_is_not_there_is_an_error_that_names_it(job: JobFiles) -> None:
    done = job.set(task={"gold": "truth"}).run()
    assert done.returncode == 78
    assert "task.gold: truth: the input has no such column" in done.stderr


def test_a_held_run_says_so_in_its_status_its_report_and_its_last_line(job: JobFiles, model: Model) -> None:
    job.set(gates={"failed": 0}, output={"report": True})
    model.says[texts(1)[0]] = "nothing of the kind"
    done = job.run()
    assert done.returncode == 76
    assert "run the same command to continue" not in done.stderr
    status = last_line(command("status", str(job.config_file())))
    assert status["status"] == "held"
    [page] = (job.folder / "state/runs").glob("*/report.html")
    assert "Held back by a gate" in page.read_text()
    assert "failed: 1 of 60 (1.7 %) rows failed, more than 0" in page.read_text()


def test_nothing_is_published_anyway_that_no_gate_has_held(job: JobFiles, server: FaultServer) -> None:
    status, result = publish(job, "--anyway")
    assert status == 75
    assert "no gate holds this output back" in result["error"]
    assert not job.output.exists()
    assert asked(server) == []


def test_a_canary_that_gets_no_label_any_more_has_flipped(job: JobFiles, model: Model) -> None:
    job.set(gates={"canary_flips": "5%"}, limits={"max_failed": "100%"})
    job.run()
    night(job, "a new row")
    model.always = "nothing of the kind"
    done = job.run()
    assert done.returncode == 76
    assert "60 of 60 (100 %) rows that were asked anew" in done.stderr


def test_what_was_published_anyway_is_what_the_canary_compares_with(job: JobFiles, model: Model) -> None:
    job.set(gates={"canary_flips": "5%"})
    job.run()
    model.always = "mail"
    night(job, "a new row")
    assert job.run().returncode == 76
    assert publish(job, "--anyway")[0] == 0
    night(job, "a new row", "another one")
    assert job.run().returncode == 0


def test_a_canary_whose_rows_have_left_the_table_is_chosen_anew(job: JobFiles) -> None:
    job.set(gates={"canary_flips": "5%"})
    job.run()
    job.table(texts(60, start=500))
    gone = job.run()
    assert "have left the table" in gone.stderr
    job.table([*texts(60, start=500), "a new row"])
    assert last_line(job.run())["side"]["requests"] == 60


def test_a_partial_output_that_somebody_has_worked_on_stays(job: JobFiles) -> None:
    job.run("--limit", "20")
    assert publish(job, "--partial")[0] == 0
    partial = job.folder / "out/labelled.partial.parquet"
    pl.read_parquet(partial).with_columns(mine=pl.lit(1)).write_parquet(partial)
    assert job.run().returncode == 0
    assert "mine" in pl.read_parquet(partial).columns


@pytest.mark.parametrize(("gate", "needs"), [("gold_accuracy", "task.gold"), ("unsure", "task.unsure_below")])
def test_a_gate_that_could_never_close_is_an_error(job: JobFiles, gate: str, needs: str) -> None:
    done = job.set(gates={gate: 0.5 if gate == "gold_accuracy" else "5%"}).run()
    assert done.returncode == 78
    assert f"gates.{gate}" in done.stderr
    assert needs in done.stderr


def test_right_labels_of_a_type_that_cannot_be_are_refused_before_the_first_request(
    job: JobFiles, server: FaultServer
) -> None:
    job.table(pl.DataFrame({"text": texts(3), "gold": [{"a": 1}] * 3}))
    done = job.set(task={"gold": "gold"}).run()
    assert done.returncode == 78
    assert "right labels are text, or lists of text" in done.stderr
    assert asked(server) == []


def test_the_canary_spends_only_what_the_rows_leave_of_the_budget(job: JobFiles, server: FaultServer) -> None:
    job.set(gates={"canary_flips": "5%"}, model={"price": {"input": 10_000, "output": 0}})
    cost_usd = last_line(job.run())["cost_usd"] / 60
    night(job, *texts(20, start=500))
    # Enough for the 20 new rows, and for some of the 60 that are to be asked anew.
    done = job.run("--set", f"limits.max_cost_usd={35 * cost_usd}", "--set", "limits.max_concurrency=2")
    result = last_line(done)
    assert (done.returncode, result["rows"], result["failed"]) == (0, 80, 0)
    assert 0 < result["side"]["requests"] < 20
    assert result["cost_usd"] + result["side"]["cost_usd"] <= 35 * cost_usd
    assert f"gates.canary_flips: {result['side']['requests']} of 60 rows are asked anew" in done.stderr
    assert set(asked(server)[60:80]) == set(texts(20, start=500)), "the rows come first"
    night(job, *texts(21, start=500))
    assert last_line(job.run())["side"]["requests"] == 60, "the same rows are asked anew once there is money"


def test_a_run_that_the_canary_finds_without_money_publishes_without_it(job: JobFiles) -> None:
    job.set(gates={"canary_flips": "5%"}, model={"price": {"input": 10_000, "output": 0}})
    job.run()
    night(job)
    done = job.run("--set", "limits.max_cost_usd=0.000001", "--set", "task.max_text_tokens=1999")
    assert (done.returncode, last_line(done)["side"]) == (0, None)
    assert (
        "gates.canary_flips: 0 of 60 rows are asked anew; limits.max_cost_usd has nothing left" in done.stderr
    )


def test_the_canary_of_a_run_that_was_stopped_asks_about_the_rows_that_were_done_before_too(
    job: JobFiles, server: FaultServer
) -> None:
    job.set(gates={"canary_flips": "5%"}, model={"price": {"input": 10_000, "output": 0}})
    cost_usd = last_line(job.run())["cost_usd"] / 60
    night(job, *texts(20, start=500))
    assert job.run("--set", f"limits.max_cost_usd={5 * cost_usd}").returncode == 75
    before = len(asked(server))
    done = job.run()
    assert (done.returncode, last_line(done)["side"]["requests"]) == (0, 60)
    assert len(asked(server)) - before <= 60 + 20


def test_a_plan_names_the_rows_that_are_asked_anew_and_what_they_cost(job: JobFiles) -> None:
    job.set(gates={"canary_flips": "5%"}, model={"price": {"input": 1_000, "output": 0}})
    config = str(job.config_file())
    assert last_line(command("plan", config))["asked_anew"] == 0  # the first run chooses them
    job.run()
    assert last_line(command("plan", config))["asked_anew"] == 0  # a finished job sends nothing
    night(job, "a new row")
    planned = command("plan", config)
    told = last_line(planned)
    assert (told["requests"], told["asked_anew"]) == (1, 60)
    assert told["asked_anew_cost_usd"] == pytest.approx(60 * told["cost_usd"], rel=0.5)
    assert "besides, the canary asks 60 rows anew (gates.canary_flips): about $" in planned.stderr
    assert last_line(job.run())["side"]["cost_usd"] == pytest.approx(told["asked_anew_cost_usd"], rel=0.5)


def test_a_partial_output_does_not_stay_beside_a_whole_one_that_was_there_already(
    job: JobFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    partial = job.folder / "out/labelled.partial.parquet"
    job.run("--limit", "20")
    assert publish(job, "--partial")[0] == 0
    with monkeypatch.context() as killed:  # as if it had been, once its output was there
        killed.setattr("pipeline.journey.tidy_after", lambda _: None)
        assert job.run().returncode == 0
    assert partial.exists()
    assert last_line(job.run())["requests"] == 0
    assert not partial.exists()


def test_there_is_no_partial_output_of_a_finished_job(job: JobFiles, server: FaultServer) -> None:
    job.run()
    sent = len(server.entries)
    status, result = publish(job, "--partial")
    assert (status, result["status"], result["output"]) == (0, "done", str(job.output))
    assert [path.name for path in job.output.parent.iterdir()] == [job.output.name]
    assert len(server.entries) == sent
    night(job, "a new row")
    status, result = publish(job, "--partial")
    assert (status, result["status"], result["pending"]) == (0, "partial", 1)


def typed_again(told: str) -> tuple[int, dict[str, Any]]:
    """What comes of the command line that *told* ends with."""
    words = shlex.split(told[told.index("pipeline publish ") :].splitlines()[0])
    done = command(*words[1:])
    return done.returncode, last_line(done)


@pytest.mark.parametrize("dated", [[], ["--date", "2026-01-31"]], ids=["tonight", "a night that was missed"])
@pytest.mark.parametrize("folder", ["out", "out ${now:%Y-%m-%d}"])
def test_a_held_run_names_the_command_that_publishes_it(
    job: JobFiles,
    model: Model,
    server: FaultServer,
    monkeypatch: pytest.MonkeyPatch,
    dated: list[str],
    folder: str,
) -> None:
    monkeypatch.chdir(job.folder)
    model.says[texts(1)[0]] = "nothing of the kind"
    job.set(output={"path": f"{folder}/labelled.parquet"})
    done = job.run(*dated, "--set", "gates={failed: 0}", "--set", "limits.max_failed=5%")
    assert done.returncode == 76
    sent = len(server.entries)
    status, result = typed_again(done.stderr)
    assert (status, result["status"], result["failed"]) == (0, "done", 1)
    assert list(job.folder.glob("out*/labelled.parquet")) == [Path(result["output"])]
    assert len(server.entries) == sent


def test_whoever_publishes_another_night_than_the_held_one_is_told_how_that_is_done(
    job: JobFiles, model: Model
) -> None:
    model.says[texts(1)[0]] = "nothing of the kind"
    job.set(output={"path": "out/${now:%Y-%m-%d}.parquet"}, gates={"failed": 0}, limits={"max_failed": "5%"})
    assert job.run("--date", "2026-01-31").returncode == 76
    other = command("publish", str(job.config_file()), "--anyway")
    assert other.returncode == 75
    assert "no gate holds this output back" in other.stderr
    assert typed_again(other.stderr)[0] == 0
    assert (job.folder / "out/2026-01-31.parquet").exists()


@pytest.mark.slow
def test_a_partial_output_has_a_report_that_says_so_until_the_whole_one_is_there(job: JobFiles) -> None:
    job.set(output={"report": True})
    job.run("--limit", "20")
    status, result = publish(job, "--partial")
    page = Path(result["report"]).with_suffix(".html")
    assert status == 0
    assert (
        "Not finished: 20 of 60 rows with text are labelled (33.3\N{NO-BREAK SPACE}%), and 40 rows have no answer yet."
        in page.read_text()
    )
    assert job.run().returncode == 0
    assert not page.exists()
