"""A broken endpoint costs time, not rows; a hopeless one costs next to nothing."""

import json
from pathlib import Path

import pytest

from pipeline.errors import ConfigError, KeyRefusedError
from pipeline.servers.simulator.settings import RateSettings
from tests.faultserver.http1 import Response
from tests.faultserver.server import FaultServer
from tests.faultserver.settings import FaultServerSettings
from tests.jobs import JobFiles, asked, last_line, right_label, run_job, texts

BROKEN = (
    "http_500", "http_502", "html_200", "empty_200", "cut_json", "wrong_json", "error_200", "no_choices", "null_content",
    "drop", "reset_mid_body",
)  # fmt: skip


def job_against(folder: Path, **settings: object) -> tuple[FaultServer, JobFiles]:
    server = FaultServer(FaultServerSettings(**settings), label_for=right_label)
    server.__enter__()
    return server, JobFiles(folder, server.base_url)


@pytest.fixture
def serve(tmp_path: Path):
    running = []

    def start(**settings: object) -> tuple[FaultServer, JobFiles]:
        server, job = job_against(tmp_path, **settings)
        running.append(server)
        return server, job

    yield start
    for server in running:
        server.__exit__(None, None, None)


@pytest.mark.slow
async def test_with_thirty_percent_of_answers_broken_every_row_is_right(serve) -> None:
    _, job = serve(seed=5, faults=dict.fromkeys(BROKEN, 0.3 / len(BROKEN)))
    rows = texts(600)
    job.table(rows)
    result = await run_job(job.config())
    assert result.failed == 0
    assert job.labelled()["label"].to_list() == [right_label(text) for text in rows]


@pytest.mark.slow
async def test_thirty_percent_of_status_500_costs_at_most_half_as_many_requests_again(serve) -> None:
    server, job = serve(seed=6, faults={"http_500": 0.3})
    job.table(texts(1000))
    result = await run_job(job.config())
    assert result.failed == 0
    assert len(asked(server)) <= 1500


@pytest.mark.parametrize("fault", ["list_content", "code_fence", "wrong_case", "bom"])
async def test_an_unusual_but_clear_reply_is_read(serve, fault: str) -> None:
    _, job = serve(faults={fault: 1.0})
    job.table(texts(20))
    await run_job(job.config())
    assert job.labelled()["label"].to_list() == [right_label(text) for text in texts(20)]


@pytest.mark.parametrize("fault", ["prose", "two_labels", "unknown_label", "homoglyph", "length"])
async def test_a_reply_outside_the_set_is_asked_once_more_and_then_kept_as_invalid(serve, fault: str) -> None:
    server, job = serve(faults={fault: 1.0})
    job.table(texts(20))
    result = await run_job(job.config())
    labelled = job.labelled()
    assert labelled["label_status"].to_list() == ["invalid"] * 20
    assert labelled["label"].null_count() == 20
    assert len(asked(server)) == 40
    assert labelled["prompt_tokens"].sum() == sum(entry.prompt_tokens for entry in server.entries)
    assert (result.failed, result.exit_status) == (20, 1)


@pytest.mark.parametrize(("fault", "status"), [("content_filter", "filtered"), ("refusal", "refused")])
async def test_what_the_provider_will_not_answer_is_final_and_its_tokens_count(
    serve, fault: str, status: str
) -> None:
    server, job = serve(faults={fault: 1.0})
    job.table(texts(5))
    await run_job(job.config())
    assert job.labelled()["label_status"].to_list() == [status] * 5
    assert len(asked(server)) == 5
    assert job.labelled()["prompt_tokens"].sum() > 0


async def test_one_bad_row_never_costs_the_run(serve) -> None:
    server, job = serve()
    rows = texts(100)
    server.when(lambda text: text == rows[50], "context_length")
    server.when(lambda text: text == rows[60], "bad_request")
    server.when(lambda text: text == rows[70], "cut_json")
    job.table(rows)
    result = await run_job(job.config())
    statuses = job.labelled()["label_status"].to_list()
    assert [statuses[n] for n in (50, 60, 70)] == ["too_long", "error", "error"]
    assert (result.ok, result.failed) == (97, 3)


