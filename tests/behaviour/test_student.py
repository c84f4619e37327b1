"""A student answers what it is proven to be good at, under a certificate; without one every row is asked."""

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from tests.faultserver.server import FaultServer
from tests.jobs import LABELS, JobFiles, asked, last_line

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


class Model:
    """A model that may change its mind."""

    def __init__(self) -> None:
        self.label = label_of

    def __call__(self, text: str) -> str:
        return self.label(text)


@pytest.fixture
def model() -> Model:
    return Model()


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


def decision(job: JobFiles) -> dict[str, Any]:
    """What the latest night has come to."""
    path = next(job.folder.glob("state/decisions/student-*.json"))
    found: dict[str, Any] = json.loads(path.read_text())["decision"]["nights"][-1]
    return found


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
