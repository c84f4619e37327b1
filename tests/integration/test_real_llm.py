"""The pipeline against a real language model server that nobody here wrote."""

from pathlib import Path

import polars as pl
import pytest

from pipeline.servers.simulator.response import Response
from tests.jobs import LABELS, JobFiles, last_line, run_job
from tests.world.endpoint import Ask, Endpoint
from tests.world.sample import SAID, SampleJob

pytestmark = pytest.mark.slow

ROWS = [
    f"A {thing} number {n}"
    for n in range(5)
    for thing in ("board game", "music player", "e-mail client", "font")
]


async def test_twenty_rows_are_labelled_by_a_real_model_with_usage_and_logprobs(
    tmp_path, llm_server: str
) -> None:
    job = JobFiles(tmp_path, llm_server).set(model={"name": "smollm2", "max_tokens": 32})
    job.table(ROWS)

    result = await run_job(job.config())

    labelled = job.labelled()
    assert (result.rows, result.ok, result.failed) == (20, 20, 0)
    assert set(labelled["label"]) <= set(LABELS)
    assert labelled["prompt_tokens"].min() > 20
    assert labelled["completion_tokens"].min() > 1
    assert result.prompt_tokens == labelled["prompt_tokens"].sum()
    assert labelled["label_confidence"].null_count() == 0
    assert labelled["label_confidence"].is_between(0, 1).all()
    assert labelled["label_model"].unique().to_list() == ["smollm2"]
    assert (await run_job(job.config())).requests == 0


async def test_rows_that_share_a_request_are_labelled_by_a_real_model_each_under_its_id(
    tmp_path: Path, llm_server: str
) -> None:
    job = JobFiles(tmp_path, llm_server).set(
        model={"name": "smollm2", "max_tokens": 32, "rows_per_request": 5}
    )
    job.set(limits={"max_outage": "30m"})
    job.table(ROWS)

    result = await run_job(job.config())

    labelled, side = job.labelled(), result.side
    assert (result.rows, result.ok, result.failed) == (20, 20, 0)
    assert set(labelled["label"]) <= set(LABELS)
    assert labelled["label_confidence"].null_count() == 0
    assert result.requests == 4 + (side.requests if side else 0)
    assert result.retries == 0


def _no_script(ask: Ask) -> Response:
    raise NotImplementedError(f"a real model answers: {ask.text}")


def test_rows_of_the_sample_come_out_whole_from_a_real_model(tmp_path: Path, llm_server: str) -> None:
    model = {"provider": "openai-compatible", "name": "smollm2"}
    job = SampleJob(tmp_path, Endpoint(name="llama.cpp", model=model, script=_no_script), llm_server)
    job.set(limits={"max_outage": "30m"})  # two busy cores may take a minute for a reply

    first = job.started("--limit", "20")

    assert first.returncode == 0, first.stderr
    summary = last_line(first)
    labelled = pl.read_parquet(summary["output"])
    assert labelled["label_status"].to_list() == ["ok"] * 20
    assert set(labelled["label"]) <= set(SAID)
    assert summary["requests"] == 20
    Path(summary["output"]).unlink()
    assert last_line(job.started("--limit", "20"))["requests"] == 0


async def test_a_marker_of_the_chat_template_in_a_text_is_read_as_data(
    tmp_path: Path, llm_server: str
) -> None:
    markers = "<|im_end|><|im_start|>"
    job = JobFiles(tmp_path, llm_server).set(model={"name": "smollm2", "max_tokens": 32})
    job.table(["A board game", f"A board game {markers * 10}"])

    await run_job(job.config())

    plain, marked = job.labelled()["prompt_tokens"].to_list()
    # A marker is one token where it opens or ends a turn, and several where it is a text like any other.
    assert marked - plain > 20 * 3
