"""A student answers what it is proven to be good at, under a certificate; without one every row is asked."""

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest

from pipeline.ledger import opened
from pipeline.system.lock import Lock
from pipeline.tasks.packs import place_in
from tests.faultserver.server import FaultServer
from tests.jobs import LABELS, JobFiles, asked, command, last_line
from tests.minds import Model
from tests.test_layout import modules_after

pytestmark = pytest.mark.usefixtures("same_coins")

WORDS = {
    "games": "chess puzzle joystick",
    "sound": "violin speaker melody",
    "graphics": "canvas palette sketch",
    "science": "atom galaxy enzyme",
    "mail": "letter postbox stamp",
}
ROWS = 1_400
TARGET = {"target": 0.9, "audits": 100, "answers": 500}


def easy(rows: int, start: int = 0) -> list[str]:
    """Texts whose label is plain to see, for whoever has learned the words."""
    random = np.random.default_rng(start)
    names = random.choice(LABELS, rows)
    return [
        f"{' '.join(random.permutation(WORDS[name].split()))} w{random.integers(900)} n{start + number}"
        for number, name in enumerate(names)
    ]


def label_of(text: str) -> str:
    return next(name for name, words in WORDS.items() if words.split()[0] in text)


@pytest.fixture
def model() -> Model:
    return Model(label_of)


@pytest.fixture
def server(model: Model) -> Iterator[FaultServer]:
    with FaultServer(label_for=model) as simulator:
        yield simulator


@pytest.fixture
def job(tmp_path: Path, server: FaultServer) -> JobFiles:
    return JobFiles(tmp_path, server.base_url).set(student=TARGET)


def report(job: JobFiles) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(next(job.folder.glob("state/runs/*/report.json")).read_text())
    return found


def sources(job: JobFiles) -> dict[str, int]:
    return dict(job.labelled()["label_source"].value_counts().iter_rows())


def _keys_of_rows(job: JobFiles) -> list[str]:
    with sqlite3.connect(job.folder / "state" / "ledger.sqlite") as ledger:
        return [str(key) for (key,) in ledger.execute("SELECT DISTINCT hex(key) FROM answers")]


def decision(job: JobFiles) -> dict[str, Any]:
    """What the latest night has come to."""
    path = next(job.folder.glob("state/decisions/student-*.json"))
    found: dict[str, Any] = json.loads(path.read_text())["decision"]["nights"][-1]
    return found


@pytest.mark.slow
def test_most_rows_of_a_new_table_are_answered_by_a_student_that_was_audited(
    job: JobFiles, server: FaultServer
) -> None:
    texts = easy(ROWS)
    job.table([*texts, texts[0], None])
    done = job.run()
    assert done.returncode == 0, done.stderr
    frame, result = job.labelled(), last_line(done)
    found = decision(job)
    assert found["status"] == "certified"
    student = frame.filter(pl.col("label_source") == "student")
    assert 600 <= len(student) == found["local"] == ROWS - len(asked(server))
    assert (frame["label"][:ROWS] == pl.Series(map(label_of, texts))).mean() > 0.9
    assert set(student["label_status"]) == {"ok"}
    assert student["cost_usd"].sum() == student["prompt_tokens"].sum() == 0
    assert student["label_confidence"].is_between(0, 1).all()
    assert set(student["label_run"]) == {result["run_id"]}
    assert "at least 90 % have the label that test-model would have given" in done.stderr
    # The books balance, and nothing of the student's is in the ledger.
    assert result["requests"] == len(asked(server)) == len(set(asked(server)))
    with sqlite3.connect(job.folder / "state" / "ledger.sqlite") as ledger:
        assert ledger.execute("SELECT count(*) FROM answers").fetchone()[0] == len(asked(server))
    assert sources(job)["duplicate"] == sources(job)["none"] == 1

    # Finished: nothing is sent, nothing decided anew. And a lost output comes back as it was, for nothing.
    before = frame.drop("label_run").to_dicts()
    assert last_line(job.run())["again"]
    job.output.unlink()
    again = last_line(job.run())
    assert (again["again"], again["requests"]) == (False, 0)
    assert job.labelled().drop("label_run").to_dicts() == before
    assert set(job.labelled().filter(pl.col("label_source") == "student")["label_run"]) == {result["run_id"]}


