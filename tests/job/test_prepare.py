"""Conflicts between the input and the output, found before anything is sent."""

from collections.abc import Sequence

import polars as pl
import pytest

from pipeline.errors import ConfigError
from pipeline.job.prepare import prepare
from tests.jobs import JobFiles, run_job, texts


def problems(job: JobFiles) -> Sequence[str]:
    with pytest.raises(ConfigError) as caught:
        prepare(job.config())
    return [problem.replace(f"{job.folder}/", "") for problem in caught.value.problems]


async def test_new_columns_that_the_input_has_already_need_a_prefix(job: JobFiles) -> None:
    job.table(pl.DataFrame({"text": ["a"], "label": ["mine"], "cost_usd": [1.0]}))
    (problem,) = problems(job)
    assert problem.startswith("output.columns.prefix: the input already has label, cost_usd; set a prefix")
    job.set(output={"columns": {"prefix": "tag_"}})
    await run_job(job.config())
    assert job.labelled()["label"].to_list() == ["mine"]


def test_columns_that_are_not_kept_are_in_nobodys_way(job: JobFiles) -> None:
    job.table(pl.DataFrame({"text": ["a"], "label": ["mine"]}))
    job.set(output={"columns": {"only": ["text"]}})
    assert prepare(job.config()).kept_columns() == ["text"]


async def test_an_earlier_output_of_ours_may_be_labelled_again(job: JobFiles) -> None:
    job.table(texts(5))
    await run_job(job.config())
    first = job.labelled()
    job.set(input={"path": "out/labelled.parquet"}, output={"path": "out/again.parquet"})
    result = await run_job(job.config())
    assert result.requests == 0
    assert job.labelled().columns == first.columns
    assert job.labelled()["label"].equals(first["label"])


def test_files_that_would_become_one_are_named(job: JobFiles) -> None:
    (job.folder / "days").mkdir()
    for name in ("a.csv", "a.tsv"):
        (job.folder / "days" / name).write_text("text\nhello\n")
    job.set(input={"path": "days"}, output={"path": "out/days"})
    assert problems(job) == ["input.path: a.csv and a.tsv would both become a.parquet; rename one"]
