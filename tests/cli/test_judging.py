"""What the commands that judge labels print, how they end, and that they ask nothing."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pipeline.cli.tables import Table, print_table
from tests.faultserver.server import FaultServer
from tests.jobs import JobFiles, asked, command, last_line, right_label, texts
from tests.judged import Reply, answer_rows, jobs_without_server, tickets


@pytest.fixture
def config(tmp_path: Path) -> str:
    """Two hundred answered tickets with right labels."""
    frame, replies = tickets(200)
    job = jobs_without_server(tmp_path, gold="gold")
    job.table(frame)
    answer_rows(job, [*replies])
    return str(job.config_file())


def test_evaluate_ends_with_one_json_object_and_a_verdict(config: str) -> None:
    ran = command("evaluate", config)
    facts = last_line(ran)
    assert (ran.returncode, facts["rows"], len(ran.stdout.splitlines())) == (0, 200, 1)
    assert facts["accuracy_low"] < facts["accuracy"] < facts["accuracy_high"]
    verdict = ran.stderr.splitlines()[-1]
    assert verdict.startswith(f"{100 * facts['accuracy']:.1f} % of 200 rows have the right label (")
    assert "Right labels (down) and those given (across)" in ran.stderr
    assert facts["mistakes"][0]["id"] in ran.stderr


@pytest.mark.parametrize(("least", "status"), [("0.5", 0), ("0.99", 1)])
def test_an_accuracy_below_the_bound_ends_with_1(config: str, least: str, status: int) -> None:
    ran = command("evaluate", config, "--min-accuracy", least)
    assert ran.returncode == status
    assert ("is below --min-accuracy 0.99" in ran.stderr) == bool(status)
    assert "accuracy" in last_line(ran)


def test_before_a_run_there_is_no_input_and_without_gold_the_config_is_wrong(job: JobFiles) -> None:
    job.table(pl.DataFrame({"text": texts(5), "gold": ["games"] * 5}))
    path = str(job.config_file())
    assert command("evaluate", path).returncode == 78
    ran = command("evaluate", path, "--gold", "gold")
    assert (ran.returncode, last_line(ran)["exit_status"]) == (66, 66)


def test_nothing_is_asked_and_what_a_run_labelled_is_judged(job: JobFiles, server: FaultServer) -> None:
    rows = texts(60)
    job.table(pl.DataFrame({"text": rows, "gold": [right_label(text) for text in rows]}))
    assert job.run("--quiet").returncode == 0
    before = len(server.entries)
    path = str(job.config_file())
    facts = last_line(command("evaluate", path, "--gold", "gold"))
    assert (facts["rows"], facts["accuracy"]) == (60, 1.0)
    assert command("review", path, "--top", "5").returncode == 0
    assert command("evaluate", path, "--make-gold", "10").returncode == 0
    assert len(server.entries) == before


def test_making_gold_says_what_to_do_next_and_that_works(config: str) -> None:
    ran = command("evaluate", config, "--make-gold", "20", "--show-labels")
    facts, following = last_line(ran), ran.stderr.splitlines()[-1].split()
    assert (facts["rows"], following[:2]) == (20, ["pipeline", "evaluate"])
    file = Path(facts["file"])
    file.write_text(file.read_text("utf-8-sig").replace(",,", ",games,"), "utf-8")
    assert last_line(command(*following[1:]))["rows"] == 20
    again = command("evaluate", config, "--make-gold", "20")
    assert (again.returncode, "20 of its rows are filled in" in again.stderr) == (73, True)


@pytest.mark.parametrize(
    "options", [["--show-labels"], ["--to", "x.csv"], ["--seed", "1"], ["--make-gold", "5", "--gold", "gold"]]
)
def test_options_that_contradict_each_other_are_wrong_usage(config: str, options: list[str]) -> None:
    assert command("evaluate", config, *options).returncode == 2


def test_a_calibration_is_published_by_the_next_run_which_asks_nothing(
    job: JobFiles, server: FaultServer
) -> None:
    job.table(pl.DataFrame({"id": [*range(120)], "text": texts(120)}))
    job.set(input={"id": "id"})
    assert job.run("--quiet").returncode == 0
    before, paid, path = job.labelled(), len(asked(server)), str(job.config_file())
    middle = before["label_confidence"].median()
    is_right = (pl.col("label_confidence") > middle) | (pl.col("id") % 3 == 0)
    gold = before.select("id", label=pl.when(is_right).then("label").otherwise(pl.lit("another")))
    gold.write_csv(job.folder / "gold.csv")
    ran = command("calibrate", path, "--gold", str(job.folder / "gold.csv"))
    facts = last_line(ran)
    assert (ran.returncode, facts["method"], facts["rows"]) == (0, "platt", 120)
    assert set(facts) >= {
        "ece_before",
        "ece_after",
        "ece_floor",
        "brier_before",
        "brier_after",
        "reliability",
    }
    assert job.run("--quiet").returncode == 0
    after = job.labelled()
    assert after["label"].to_list() == before["label"].to_list()
    assert after["label_confidence"].to_list() != before["label_confidence"].to_list()
    assert command("calibrate", path, "--remove").returncode == 0
    assert job.run("--quiet").returncode == 0
    assert job.labelled()["label_confidence"].to_list() == before["label_confidence"].to_list()
    assert len(asked(server)) == paid


def test_fewer_than_50_right_labels_are_bad_input(tmp_path: Path) -> None:
    frame, replies = tickets(30)
    job = jobs_without_server(tmp_path, gold="gold")
    job.table(frame)
    answer_rows(job, [*replies])
    ran = command("calibrate", str(job.config_file()))
    assert (ran.returncode, last_line(ran)["exit_status"]) == (65, 65)


@pytest.fixture
def two(job: JobFiles) -> tuple[JobFiles, str, str]:
    """Two configs on one table of eighty rows, nothing asked yet."""
    rows = texts(80)
    job.table(pl.DataFrame({"text": rows, "gold": [right_label(text) for text in rows]}))
    job.set(task={"gold": "gold"}, model={"price": {"input": 1, "output": 4}})
    first = str(job.config_file("a.yaml"))
    job.set(task={"instructions": "Choose again."}, output={"path": "out/b.parquet"}, state={"dir": "other"})
    return job, first, str(job.config_file("b.yaml"))


def test_compare_says_what_it_costs_asks_once_and_looks_again_for_free(
    two: tuple[JobFiles, str, str], server: FaultServer
) -> None:
    _, first, second = two
    ran = command("compare", first, second, "--sample", "30")
    facts: dict[str, Any] = last_line(ran)
    assert (ran.returncode, facts["rows"], facts["agreement"]) == (0, 30, 1)
    assert len(asked(server)) == 60
    assert "a.yaml: 30 rows, 0 answered already; 30 requests, about $" in ran.stderr
    assert facts["a"]["cost_usd"] > 0
    assert facts["words"].startswith("no difference can be shown")
    assert ran.stderr.splitlines()[-1] == facts["words"]
    again = command("compare", first, second, "--sample", "30")
    assert "nothing to ask" in again.stderr
    assert last_line(again) == facts
    looked = last_line(command("compare", first, second, "--no-ask"))
    assert (looked["rows"], looked["unanswered"]) == (30, 50)
    assert len(asked(server)) == 60


def test_compare_asks_no_more_than_the_budget_allows(
    two: tuple[JobFiles, str, str], server: FaultServer
) -> None:
    _, first, second = two
    ran = command("compare", first, second, "--set", "limits.max_cost_usd=0.000001")
    assert (ran.returncode, asked(server)) == (75, [])


def test_a_config_is_not_compared_with_itself(config: str) -> None:
    assert command("compare", config, config).returncode == 2


def test_review_writes_a_file_with_whole_texts(config: str, tmp_path: Path) -> None:
    ran = command("review", config, "--top", "7", "--csv", str(tmp_path / "look.csv"))
    assert (ran.returncode, len(last_line(ran)["rows"])) == (0, 7)
    assert len((tmp_path / "look.csv").read_text("utf-8-sig").splitlines()) == 8


def test_where_scikit_learn_is_missing_it_is_named(config: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "sklearn.metrics", None)
    ran = command("evaluate", config)
    assert (ran.returncode, "pip install 'nano-pipeline[judge]'" in ran.stderr) == (78, True)


def test_a_row_forges_no_line_and_no_colour(tmp_path: Path) -> None:
    job = jobs_without_server(tmp_path, gold="gold")
    job.table(pl.DataFrame({"id": ["a"], "text": ["[red]x[/red]\x1b[31m\nerror: forged"], "gold": ["mail"]}))
    answer_rows(job, [Reply("games", 0.9)])
    ran = command("evaluate", str(job.config_file()))
    assert ran.returncode == 0
    assert "\x1b" not in ran.stderr
    assert "[red]x[/red]" in ran.stderr
    assert not [line for line in ran.stderr.splitlines() if line.startswith("error")]


def test_a_table_at_a_terminal_shows_what_cells_say(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    print_table(Table("Title", ["name", ">rows"], [["[bold]games[/bold]", "12"]]))
    shown = capsys.readouterr().err
    assert "[bold]games[/bold]" in shown
    assert "Title" in shown


def test_json_is_all_that_a_program_reads(config: str) -> None:
    for arguments in (["evaluate", config], ["review", config], ["calibrate", config]):
        assert isinstance(json.loads(command(*arguments).stdout), dict)