@pytest.mark.slow
def test_what_is_proven_is_kept_and_only_new_rows_are_audited_the_next_night(
    job: JobFiles, server: FaultServer
) -> None:
    first, second = easy(ROWS), easy(700, start=5_000)
    job.table(first)
    assert job.run().returncode == 0
    before, requests = job.labelled(), len(asked(server))
    learned = decision(job)["taught"]
    job.table([*first[100:], *second])
    assert job.run().returncode == 0
    frame, found = job.labelled(), decision(job)
    old = before[100:].filter(pl.col("label_source") == "student").select("text", "label", "label_run")
    kept = frame[: ROWS - 100].filter(pl.col("label_source") == "student")
    assert kept.select("text", "label", "label_run").equals(old)
    # It was taught by the model's answers alone, of which there are as many as were asked and are still in the table.
    assert learned < found["taught"] <= requests
    assert set(asked(server)[requests:]) <= set(second)
    assert found["status"] == "certified"
    assert found["unanswered"] == 700


@pytest.mark.slow
def test_a_model_that_changes_in_the_second_half_of_the_new_rows_is_found_out(
    job: JobFiles, model: Model
) -> None:
    job.table(first := easy(ROWS))
    assert job.run().returncode == 0
    second = easy(800, start=5_000)
    half = set(second[400:])
    model.label = lambda text: LABELS[LABELS.index(label_of(text)) - 1] if text in half else label_of(text)
    job.table([*first, *second])
    done = job.run()
    assert "student: refused" in done.stderr
    assert "agreement found in" in done.stderr
    assert decision(job)["status"] == "refused"
    new = job.labelled()[ROWS:]
    assert set(new["label_source"]) == {"model"}
    assert new["label"].to_list() == list(map(model.label, second))


@pytest.mark.slow
def test_a_model_that_guesses_one_row_in_five_is_asked_about_every_row(
    job: JobFiles, server: FaultServer, model: Model
) -> None:
    random = {text: LABELS[number % 5] for number, text in enumerate(easy(ROWS)[::5])}
    model.label = lambda text: random.get(text) or label_of(text)
    job.set(student={**TARGET, "target": 0.95}).table(texts := easy(ROWS))
    done = job.run()
    assert "student: refused" in done.stderr
    assert sources(job) == {"model": ROWS}
    assert len(asked(server)) == len(set(asked(server))) == ROWS
    assert job.labelled()["label"].to_list() == list(map(model.label, texts))


@pytest.mark.slow
def test_an_audit_that_fails_counts_as_a_difference(job: JobFiles, model: Model) -> None:
    job.table(first := easy(ROWS))
    assert job.run().returncode == 0
    model.label = lambda text: "no such label" if "n5" in text else label_of(text)
    job.set(limits={"max_failed": "100%"}).table([*first, *easy(800, start=5_000)])
    done = job.run()
    assert done.returncode == 0, done.stderr
    assert decision(job)["status"] == "refused", done.stderr
    assert "student" not in set(job.labelled()[ROWS:]["label_source"])


@pytest.mark.slow
def test_a_prompt_that_stands_for_many_rows_is_always_asked(job: JobFiles, server: FaultServer) -> None:
    texts = easy(ROWS)
    job.table([*texts, *[texts[7]] * 40, *[texts[8]] * 40])
    assert job.run().returncode == 0
    assert {texts[7], texts[8]} <= set(asked(server))
    assert sources(job)["student"] > 500


@pytest.mark.slow
def test_a_label_that_is_always_asked_is_never_the_students(job: JobFiles) -> None:
    job.set(student={**TARGET, "labels_always_asked": ["mail"]}).table(easy(ROWS))
    assert job.run().returncode == 0
    student = job.labelled().filter(pl.col("label_source") == "student")
    assert len(student) > 300
    assert "mail" not in set(student["label"])


@pytest.mark.slow
def test_a_table_sorted_by_label_is_learned_from_all_of_it(job: JobFiles) -> None:
    job.table(sorted(easy(ROWS), key=label_of))
    assert job.run().returncode == 0
    student = job.labelled().filter(pl.col("label_source") == "student")
    assert set(student["label"]) == set(LABELS)


@pytest.mark.slow
def test_another_task_has_no_student_of_this_one(job: JobFiles) -> None:
    job.table(easy(ROWS))
    assert job.run().returncode == 0
    job.set(task={"instructions": "Choose another label."})
    job.set(student={**TARGET, "audits": 1_000})
    assert "too few for 1,000 audits" in job.run().stderr
    assert sources(job) == {"model": ROWS}


