"""A file of right labels is read as any table is, or refused in a sentence; no file is a bug."""

import datetime as dt
import gzip
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pipeline.commands.evaluate import evaluate
from pipeline.errors import ConfigError, InputDataError
from tests.jobs import JobFiles
from tests.judged import Reply, answer_rows, jobs_without_server

IDS, NAMES = ["007", "b", "c"], ["games", "sound", "sound"]


@pytest.fixture
def three(tmp_path: Path) -> JobFiles:
    """A job without a gold column: rows 007, b and c are right, wrong and right."""
    job = jobs_without_server(tmp_path)
    job.table(pl.DataFrame({"id": IDS, "text": ["one", "two", "three"]}))
    answer_rows(job, [Reply("games"), Reply("games"), Reply("sound")])
    return job


READABLE: dict[str, tuple[list[Any], list[Any], int]] = {
    "texts": (IDS, NAMES, 2),
    "lists": (IDS, [[name] for name in NAMES], 2),
    "dates": (IDS, [dt.date(2026, 1, 1)] * 3, 0),
    "durations": (IDS, [dt.timedelta(1)] * 3, 0),
    "booleans": (IDS, [True] * 3, 0),
    "numbers": (IDS, [1, 2, 3], 0),
    "lists of numbers": (IDS, [[1], [2], [3]], 0),
}

REFUSED: dict[str, tuple[list[Any], list[Any], str]] = {
    "ids in lists": ([[name] for name in IDS], NAMES, "the ids in column id are of type"),
    "ids in structs": ([{"a": name} for name in IDS], NAMES, "the ids in column id are of type"),
    "ids of bytes": ([b"\xff" + name.encode() for name in IDS], NAMES, "the ids in column id are of type"),
    "ids of no row": ([0.5, 1.5, 2.5], NAMES, "has no right label of any row"),
    "structs": (IDS, [{"a": name} for name in NAMES], "right labels are text"),
    "lists of lists": (IDS, [[[name]] for name in NAMES], "right labels are text"),
    "lists of structs": (IDS, [[{"a": name}] for name in NAMES], "right labels are text"),
    "bytes": (IDS, [name.encode() for name in NAMES], "right labels are text"),
    "bytes that are no text": (IDS, [b"\xff"] * 3, "right labels are text"),
    "nothing": (IDS, [None] * 3, "has no right label of any row"),
}


def gold_of(job: JobFiles, ids: list[Any], labels: list[Any]) -> str:
    path = job.folder / "gold.parquet"
    pl.DataFrame({"id": ids, "label": labels}).write_parquet(path)
    return str(path)


@pytest.mark.parametrize("kind", READABLE)
def test_ids_and_labels_that_have_a_text_are_read(three: JobFiles, kind: str) -> None:
    ids, labels, right = READABLE[kind]
    found = evaluate(three.config(), gold_of(three, ids, labels))
    assert (found.rows, found.right) == (3, right)
    assert bool(found.unknown_gold) == (right == 0)


@pytest.mark.parametrize("kind", REFUSED)
def test_ids_and_labels_without_a_text_are_refused_in_a_sentence(three: JobFiles, kind: str) -> None:
    ids, labels, complaint = REFUSED[kind]
    with pytest.raises((InputDataError, ConfigError), match=f"gold.parquet: .*{complaint}"):
        evaluate(three.config(), gold_of(three, ids, labels))


@pytest.mark.parametrize(
    ("name", "content", "right"),
    [
        ("gold.csv.gz", gzip.compress(b"id,label\n007,games\nb,sound\n", mtime=0), 1),
        ("gold.csv", "id,label\n007,games\nb,sound\n".encode("utf-16"), 1),
        ("gold.csv", b"id,label\r007,games\rb,sound\r", 1),
        ("gold.csv", "id;label;note\n007;games;caf\xe9\nb;sound;1,5\n".encode("cp1252"), 1),
        ("gold.csv", b"id|label\n007|games\n", 1),
        ("gold.jsonl", b'{"id":"007","label":["games"]}\n{"id":"b","label":["sound"]}\n', 1),
        ("gold.csv", b"id,id,label\n007,007,games\n", "two columns that are called id"),
        ("gold.csv", b"id,label\n007,games,sound\nb,sound\n", "gold.csv"),
        ("gold.csv", b"PK\x03\x04 a workbook", "an Excel workbook"),
        ("gold.jsonl", b'{"id":"007","label":"games"}\n{"id":"b","label":["sound"]}\n', "key 'label' holds array here"),
        ("gold.jsonl", b"[1, 2]\n", "is a list"),
        ("gold.jsonl", b'{"id":"007","label":' + b"[" * 2_000 + b"]" * 2_000 + b"}\n", "nested too deep"),
        ("gold.parquet", b"PAR1 and no more", "cut short"),
        ("gold.json", json.dumps([{"id": "007", "label": "games"}]).encode(), "has no suffix that is known"),
    ],
)  # fmt: skip
def test_a_file_of_any_kind_is_read_or_refused(
    three: JobFiles, name: str, content: bytes, right: int | str
) -> None:
    path = three.folder / name
    path.write_bytes(content)
    if isinstance(right, int):
        assert evaluate(three.config(), str(path)).right == right
        return
    with pytest.raises(InputDataError, match=right):
        evaluate(three.config(), str(path))


def test_the_ids_of_a_file_are_read_as_those_of_the_input_are(three: JobFiles) -> None:
    at = [dt.datetime(2026, 1, day, 9, 30, tzinfo=dt.UTC) for day in (1, 2, 3)]
    three.table(pl.DataFrame({"id": at, "text": ["one", "two", "three"]}))
    found = evaluate(three.config(), gold_of(three, at, NAMES))
    assert (found.rows, found.right) == (3, 2)
