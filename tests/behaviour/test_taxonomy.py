"""Labels change: what stays the same is carried over, what must change is asked, and an audit says what may be missed."""

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import pipeline
from pipeline import RunOptions
from tests.faultserver.server import FaultServer
from tests.faultserver.settings import FaultServerSettings
from tests.jobs import LABELS, JobFiles, asked, command, last_line
from tests.minds import Model

pytestmark = pytest.mark.usefixtures("same_coins")

ROWS = 1_200
CARRY = {"max_missed": "5%", "audits": 120}


def table(rows: int, start: int = 0) -> list[str]:
    """Texts whose old label is their number's."""
    return [f"text {number} {'web' if number % 40 == 0 else ''}" for number in range(start, start + rows)]


def old_label(text: str) -> str:
    return LABELS[int(text.split()[1]) % len(LABELS)]


@pytest.fixture
def model() -> Model:
    return Model(old_label)


@pytest.fixture
def server(model: Model) -> Iterator[FaultServer]:
    with FaultServer(label_for=model) as simulator:
        yield simulator


class Change:
    """A job that was run with its old labels, and is about to get others."""

    def __init__(self, job: JobFiles, server: FaultServer, model: Model, rows: list[str | None]) -> None:
        self.job, self.server, self.model = job, server, model
        job.set(carry=CARRY).table(rows)
        assert job.run().returncode == 0
        self.old = job.config_file("old.yaml")
        self.before, self.requests = job.labelled(), len(asked(server))

    def labels(self, *labels: Any, **task: Any) -> "Change":
        """Set new labels; a text is one that stays as it was."""
        known = [{"name": name, "description": f"about {name}"} for name in LABELS]
        named = {each["name"]: each for each in known}
        self.job.set(
            task={
                "labels": [named.get(each, each) if isinstance(each, str) else each for each in labels],
                **task,
            }
        )
        return self

    def run(self, *arguments: str) -> dict[str, Any]:
        done = self.job.run("--from", str(self.old), *arguments)
        assert done.returncode == 0, done.stderr
        self.said = done.stderr
        return last_line(done)

    def diff(self) -> dict[str, Any]:
        done = command("diff", str(self.old), str(self.job.config_file()))
        assert done.returncode == 0, done.stderr
        self.said = done.stderr
        return last_line(done)

    @property
    def asked(self) -> list[str]:
        """What was asked since."""
        return asked(self.server)[self.requests :]

    @property
    def sources(self) -> dict[str, int]:
        return dict(self.job.labelled()["label_source"].value_counts().iter_rows())

    @property
    def decision(self) -> dict[str, Any]:
        path = next(self.job.folder.glob("state/decisions/carried-*.json"))
        found: dict[str, Any] = json.loads(path.read_text())["decision"]["nights"][-1]
        return found


@pytest.fixture
def change(tmp_path: Path, server: FaultServer, model: Model) -> Change:
    return Change(JobFiles(tmp_path, server.base_url), server, model, [*table(ROWS), None])


POST = {"name": "post", "description": "about mail", "was": "mail"}