@pytest.mark.slow
def test_a_table_that_is_too_small_is_asked_whole_and_nothing_is_bought_before_it_is_said(
    job: JobFiles, server: FaultServer
) -> None:
    job.table(easy(300))
    done = job.run()
    assert "student: refused, 300 rows without an answer are too few for 100 audits" in done.stderr
    assert len(asked(server)) == 300


@pytest.mark.parametrize(
    ("arguments", "settings", "words"),
    [
        (["--slice", "0/2"], {}, "leave out --slice, --workers and --engine"),
        (["--workers", "2", "--engine", "ray"], {}, "leave out --slice, --workers and --engine"),
        (["--workers", "2"], {}, "leave out --slice, --workers and --engine"),
        ([], {"labels_always_asked": ["gamez"]}, "there is no label 'gamez'"),
        ([], {"target": 1.0}, "is not between 0.5 and 0.999"),
        ([], {"answers": 20}, "is not between 500 and"),
    ],
)
def test_what_a_student_cannot_do_is_said_before_anything_is_sent(
    job: JobFiles, server: FaultServer, arguments: list[str], settings: dict[str, Any], words: str
) -> None:
    job.set(student=settings).table(easy(20))
    done = job.run(*arguments)
    assert done.returncode == 78
    assert words in done.stderr
    assert server.entries == []


@pytest.mark.slow
def test_a_part_of_the_rows_is_asked_without_a_student(job: JobFiles, server: FaultServer) -> None:
    job.table(easy(ROWS))
    assert job.run("--limit", "50").returncode == 0
    assert len(asked(server)) == 50
    assert not list(job.folder.glob("state/decisions/*"))


@pytest.mark.slow
def test_plan_says_beforehand_what_it_may_spare_and_whether_that_is_worth_it(
    job: JobFiles, server: FaultServer
) -> None:
    job.table(texts := easy(ROWS))
    before = last_line(command("plan", str(job.config_file())))
    student = before["student"]
    assert (student["bought"], student["audits"], student["worth_it"]) == (500, 100, True)
    assert job.run().returncode == 0
    assert student["requests_least"] <= len(asked(server)) <= student["requests_most"] == ROWS
    # The next night it has labels of its own, and knows from the last one how many it gets.
    job.table([*texts, *easy(900, start=5_000)])
    planned = command("plan", str(job.config_file()))
    after = last_line(planned)
    assert after["student"]["own"] == ROWS - len(asked(server))
    assert (after["requests"], after["student"]["bought"]) == (900, 0)
    assert "prompts more have the student's label already" in planned.stderr
    assert "with the student " in planned.stderr
    assert after["student"]["requests_least"] < after["student"]["requests_most"]
    assert after["student"]["cost_usd_least"] is None  # no price is known
    job.table(easy(150, start=9_000))
    assert "the student is not worth it here" in command("plan", str(job.config_file())).stderr


@pytest.mark.slow
@pytest.mark.parametrize("rows_per_request", [1, 10])
def test_plan_says_that_all_prompts_are_asked_if_it_is_refused(job: JobFiles, rows_per_request: int) -> None:
    job.set(model={"rows_per_request": rows_per_request}).table(easy(ROWS))
    assert "; all of them if it is refused" in command("plan", str(job.config_file())).stderr


@pytest.mark.slow
def test_the_report_shows_the_certificate_and_what_differed_by_label(job: JobFiles) -> None:
    job.set(output={"report": True}).table(easy(ROWS))
    assert job.run().returncode == 0
    found = report(job)
    night = found["student_nights"][-1]
    assert found["student"] == night["rows"] == night["local"]
    assert sum(label["student"] for label in night["labels"].values()) == night["audited"]
    page = next(job.folder.glob("state/runs/*/report.html")).read_text()
    assert "What the student answered" in page
    assert "this sentence is wrong in at most 1 of 20 runs" in page
    # Suspects are looked for among the model's answers alone.
    assert 500 <= found["suspects"]["looked_at"] == found["rows"] - found["student"]


