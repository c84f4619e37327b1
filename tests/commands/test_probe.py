"""What `probe` finds out, and what it means for a run."""

import json
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from pipeline.commands.probe import Finding, probe, problem
from tests.faultserver.faults import Call
from tests.faultserver.http1 import Response
from tests.faultserver.server import FaultServer
from tests.jobs import JobFiles, command, last_line

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


def exit_status(findings: Iterable[Finding]) -> int:
    error = problem(findings)
    return error.exit_status if error else 0


async def found(job: JobFiles) -> dict[str, Finding]:
    return {finding.name: finding for finding in (await probe(job.config()))[""]}


@pytest.mark.parametrize(
    ("fault", "status"), [("unauthorized", 77), ("insufficient_credits", 77), ("http_500", 69)]
)
async def test_probe_ends_as_a_run_would_that_gets_no_answer(
    job: JobFiles, server: FaultServer, fault: str, status: int
) -> None:
    server.when(lambda _: True, fault)
    assert exit_status((await probe(job.config()))[""]) == status


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


FEATURES = (
    "json_schema",
    "json_object",
    "text",
    "logprobs",
    "usage",
    "rate-limit headers",
    "price",
    "config",
)


@pytest.mark.parametrize("fault", ["unauthorized", "insufficient_credits", "http_500"])
async def test_where_there_was_no_reply_nothing_is_said_of_what_the_endpoint_takes(
    job: JobFiles, server: FaultServer, fault: str
) -> None:
    server.when(lambda _: True, fault)
    findings = await found(job)
    assert {name: findings[name].works for name in FEATURES} == dict.fromkeys(FEATURES)
    assert all(findings[name].detail for name in FEATURES)


async def test_where_nobody_is_there_nothing_is_said_either(job: JobFiles) -> None:
    findings = await found(job.set(model={"base_url": "http://127.0.0.1:9/v1"}))
    assert {each.works for each in findings.values()} == {None}
    assert "no connection to the endpoint" in findings["model object"].detail
    assert exit_status(findings.values()) == 69


async def test_what_is_not_asked_for_is_unknown(job: JobFiles) -> None:
    assert (await found(job.set(model={"logprobs": False})))["logprobs"].works is None


async def test_what_is_refused_while_the_rest_is_answered_is_not_supported(
    job: JobFiles, server: FaultServer
) -> None:
    refusing(server, lambda body: "no logprobs here" if "logprobs" in body else None)
    logprobs = (await found(job))["logprobs"]
    assert logprobs.works is False
    assert "no logprobs here" in logprobs.detail


THOUGHTS = {"role": "assistant", "content": None, "reasoning_content": "Well, a label, but which one?"}
BROKEN = {"role": "assistant", "content": None}


@pytest.mark.parametrize("message", [THOUGHTS, BROKEN, {"role": "assistant", "content": "Hello!"}])
def test_an_endpoint_that_answers_and_names_no_label_is_no_outage(
    job: JobFiles, server: FaultServer, message: dict[str, Any]
) -> None:
    def answer(_: Call) -> Response:
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return Response(200, json.dumps({"id": "1", "model": "m", "choices": [choice]}).encode())

    server.when(lambda _: True, answer)
    ran = command("probe", str(job.config_file()))
    assert ran.returncode == 78
    assert last_line(ran)["status"] == "error"
    assert last_line(ran)["json_schema"] is (None if message is BROKEN else False)


def test_a_probe_that_fails_ends_as_every_command_does(job: JobFiles, server: FaultServer) -> None:
    server.when(lambda _: True, "unauthorized")
    ran = command("probe", str(job.config_file()))
    told = last_line(ran)
    assert (ran.returncode, told["status"], told["exit_status"], told["json_schema"]) == (
        77,
        "error",
        77,
        None,
    )
    assert ran.stderr.splitlines()[-1] == f"error: {told['error']}"
    assert "unknown" in ran.stderr


def test_a_probe_that_succeeds_says_so(job: JobFiles) -> None:
    told = last_line(command("probe", str(job.config_file())))
    assert (told["status"], told["json_schema"]) == ("ok", True)