@pytest.mark.slow
def test_a_rename_sends_nothing_and_every_row_keeps_its_run_and_costs_nothing(change: Change) -> None:
    change.labels("games", "sound", "graphics", "science", POST)
    found = change.diff()
    assert (found["renamed"], found["total"]["forced"], found["total"]["audits"]) == (True, 0, 0)
    assert (found["changes"][0]["kind"], found["changes"][0]["rows"]) == ("rename", ROWS // 5)
    result = change.run()
    assert (result["requests"], result["carried"], change.asked) == (0, ROWS, [])
    frame = change.job.labelled()
    assert frame["label"].to_list() == change.before["label"].replace("mail", "post").to_list()
    assert change.sources == {"carried": ROWS, "none": 1}
    carried = frame.filter(pl.col("label_source") == "carried")
    assert carried["cost_usd"].sum() == carried["prompt_tokens"].sum() == 0
    assert set(carried["label_run"]) == set(change.before["label_run"].drop_nulls())
    assert set(carried["label_model"]) == set(change.before["label_model"].drop_nulls())
    assert "carry their labels without an audit" in change.said
    # Never under the new key: the ledger has what was paid for, and that is the old question's.
    with sqlite3.connect(change.job.folder / "state" / "ledger.sqlite") as ledger:
        assert ledger.execute("SELECT count(*) FROM answers").fetchone()[0] == ROWS
    # The nights that follow need not be told, and send nothing.
    again = last_line(change.job.run())
    assert (again["again"], again["requests"], again["carried"]) == (True, 0, ROWS)
    change.job.output.unlink()
    assert last_line(change.job.run())["requests"] == 0
    assert change.job.labelled().drop("label_run").equals(frame.drop("label_run"))


@pytest.mark.slow
def test_a_label_that_is_gone_is_asked_and_an_audit_bounds_what_else_changes(change: Change) -> None:
    change.labels("games", "sound", "graphics", "science")
    change.model.label = lambda text: "games" if old_label(text) == "mail" else old_label(text)
    planned = change.diff()
    assert planned["total"]["forced"] == ROWS // 5
    assert planned["total"]["audits"] == 120
    result = change.run()
    frame, found = change.job.labelled(), change.decision
    assert frame["label"][:ROWS].to_list() == [change.model.label(text) for text in table(ROWS)]
    assert {text for text in table(ROWS) if old_label(text) == "mail"} <= set(change.asked)
    assert result["requests"] == len(change.asked) == ROWS // 5 + found["audited"] == ROWS - result["carried"]
    assert (found["status"], found["differ"], found["forced"], found["changed"]) == ("certified", 0, 240, 240)
    assert f"{found['left']:,} prompts left alone (95 %) would have another label" in change.said
    assert "240 were found" in change.said
    # What was asked is an ordinary answer to the new question.
    new = frame.filter(pl.col("label_source") == "model")
    assert set(new["label_run"]) == {result["run_id"]}
    assert result["prompt_tokens"] == new["prompt_tokens"].sum() > 0


@pytest.mark.slow
def test_rows_that_came_since_are_asked_and_a_carried_row_stays_the_next_night(change: Change) -> None:
    change.labels("games", "sound", "graphics", "science", POST, instructions="Choose the best label.")
    new = table(30, start=5_000)
    change.model.label = lambda text: "post" if old_label(text) == "mail" else old_label(text)
    change.job.table([*table(ROWS), *new])
    change.run()
    assert set(new) <= set(change.asked)
    carried = change.job.labelled().filter(pl.col("label_source") == "carried")
    assert len(carried) == ROWS + len(new) - len(change.asked) > 1_000
    requests = len(change.asked)
    change.job.table([*table(ROWS), *new, *table(20, start=9_000)])
    again = last_line(change.job.run())
    assert again["requests"] == 20 == len(change.asked) - requests
    kept = change.job.labelled().filter(pl.col("label_source") == "carried")
    assert kept.select("text", "label", "label_run").equals(carried.select("text", "label", "label_run"))


@pytest.mark.slow
def test_a_new_label_that_takes_a_few_rows_is_found_and_says_how_many_may_be_missed(change: Change) -> None:
    change.job.set(carry={"max_missed": "8%", "audits": 200})
    change.labels(*LABELS, {"name": "web", "description": "the web"})
    change.model.label = lambda text: "web" if text.endswith("web") else old_label(text)
    change.run()
    found = change.decision
    assert found["status"] == "certified"
    missed = change.job.labelled().filter(
        (pl.col("label_source") == "carried") & pl.col("text").str.ends_with("web")
    )
    recall = found["labels"]["web"]
    assert len(missed) <= found["most_missed"]
    assert recall["found"] == len(change.job.labelled().filter(pl.col("label") == "web"))
    assert recall["least_found"] <= recall["found"] / (recall["found"] + len(missed))
    assert f"web: {recall['found']} found, at least" in change.said


@pytest.mark.slow
def test_a_change_that_moves_all_rows_is_found_out_and_every_row_is_asked(change: Change) -> None:
    change.labels(*LABELS, instructions="Choose another label.")
    change.model.label = lambda text: LABELS[LABELS.index(old_label(text)) - 1]
    change.run()
    assert "the wording has moved everything" in change.said
    assert change.sources == {"model": ROWS, "none": 1}
    assert len(change.asked) == len(set(change.asked)) == ROWS
    assert change.job.labelled()["label"][:ROWS].to_list() == [
        change.model.label(text) for text in table(ROWS)
    ]


@pytest.mark.slow
def test_more_changes_than_are_allowed_have_the_audit_doubled_and_then_every_row_asked(
    change: Change,
) -> None:
    change.job.set(carry={"max_missed": "1%", "audits": 60})
    change.labels(*LABELS, {"name": "web", "description": "the web"})
    change.model.label = lambda text: "web" if int(text.split()[1]) % 20 == 0 else old_label(text)
    change.run()
    found = change.decision
    assert found["status"] == "refused"
    assert found["audited"] > 180  # four times 60, more or less
    assert "does not prove that at most 1 % do; every row is asked" in change.said
    assert len(change.asked) == len(set(change.asked)) == ROWS


@pytest.mark.slow
def test_a_prompt_that_stands_for_many_rows_is_always_asked(change: Change) -> None:
    often = table(4, start=7)
    change.job.table([*table(ROWS), *often * 40])
    change.labels(*LABELS, instructions="Choose the best label.")
    change.run()
    assert set(often) <= set(change.asked)
    assert change.sources["carried"] > 1_000


@pytest.mark.slow
def test_a_merge_is_carried_and_both_sides_of_it_are_audited(change: Change) -> None:
    change.labels(
        "games", "graphics", "science", {"name": "media", "was": ["sound", "mail"], "description": "all"}
    )
    change.model.label = lambda text: {"sound": "media", "mail": "media"}.get(
        old_label(text), old_label(text)
    )
    planned = change.diff()
    merge = planned["changes"][0]
    assert (merge["kind"], merge["rows"], merge["forced"]) == ("merge", 2 * ROWS // 5, 0)
    change.run()
    found = change.decision
    assert found["status"] == "certified"
    assert 100 < found["merged"]["audited"] < 200
    assert found["audited"] > 250
    assert abs(planned["total"]["audits"] - found["audited"]) < 60
    assert change.job.labelled()["label"][:ROWS].to_list() == [
        change.model.label(text) for text in table(ROWS)
    ]


@pytest.mark.slow
def test_a_label_with_another_description_has_its_own_rows_asked(change: Change) -> None:
    change.labels("games", "sound", "graphics", "science", {"name": "mail", "description": "letters only"})
    planned = change.diff()
    assert [(each["kind"], each["rows"], each["forced"]) for each in planned["changes"][:1]] == [
        ("edit", 240, 240)
    ]
    change.run()
    assert {text for text in table(ROWS) if old_label(text) == "mail"} <= set(change.asked)
    assert len(change.asked) < 500


@pytest.mark.slow
def test_a_label_that_two_stand_for_is_split_and_asked(change: Change) -> None:
    change.labels(
        "games", "sound", "graphics", "science",
        {"name": "letters", "was": "mail"}, {"name": "stamps", "was": "mail"},
    )  # fmt: skip
    assert change.diff()["changes"][0]["kind"] == "split"
    change.model.label = lambda text: "stamps" if old_label(text) == "mail" else old_label(text)
    change.run()
    assert change.decision["forced"] == 240
    assert len(change.job.labelled().filter(pl.col("label") == "stamps")) == 240


def test_rows_that_have_failed_have_nothing_to_carry_and_are_asked(
    tmp_path: Path, server: FaultServer, model: Model
) -> None:
    model.label = lambda text: "nonsense" if text == "text 4 " else old_label(text)
    job = JobFiles(tmp_path, server.base_url).set(limits={"max_failed": "100%"})
    change = Change(job, server, model, list(table(20)))
    change.labels("games", "sound", "graphics", "science", POST)
    model.label = lambda _: "post"
    assert (change.run()["carried"], change.asked) == (19, ["text 4 "])
    assert job.labelled()["label"][4] == "post"


@pytest.mark.slow
def test_labels_that_were_carried_once_are_carried_on(change: Change) -> None:
    change.labels("games", "sound", "graphics", "science", POST)
    change.run()
    middle = change.job.config_file("middle.yaml")
    change.labels("games", "sound", "graphics", "science", {**POST, "name": "letters", "was": "post"})
    change.old = middle
    assert change.run()["requests"] == 0
    frame = change.job.labelled()
    assert frame["label"].to_list() == change.before["label"].replace("mail", "letters").to_list()
    assert set(frame["label_run"].drop_nulls()) == set(change.before["label_run"].drop_nulls())


@pytest.mark.slow
def test_rows_of_several_labels_carry_those_that_stay(
    tmp_path: Path, server: FaultServer, model: Model
) -> None:
    job = JobFiles(tmp_path, server.base_url).set(task={"kind": "multi"})
    model.label = lambda text: (
        [] if "web" in text else ["sound", old_label(text)][old_label(text) == "sound" :]
    )
    change = Change(job, server, model, list(table(300)))
    change.labels("games", "sound", "graphics", "science", POST)
    assert change.run()["requests"] == 0
    labels = change.job.labelled()["labels"].to_list()
    assert labels == [
        [{"mail": "post"}.get(each, each) for each in row] for row in change.before["labels"].to_list()
    ]


@pytest.mark.parametrize(
    ("arguments", "sections", "words"),
    [
        (["--slice", "0/2"], {}, "--from: one process decides about all rows"),
        (["--workers", "2"], {}, "--from: one process decides about all rows"),
        (["--workers", "2", "--engine", "ray"], {}, "--from: one process decides about all rows"),
        (["--limit", "5"], {}, "--from: one process decides about all rows"),
        ([], {"student": {"target": 0.9}}, "a student and --from would both answer rows"),
        ([], {"escalate": {"model": "other", "below": 0.5}}, "labels that a second model has decided about are not carried"),
        ([], {"model": {"lane": "batch"}}, "model.lane: batch: would ask about all rows"),
        ([], {"task": {"text": "It says {text}"}}, "task.text: is another one than in old.yaml"),
        ([], {"task": {"kind": "multi"}}, "task.kind: is another one than in old.yaml"),
        ([], {"task": {"labels": ["games", {"name": "x", "was": "gamez"}]}}, "old.yaml has no label 'gamez'; did you mean 'games'?"),
    ],
)  # fmt: skip
def test_what_cannot_be_carried_is_said_before_anything_is_sent(
    tmp_path: Path, server: FaultServer, arguments: list[str], sections: dict[str, Any], words: str
) -> None:
    job = JobFiles(tmp_path, server.base_url)
    job.table(table(5))
    old = job.config_file("old.yaml")
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "ledger.sqlite").touch()
    done = job.set(**sections).run("--from", str(old), *arguments)
    assert done.returncode == 78
    assert words in done.stderr
    assert server.entries == []


def test_labels_are_carried_from_another_state_directory(small: Change) -> None:
    small.labels("games", "sound", "graphics", "science", POST).job.set(state={"dir": "elsewhere"})
    assert (small.run()["requests"], small.sources) == (0, {"carried": 20})
    assert last_line(small.job.run())["again"]


@pytest.fixture
def small(tmp_path: Path, server: FaultServer, model: Model) -> Change:
    return Change(JobFiles(tmp_path, server.base_url), server, model, list(table(20)))


def test_a_config_that_never_ran_is_refused_by_run_check_and_diff_alike(small: Change) -> None:
    old = json.loads(small.old.read_text()) | {"state": {"dir": "nowhere"}}
    small.old.write_text(json.dumps(old))
    new = str(small.labels("games", "sound", "graphics", "science", POST).job.config_file())
    for words in (
        ["run", new, "--from", str(small.old)],
        ["check", new, "--from", str(small.old)],
        ["diff", str(small.old), new],
    ):
        done = command(*words)
        assert done.returncode == 78
        assert "has never been run" in done.stderr


def test_what_was_carried_is_neither_sliced_nor_handed_in_as_a_batch(small: Change) -> None:
    small.labels("games", "sound", "graphics", "science", POST)
    small.run()
    for words in (["--workers", "2"], ["--set", "model.lane=batch"]):
        done = small.job.run(*words)
        assert done.returncode == 78
        assert "rows of this job carry labels of an earlier config" in done.stderr
    assert small.asked == []


def test_commands_that_read_answers_know_those_that_were_carried(small: Change) -> None:
    small.labels("games", "sound", "graphics", "science", POST)
    small.run()
    config = str(small.job.config_file())
    planned = last_line(command("plan", config))
    assert (planned["requests"], planned["carried"], planned["prompts"]) == (0, 20, 20)
    explained = last_line(command("explain", config, "4"))
    assert (explained["labels"], explained["status"]) == (["post"], "ok")


def test_diff_sends_nothing_and_prints_what_is_asked_against_asking_everything(small: Change) -> None:
    small.job.set(model={"price": {"input": 0.1, "output": 0.4}})
    small.labels("games", "sound", "graphics", "science", instructions="Other words.")
    found = small.diff()
    assert small.asked == []
    assert [each["kind"] for each in found["changes"]] == ["remove", "wording", "audit"]
    assert found["everything"]["forced"] == 20
    assert (
        0
        < found["changes"][0]["cost_usd"]
        < found["everything"]["cost_usd"]
        == pytest.approx(found["total"]["cost_usd"])
    )
    assert found["cost_source"] == "config"
    assert "every row is asked" in small.said
    assert "task.instructions" in small.said
    dry = small.job.run("--from", str(small.old), "--dry-run")
    assert (last_line(dry), small.asked) == (found, [])


def test_diff_has_learned_from_the_old_answers_what_the_endpoint_bills(small: Change) -> None:
    small.job.set(model={"price": {"input": 0.1, "output": 0.4}})
    small.labels("games", "sound", "graphics", "science", instructions="Other words.")
    small.model.label = lambda text: "games" if old_label(text) == "mail" else old_label(text)
    found = small.diff()["everything"]
    everything = last_line(small.job.run())
    assert found["forced"] == everything["requests"]
    assert found["cost_usd"] == pytest.approx(everything["cost_usd"], rel=0.05)


def test_where_the_question_is_the_same_nothing_is_renamed(small: Change) -> None:
    found = small.diff()
    assert (found["renamed"], found["changes"], found["total"]["forced"]) == (False, [], 0)
    assert "the question is the same" in small.said


@pytest.mark.parametrize(
    ("carry", "labels", "asked_of_all"),
    [
        ({"max_missed": "50%", "audits": 4}, LABELS[:4], True),
        ({"max_missed": "50%", "audits": 12}, LABELS[:4], False),
        ({}, [*LABELS[:4], POST], True),
    ],
    ids=["audited", "not worth it", "renamed"],
)
def test_a_plan_in_python_says_what_diff_says_of_a_run_that_carries_labels(
    small: Change, carry: dict[str, Any], labels: list[Any], *, asked_of_all: bool
) -> None:
    small.job.set(carry=carry, model={"price": {"input": 0.1, "output": 0.4}})
    small.labels(*labels)
    told = small.diff()
    planned = pipeline.plan(small.job.config(), RunOptions(previous=pipeline.load_config(small.old)))
    total = told["total"]
    assert planned.requests == total["forced"] + total["audits"]
    assert planned.cost_usd == pytest.approx(total["cost_usd"], rel=0.02)
    assert planned.to_carry == 20 - planned.requests
    assert (planned.requests < 20) is asked_of_all
    assert planned.prompts == 20
    assert small.asked == []


@pytest.mark.slow
def test_a_student_leaves_carried_rows_as_they_are_and_learns_from_what_was_asked(change: Change) -> None:
    change.labels("games", "sound", "graphics", "science", instructions="Other words.")
    change.model.label = lambda text: "games" if old_label(text) == "mail" else old_label(text)
    change.run()
    before = change.job.labelled().filter(pl.col("label_source") == "carried")
    change.job.set(student={"target": 0.9, "audits": 50, "answers": 500}).table(
        [*table(ROWS), *table(900, start=5_000)]
    )
    done = change.job.run()
    assert "student: " in done.stderr
    assert done.returncode == 0
    after = change.job.labelled().filter(pl.col("label_source") == "carried")
    assert len(before) > 500
    assert after.select("text", "label", "label_run").equals(before.select("text", "label", "label_run"))
    assert len(change.asked) == len(set(change.asked))


@pytest.mark.slow
def test_a_row_that_was_unsure_stays_unsure(tmp_path: Path, model: Model) -> None:
    settings = FaultServerSettings(logprobs="yes")
    with FaultServer(settings, label_for=model) as server:
        job = JobFiles(tmp_path, server.base_url).set(
            model={"logprobs": True}, task={"unsure_below": 0.99999}
        )
        change = Change(job, server, model, list(table(40)))
        change.labels("games", "sound", "graphics", "science", POST)
        change.run()
        frame = change.job.labelled()
        for name in ("label_status", "label_confidence"):
            assert frame[name].equals(change.before[name])


@pytest.mark.slow
def test_the_report_tells_what_was_carried(change: Change) -> None:
    change.job.set(output={"report": True})
    change.labels("games", "sound", "graphics", "science")
    change.model.label = lambda text: "games" if old_label(text) == "mail" else old_label(text)
    result = change.run()
    facts = json.loads(Path(result["report"]).read_text())
    assert facts["carried_nights"][-1]["rows"] == result["carried"]
    page = Path(result["report"]).with_suffix(".html").read_text()
    assert "What an earlier config has found" in page
    assert "remove: mail" in page