@pytest.mark.slow
def test_two_outputs_of_one_task_keep_what_is_proven_and_decide_one_after_the_other(
    job: JobFiles, server: FaultServer
) -> None:
    job.table(texts := easy(ROWS))
    assert job.run().returncode == 0
    requests = len(asked(server))
    job.set(output={"path": "out/tomorrow.parquet"}).table(texts)
    assert job.run().returncode == 0
    assert len(asked(server)) == requests
    assert sources(job) == {"model": requests, "student": ROWS - requests}
    lock = next(job.folder.glob("state/decisions/student-*.sqlite")).with_suffix(".lock")
    job.set(output={"path": "out/later.parquet"}).table([*texts, "chess n1"])
    with Lock(lock, "another output", "state.dir").held():
        assert job.run().returncode == 75
    assert len(asked(server)) == requests


@pytest.mark.slow
def test_the_model_is_asked_twice_on_request_which_is_paid_for_beside_the_rows(
    job: JobFiles, server: FaultServer, model: Model
) -> None:
    said: set[str] = set()

    def fickle(text: str) -> str:
        again = text in said
        said.add(text)
        return LABELS[LABELS.index(label_of(text)) - 1] if again and "w1" in text else label_of(text)

    model.label = fickle
    job.set(student={**TARGET, "ask_twice": 60}).table(easy(ROWS))
    result = last_line(job.run())
    found = decision(job)["self_agreement"]
    assert found["asked"] == 60 == result["side"]["requests"] == len(asked(server)) - len(set(asked(server)))
    assert 40 < found["same"] < 60
    assert result["requests"] == len(asked(server))
    rows = job.labelled().filter(pl.col("label_source") == "model")
    assert len(rows) == len(asked(server)) - 60
    assert rows["label"].to_list() == list(map(label_of, rows["text"]))
    paid = sum(entry.prompt_tokens for entry in server.entries)
    assert paid == result["prompt_tokens"] + result["side"]["prompt_tokens"]


@pytest.mark.slow
def test_what_is_asked_twice_is_alone_in_its_request_where_rows_are_packed(job: JobFiles) -> None:
    job.set(student={**TARGET, "ask_twice": 60}, model={"rows_per_request": 10}).table(easy(ROWS))
    result = last_line(job.run())
    twice = decision(job)["self_agreement"]
    assert twice["asked"] == 60
    with opened(job.folder / "state") as store:
        assert store is not None
        answers = list(store.look_up([bytes.fromhex(key) for key in twice["keys"]]).values())
        rows = list(store.look_up([bytes.fromhex(key) for key in _keys_of_rows(job)]).values())
    assert len(answers) == 60
    assert [place_in(each.request_id) for each in answers] == [None] * 60
    assert any(place_in(each.request_id) for each in rows)
    assert result["requests"] < ROWS // 2


@pytest.mark.slow
def test_the_answered_rows_of_other_tables_teach_and_are_not_published(
    job: JobFiles, server: FaultServer
) -> None:
    del job.settings["student"]
    job.table(easy(600), "monday.parquet")
    assert job.run().returncode == 0
    job.table(easy(300, 2_000), "tuesday.csv")
    assert job.run().returncode == 0
    before = len(asked(server))
    job.table(texts := easy(ROWS, 5_000))
    # 600 answers are enough, and are all in other tables; rows of theirs without an answer are not asked about.
    pl.DataFrame({"text": ["chess violin", None]}).write_parquet(job.folder / "never.parquet")
    job.set(student={**TARGET, "train_on": ["monday.parquet", "t*.csv", "never.parquet"]})
    assert last_line(command("plan", str(job.config_file())))["student"]["bought"] == 0
    assert job.run().returncode == 0
    found = decision(job)
    assert (found["status"], found["taught"]) == ("certified", 900)
    assert set(asked(server)[before:]) <= set(texts)
    assert len(asked(server)) - before < 300
    assert job.labelled()["text"].to_list() == texts


@pytest.mark.slow
def test_a_table_to_learn_from_that_is_not_there_or_lacks_a_column_ends_the_run_before_anything_is_sent(
    job: JobFiles, server: FaultServer
) -> None:
    job.table(easy(ROWS))
    pl.DataFrame({"words": ["chess"]}).write_parquet(job.folder / "other.parquet")
    for name, status, words in (("gone.parquet", 66, "gone.parquet"), ("other.parquet", 78, "text")):
        done = job.set(student={**TARGET, "train_on": [name]}).run()
        assert done.returncode == status, done.stderr
        assert words in done.stderr
    assert asked(server) == []


