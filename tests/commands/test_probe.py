"""What `probe` finds out, and what it means for a run."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from pipeline.commands.probe import Finding, exit_status, probe
from tests.faultserver.faults import Call
from tests.faultserver.http1 import Response
from tests.faultserver.server import FaultServer
from tests.jobs import JobFiles

Refuses = Callable[[dict[str, Any]], str | None]


def refusing(server: FaultServer, refuses: Refuses) -> None:
    """Have *server* refuse each body for which *refuses* returns a sentence."""

    def answer(call: Call) -> Response:
        said = refuses(json.loads(call.request.body))
        return (
            call.right() if said is None else Response(400, json.dumps({"error": {"message": said}}).encode())
        )

    server.when(lambda _: True, answer)


def reasoning_model(body: dict[str, Any]) -> str | None:
    if "max_tokens" in body:
        return "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
    if "temperature" in body:
        return "'temperature' does not support 0 with this model."
    return "logprobs are not supported" if "logprobs" in body else None


async def found(job: JobFiles) -> dict[str, Finding]:
    return {finding.name: finding for finding in await probe(job.config())}


@pytest.mark.parametrize(
    ("fault", "status"), [("unauthorized", 77), ("insufficient_credits", 77), ("http_500", 69)]
)
async def test_probe_ends_as_a_run_would_that_gets_no_answer(
    job: JobFiles, server: FaultServer, fault: str, status: int
) -> None:
    server.when(lambda _: True, fault)
    assert exit_status(await probe(job.config())) == status


async def test_one_request_is_enough_where_nothing_is_refused(job: JobFiles, server: FaultServer) -> None:
    findings = await found(job)
    assert len([entry for entry in server.entries if entry.text]) == 1
    assert findings["json_schema"].works
    assert findings["json_object"].works is None
    assert findings["config"].detail == "fits as it is"


async def test_what_a_model_that_reasons_takes_is_told_as_lines_for_the_config(
    job: JobFiles, server: FaultServer
) -> None:
    refusing(server, reasoning_model)
    findings = await found(job)
    assert len(server.entries) <= 5
    assert findings["config"].detail == "model: {temperature: null, logprobs: false}"
    assert "logprobs are not supported" in findings["logprobs"].detail
    assert exit_status(findings.values()) == 0


async def test_the_lines_hold_the_effort_and_the_structure(job: JobFiles, server: FaultServer) -> None:
    def refuses(body: dict[str, Any]) -> str | None:
        return "no schemas here" if body.get("response_format", {}).get("type") == "json_schema" else None

    refusing(server, refuses)
    findings = await found(job.set(model={"name": "gpt-5-nano"}))
    lines = "model: {temperature: null, reasoning_effort: minimal, structured_output: json_object, logprobs: false}"
    assert findings["config"].detail == lines


async def test_a_config_with_those_lines_is_refused_nothing(job: JobFiles, server: FaultServer) -> None:
    refusing(server, reasoning_model)
    lines = (await found(job))["config"].detail
    assert lines == "model: {temperature: null, logprobs: false}"
    before = len(server.entries)
    await found(job.set(model={"temperature": None, "logprobs": False, "name": "gpt-5-chat"}))
    assert len(server.entries) - before <= 2  # the model object, and the request


async def test_what_the_config_asks_for_and_the_endpoint_refuses_is_an_error_of_the_config(
    job: JobFiles, server: FaultServer
) -> None:
    refusing(server, reasoning_model)
    findings = await found(job.set(model={"temperature": 0}))
    assert exit_status(findings.values()) == 78
    assert findings["json_schema"].detail.endswith("set model.temperature to null")


async def test_an_endpoint_that_refuses_everything_is_asked_a_few_times(
    job: JobFiles, server: FaultServer
) -> None:
    refusing(server, lambda _: "no")
    assert exit_status((await found(job)).values()) != 0
    assert len(server.entries) <= 12
