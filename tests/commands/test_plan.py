"""What `plan` says of a run's cost, and what it says it does not know."""

import json

import pytest

from tests.faultserver.faults import Call
from tests.faultserver.http1 import Response
from tests.faultserver.server import FaultServer
from tests.jobs import JobFiles, command, last_line, right_label, texts

THOUGHTS = 700


def thinking(call: Call) -> Response:
    """Answer as a model does that reasons."""
    label = json.dumps({"label": right_label("a")})
    choice = {"index": 0, "message": {"role": "assistant", "content": label}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 100, "completion_tokens": THOUGHTS}
    body = {
        "id": "1",
        "model": json.loads(call.request.body)["model"] + "-2025-08-07",
        "choices": [choice],
        "usage": usage,
    }
    return Response(200, json.dumps(body).encode())


@pytest.fixture
def thinker(job: JobFiles, server: FaultServer) -> JobFiles:
    """A job of 40 rows for a model that reasons."""
    server.when(lambda _: True, thinking)
    job.table(texts(40))
    return job.set(model={"name": "gpt-5-nano", "price": {"input": 0, "output": 1}})


def test_thoughts_are_planned_as_they_were_billed(thinker: JobFiles) -> None:
    config = str(thinker.config_file())
    before = command("plan", config)
    told = last_line(before)
    assert (told["completion_tokens"], told["completion_source"], told["reasons"]) == (40 * 12, "guess", True)
    assert "this model reasons; its thoughts are billed as completion tokens" in before.stderr
    assert thinker.run("--limit", "10", "--quiet").returncode == 0
    after = command("plan", config)
    told = last_line(after)
    assert (told["requests"], told["completion_source"]) == (30, "answers")
    assert told["completion_tokens"] == 30 * THOUGHTS
    assert told["cost_usd"] == pytest.approx(30 * THOUGHTS / 1e6)
    assert "thoughts" not in after.stderr


def test_another_question_to_the_same_model_is_planned_like_its_last_answers(thinker: JobFiles) -> None:
    assert thinker.run("--limit", "10", "--quiet").returncode == 0
    config = str(thinker.set(task={"instructions": "Choose another label."}).config_file())
    told = last_line(command("plan", config))
    assert (told["requests"], told["completion_source"]) == (40, "model")
    assert told["completion_tokens"] == 40 * THOUGHTS
    other = last_line(command("plan", config, "--set", "model.name=gpt-5"))
    assert (other["completion_source"], other["completion_tokens"]) == ("guess", 40 * 12)


def test_a_model_that_may_reason_is_not_said_not_to(job: JobFiles) -> None:
    job.table(texts(3))
    ran = command("plan", str(job.config_file()))
    assert last_line(ran)["reasons"] is None
    assert "if this model reasons, its thoughts are billed" in ran.stderr


@pytest.mark.parametrize("how", [["--set", "model.reasoning_effort=none"], ["--provider", "local"]])
def test_of_a_model_that_does_not_reason_no_thoughts_are_spoken_of(job: JobFiles, how: list[str]) -> None:
    job.table(texts(3))
    ran = command("plan", str(job.config_file()), *how)
    assert last_line(ran)["reasons"] is False
    assert "thoughts" not in ran.stderr


def test_a_ceiling_that_thoughts_had_used_up_is_remembered_as_reasoning(
    job: JobFiles, server: FaultServer
) -> None:
    def all_thought(call: Call) -> Response:
        asked = json.loads(call.request.body)
        if asked["max_tokens"] > 32:
            return thinking(call)
        choice = {"index": 0, "message": {"role": "assistant", "content": ""}, "finish_reason": "length"}
        usage = {
            "prompt_tokens": 100,
            "completion_tokens": 32,
            "completion_tokens_details": {"reasoning_tokens": 32},
        }
        body = {"id": "1", "model": "m", "choices": [choice], "usage": usage}
        return Response(200, json.dumps(body).encode())

    server.when(lambda _: True, all_thought)
    job.table(texts(30))
    assert job.run("--limit", "5", "--quiet").returncode == 0
    assert last_line(command("plan", str(job.config_file())))["reasons"] is True