@pytest.mark.slow
def test_rows_of_several_labels_are_certified_as_sets(tmp_path: Path) -> None:
    def names_of(text: str) -> list[str]:
        return [name for name, words in WORDS.items() if words.split()[0] in text]

    one, two = easy(ROWS), easy(ROWS, 3_000)
    texts = [f"{a} {b}" if number % 3 else a for number, (a, b) in enumerate(zip(one, two, strict=True))]
    texts[::7] = [f"nothing of it n{number} w{number % 50}" for number in range(len(texts[::7]))]
    with FaultServer(label_for=names_of) as server:
        job = JobFiles(tmp_path, server.base_url).set(task={"kind": "multi"}, student=TARGET)
        job.table(texts)
        done = job.run()
        assert done.returncode == 0, done.stderr
        found, frame = decision(job), job.labelled()
        student = frame.filter(pl.col("label_source") == "student")
        assert found["status"] == "certified"
        assert 400 <= len(student) == found["local"] == ROWS - len(asked(server))
        assert {len(labels) for labels in student["labels"]} == {0, 1, 2}
        right = [
            set(labels) == set(names_of(text))
            for text, labels in student.select("text", "labels").iter_rows()
        ]
        assert sum(right) >= 0.9 * len(right)
        again = last_line(job.run())
        assert again["again"]


@pytest.mark.slow
def test_the_canary_asks_anew_only_what_the_model_has_answered(job: JobFiles) -> None:
    job.set(gates={"canary_flips": "10%"}).table(easy(ROWS))
    assert job.run().returncode == 0
    canary = json.loads(next(job.folder.glob("state/decisions/canary-*.json")).read_text())["decision"]
    with opened(job.folder / "state") as store:
        assert store is not None
        assert len(canary) == 100 == len(store.look_up([bytes.fromhex(key) for key in canary]))


@pytest.mark.slow
def test_a_job_without_a_student_loads_nothing_of_it(job: JobFiles) -> None:
    del job.settings["student"]
    job.table(easy(20))
    for command_line in ("plan", "run"):
        loaded = modules_after(command_line, str(job.config_file()))
        assert not [
            name for name in loaded if "student" in name or name.split(".")[0] in {"sklearn", "scipy"}
        ]


@pytest.mark.slow
def test_commands_that_judge_read_the_students_labels_as_the_output_has_them(job: JobFiles) -> None:
    texts = easy(ROWS)
    frame = pl.DataFrame({"text": texts, "right": list(map(label_of, texts))})
    job.set(task={"gold": "right"}).table(frame)
    assert job.run().returncode == 0
    labelled = job.labelled()
    config = str(job.config_file())
    found = last_line(command("evaluate", config))
    assert (found["rows"], found["unanswered"]) == (ROWS, 0)
    row = labelled["label_source"].to_list().index("student")
    told = last_line(command("explain", config, str(row)))
    assert (told["labels"], told["model"], told["status"]) == ([labelled["label"][row]], "student", "ok")
    metadata = pq.read_schema(job.output).metadata
    assert len(metadata[b"pipeline.student"]) == 32


@pytest.mark.slow
def test_rows_that_were_answered_alone_are_known_to_a_job_that_packs(job: JobFiles) -> None:
    del job.settings["student"]
    job.table(easy(1_000))
    assert job.run().returncode == 0
    job.set(student=TARGET, model={"rows_per_request": 10}).table(easy(1_000) + easy(ROWS, 1_000))
    done = job.run()
    assert decision(job)["status"] == "certified", done.stderr
    assert sources(job)["student"] > ROWS // 2


@pytest.mark.slow
def test_a_label_of_the_models_is_never_replaced_by_the_students(job: JobFiles) -> None:
    job.table(easy(ROWS))
    assert job.run().returncode == 0
    assert job.run("--limit", "40").returncode == 0  # of a part the model alone is asked
    job.table(easy(ROWS) + easy(1, 9_000))
    assert job.run().returncode == 0
    assert set(job.labelled()["label_source"][:40]) == {"model"}
    assert job.run("--retry", "all").returncode == 0
    assert set(job.labelled()["label_source"][:40]) == {"model"}


@pytest.mark.slow
def test_what_a_gate_holds_back_is_known_to_be_the_jobs_own(job: JobFiles) -> None:
    job.set(gates={"unsure": 0}, task={"unsure_below": 0.999}).table(easy(ROWS))
    assert job.run().returncode == 76
    found = last_line(command("status", str(job.config_file())))
    assert (found["status"], found["current"]) == ("held", True)
