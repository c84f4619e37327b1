"""The pipeline against a real language model server that nobody here wrote."""

import pytest

from tests.jobs import LABELS, JobFiles, run_job

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