@pytest.mark.parametrize(
    "fault", ["usage_missing", "usage_null", "usage_negative", "usage_huge", "usage_string"]
)
async def test_nonsense_in_usage_is_null_and_not_a_sum(serve, fault: str) -> None:
    _, job = serve(faults={fault: 1.0})
    job.table(texts(5))
    result = await run_job(job.config())
    assert job.labelled()["prompt_tokens"].to_list() == [None] * 5
    assert result.prompt_tokens == 0


async def test_an_unknown_model_ends_the_run_after_at_most_two_requests(serve) -> None:
    server, job = serve(models=("another-model",))
    job.table(texts(500))
    with pytest.raises(ConfigError, match=r"model_not_found|does not exist.*set model\.name") as caught:
        await run_job(job.config())
    assert caught.value.exit_status == 78
    assert server.requests <= 2


async def test_a_quota_that_is_gone_ends_the_run_at_once(serve) -> None:
    server, job = serve(faults={"quota_exhausted": 1.0})
    job.table(texts(500))
    with pytest.raises(KeyRefusedError):
        await run_job(job.config())
    assert server.requests <= 3


async def test_a_refused_key_is_confirmed_three_times(serve) -> None:
    server, job = serve(api_key="right")
    job.table(texts(500))
    with pytest.raises(KeyRefusedError, match="check the key"):
        await run_job(job.config())
    assert len(asked(server)) <= 4


def test_a_missing_key_names_the_variable_and_the_way_to_try_without(tmp_path: Path) -> None:
    job = JobFiles(tmp_path, "unused").set(model={"provider": "oxen"})
    del job.settings["model"]["base_url"]
    job.table(texts(5))
    done = job.run()
    assert done.returncode == 78
    assert "OXEN_API_KEY" in done.stderr
    assert "--provider local" in done.stderr
    assert last_line(done)["status"] == "error"


@pytest.mark.parametrize(
    ("support", "sent"),
    [
        ({"json_schema": "refused"}, "json_object"),
        ({"json_schema": "refused", "json_object": "refused"}, "text"),
        ({"logprobs": "refused"}, "json_schema"),
        ({"json_schema": "ignored", "logprobs": "ignored"}, "json_schema"),
    ],
)
async def test_what_the_endpoint_does_not_support_is_left_out(
    serve, support: dict[str, str], sent: str
) -> None:
    _, job = serve(**support)
    rows = texts(50)
    job.table(rows)
    result = await run_job(job.config())
    assert result.failed == 0, sent
    assert job.labelled()["label"].to_list() == [right_label(text) for text in rows]


async def test_a_rate_that_the_server_enforces_is_kept(serve) -> None:
    server, job = serve(rates=RateSettings(requests_per_minute=6000))
    job.table(texts(300))
    job.set(limits={"requests_per_minute": 5900})
    result = await run_job(job.config())
    assert result.failed == 0
    assert sum(entry.status == 429 for entry in server.entries) <= 3


async def test_a_hidden_rate_costs_no_row(serve) -> None:
    rates = RateSettings(requests_per_minute=6000, retry_after="none")
    _, job = serve(rates=rates, rate_headers=False)
    job.table(texts(150))
    result = await run_job(job.config())
    assert result.failed == 0


async def test_a_key_that_the_endpoint_repeats_stays_out_of_errors_ledger_and_output(
    serve, monkeypatch
) -> None:
    canary = "sk-canary-4711"
    monkeypatch.setenv("CANARY_KEY", canary)
    server, job = serve()
    rows = texts(50)
    body = json.dumps({"error": {"message": f"bad request with key {canary}"}}).encode()
    server.when(lambda text: text == rows[7], Response(400, body))
    job.table(rows)
    job.set(model={"api_key_env": "CANARY_KEY"})
    result = await run_job(job.config())
    assert result.failed == 1
    assert "[redacted]" in job.labelled()["label_error"][7]
    left = [path for path in job.folder.rglob("*") if path.is_file()]
    assert len(left) > 4
    assert [path for path in left if canary.encode() in path.read_bytes()] == []
