"""`run --show`: the first rows of what was published, in any format, harmless and fitting."""

import polars as pl
import pytest

from pipeline.cli.run.show import _label
from tests.jobs import JobFiles, right_label, texts

HOSTILE = "\x1b[2J\x1b[31mred\r\n{not json}"


def shown(job: JobFiles, *arguments: str) -> list[list[str]]:
    ran = job.run("--show", "--quiet", *arguments)
    assert ran.returncode == 0, ran.stderr
    assert "\x1b" not in ran.stderr
    return [line.split() for line in ran.stderr.splitlines()]


@pytest.mark.parametrize("output", ["out/l.parquet", "out/l.csv", "out/l.jsonl.gz"])
def test_the_rows_of_the_output_are_shown(job: JobFiles, output: str) -> None:
    rows = [*texts(5), HOSTILE, ""]
    job.table(pl.DataFrame({"id": [f"id-{n}" for n in range(7)], "text": rows}))
    job.set(input={"id": "id"}, output={"path": output})
    lines = shown(job)
    assert lines[0] == ["id", "text", "label", "confidence"]
    assert [line[0] for line in lines[1:]] == [f"id-{n}" for n in range(7)]
    assert [right_label(text) in line for line, text in zip(lines[1:6], rows, strict=False)] == [True] * 5
    assert "(empty)" in lines[7]


def test_without_an_id_rows_have_their_index_and_twenty_are_enough(job: JobFiles) -> None:
    job.table(texts(50))
    lines = shown(job, "--limit", "30")
    assert [line[0] for line in lines] == ["row", *map(str, range(20))]


def test_texts_that_the_output_leaves_out_are_not_shown(job: JobFiles) -> None:
    job.table(texts(3))
    job.set(output={"path": "out/l.parquet", "columns": {"only": ["id"]}}, input={"id": "id"})
    assert shown(job)[0] == ["id", "label", "confidence"]


def test_several_files_are_shown_in_order(job: JobFiles) -> None:
    (job.folder / "in").mkdir()
    for number in range(2):
        job.table(texts(2, 2 * number), f"in/{number}.parquet")
    job.set(input={"path": "in"}, output={"path": "out/days"})
    assert [line[0] for line in shown(job)] == ["row", "0", "1", "2", "3"]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"label_status": "ok", "labels": ["a", "b"]}, "a, b"),
        ({"label_status": "ok", "labels": []}, "(none)"),
        ({"label_status": "invalid", "labels": []}, "(invalid)"),
        ({"label_status": "unsure", "label": "a"}, "a (unsure)"),
        ({"label_status": "error", "label": None}, "(error)"),
    ],
)
def test_a_row_says_its_labels_or_why_it_has_none(row: dict[str, object], said: str) -> None:
    assert _label(row, "") == said
