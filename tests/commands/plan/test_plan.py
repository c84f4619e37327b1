"""What `plan` says of a run's cost, and what it says it does not know."""

import json
from pathlib import Path

import polars as pl
import pytest

from pipeline.commands.answered import readable
from pipeline.config.simulate.latency import Fixed
from pipeline.inputs.read import read_chunks
from pipeline.inputs.source import all_spans
from pipeline.llm.batch.book import Book, Submission
from tests.faultserver.faults import Call
from tests.faultserver.http1 import Response
from tests.faultserver.server import FaultServer
from tests.faultserver.settings import FaultServerSettings
from tests.jobs import JobFiles, command, last_line, right_label, texts

THOUGHTS = 700
TOKENS_OF_A_LABEL = 6
"""Of {"label":"games"} and the end of the reply, by OpenAI's tokenizer."""


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
    assert (told["completion_source"], told["reasons"]) == ("guess", True)
    assert told["completion_tokens"] == pytest.approx(40 * TOKENS_OF_A_LABEL, rel=0.2)
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
    assert other["completion_source"] == "guess"
    assert other["completion_tokens"] == pytest.approx(40 * TOKENS_OF_A_LABEL, rel=0.2)


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


def test_a_run_that_cannot_be_done_in_time_is_planned_with_what_would_make_it(job: JobFiles) -> None:
    job.table(texts(3_000))
    job.set(limits={"requests_per_minute": 1, "finish_by": "06:00"})  # fifty hours
    ran = command("plan", str(job.config_file()))
    finish = last_line(ran)["finish"]
    assert not finish["makes_it"]
    assert finish["ends"] > finish["by"]
    assert any(each.startswith("limits.requests_per_minute: ") for each in finish["remedies"])
    assert f"{' or '.join(finish['remedies'])} would make it" in ran.stderr
    raised = finish["remedies"][0].split(": ")[1].replace("_", "")
    again = last_line(
        command("plan", str(job.config_file()), "--set", f"limits.requests_per_minute={raised}")
    )
    assert again["finish"]["makes_it"]
    assert (
        last_line(command("plan", str(job.set(limits={"finish_by": None}).config_file())))["finish"] is None
    )


@pytest.mark.slow
def test_the_run_says_at_its_start_whether_it_is_done_in_time(job: JobFiles, server: FaultServer) -> None:
    job.table(texts(5))
    job.set(limits={"requests_per_minute": 600, "finish_by": "06:00"})
    assert (
        "limits.finish_by: if all rows left have to be asked, at 600 requests a minute it ends"
        in job.run().stderr
    )
    assert server.requests


def test_a_plan_refuses_what_a_run_would_refuse(job: JobFiles) -> None:
    job.table(texts(5))
    job.set(model={"lane": "batch", "rows_per_request": 5})
    ran, planned = job.run(), command("plan", str(job.config_file()))
    assert planned.returncode == ran.returncode == 2
    assert "model.lane: batch: has one row in each request" in planned.stderr


def test_prompts_in_a_batch_are_being_asked_and_not_to_be_asked_again(job: JobFiles) -> None:
    job.table(texts(10))
    job.set(model={"lane": "batch"})
    config = job.config()
    with readable(config) as made:
        keys = [
            key
            for chunk in read_chunks(made.source, ("text",), all_spans(made.source))
            for key in made.task.prompts(chunk.columns).keys
        ]
    with Book(config.state.dir) as book:
        book.add(Submission("one", "run", "somewhere", 4, 0.0, 0.0), [key for key in keys[:4] if key])
    ran = command("plan", str(job.config_file()))
    told = last_line(ran)
    assert (told["prompts"], told["answered"], told["being_asked"], told["requests"]) == (10, 0, 4, 6)
    assert "4 are being asked in batches, and not asked again" in ran.stderr


@pytest.mark.slow
def test_what_replies_told_to_have_cost_is_believed_where_the_config_names_no_price(tmp_path: Path) -> None:
    with FaultServer(FaultServerSettings(prices=(2e-6, 8e-6), tell_cost=True)) as server:
        told = JobFiles(tmp_path, server.base_url)
        told.table(texts(60))
        assert last_line(command("plan", str(told.config_file())))["cost_usd"] is None
        assert told.run("--limit", "20", "--quiet").returncode == 0
        planned = last_line(command("plan", str(told.config_file())))
        assert planned["cost_source"] == "answers"
        done = last_line(told.run("--quiet"))
        assert planned["cost_usd"] * 60 / 40 == pytest.approx(done["cost_usd"] * 60 / 40, rel=0.05)
        priced = last_line(
            command(
                "plan",
                str(told.set(model={"price": {"input": 1, "output": 4}}).config_file()),
                "--retry",
                "all",
            )
        )
        assert priced["cost_source"] == "config"


def test_unusable_replies_are_planned_as_often_as_they_came(job: JobFiles, server: FaultServer) -> None:
    server.when(lambda text: text.startswith("row 1"), "unknown_label")
    job.table(texts(60))
    assert job.run("--limit", "20", "--quiet").returncode == 1  # 11 of these are invalid
    told = last_line(command("plan", str(job.config_file())))
    assert told["requests"] == 40 + told["asked_again"]
    assert 8 < told["asked_again"] < 22


def test_rows_of_strangers_are_planned_alone(job: JobFiles) -> None:
    job.set(model={"rows_per_request": 10}, input={"untrusted": "stranger"})
    job.table(pl.DataFrame({"text": texts(100), "stranger": ["yes"] * 30 + ["no"] * 70}))
    told = last_line(command("plan", str(job.config_file())))
    assert told["requests"] == 30 + 7 + 2 * told["compared"]


@pytest.mark.slow
def test_the_time_goes_by_how_long_replies_have_taken(tmp_path: Path) -> None:
    with FaultServer(FaultServerSettings(latency=Fixed(0.2))) as server:
        slow = JobFiles(tmp_path, server.base_url).set(limits={"max_concurrency": 5})
        slow.table(texts(60))
        assert last_line(command("plan", str(slow.config_file())))["seconds"] == 60 * 0.5 / 5
        assert slow.run("--limit", "10", "--quiet").returncode == 0
        told = last_line(command("plan", str(slow.config_file())))
        assert (told["bound"], told["seconds"]) == ("max_concurrency", pytest.approx(50 * 0.2 / 5, rel=0.4))
