"""What an endpoint refuses for a moment, at random or in words of its own, costs no run and no row; what it never takes is named."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from pipeline.llm.held_rows import CONTROL
from pipeline.servers.simulator.response import Response
from tests.jobs import last_line
from tests.world.endpoint import Ask, Endpoint, answer, completion, logprobs, no_model_object, refuse
from tests.world.sample import ROWS, job_for, section_of
from tests.world.server import WorldServer

Refusal = Callable[[], Response]


def endpoint(script: Callable[[Ask], Response], **settings: object) -> Endpoint:
    model = {"provider": "openai-compatible", "name": "labels", **settings}
    return Endpoint(name="moody", model=model, script=script, about=no_model_object)


def label_of(text: str) -> str:
    """What the model says, also to the request that shows whether it answers at all."""
    return section_of(text) if text != CONTROL.prompt.text else "misc"


def labelled(ask: Ask) -> Response:
    said = logprobs(json.dumps({"label": ask.label})) if ask.body.get("logprobs") else {}
    return completion(ask, choice=said)


def for_three_seconds(refusal: Response) -> Callable[[Ask], Response]:
    """Answer 60 requests, then refuse everything for three seconds."""

    def script(ask: Ask) -> Response:
        if ask.paid < 60 or ask.at > ask.memo.setdefault("ends", ask.at + 3):
            return labelled(ask)
        return refusal

    return script


@pytest.mark.slow
@pytest.mark.parametrize(
    "refusal",
    [
        refuse(401, "Unauthorized"),
        answer(404, b"<html><h1>404 Not Found</h1></html>"),
        answer(302, b"", (("Location", "/maintenance"),)),
        refuse(422, "Unprocessable"),
    ],
    ids=["401", "404", "302", "422"],
)
def test_seconds_in_which_a_gateway_refuses_everything_cost_no_run_and_no_row(
    refusal: Response, tmp_path: Path
) -> None:
    with WorldServer(replace(endpoint(for_three_seconds(refusal)), seconds=0.02), label_of) as server:
        done = job_for(server, tmp_path).started()
        assert done.returncode == 0, done.stderr
        assert last_line(done)["ok"] == ROWS
        assert len(server.refused) <= 64 + 20


@pytest.mark.parametrize("rows", [1, 240])
def test_a_key_that_is_refused_from_the_first_request_on_ends_the_run_at_once(
    rows: int, tmp_path: Path
) -> None:
    with WorldServer(endpoint(lambda _: refuse(401, "Incorrect API key")), section_of) as server:
        done = job_for(server, tmp_path).started("--limit", str(rows))
        assert done.returncode == 77
        assert "Incorrect API key" in done.stderr
        assert len(server.asks) <= 4


def test_too_busy_in_a_language_that_nobody_knows_costs_no_row_and_counts_as_a_throttle(
    tmp_path: Path,
) -> None:
    chance = Random(3).random

    def script(ask: Ask) -> Response:
        busy = ask.paid > 20 and chance() < 0.3
        return refuse(400, f"Servidor ocupado ({ask.number}), volte mais tarde") if busy else labelled(ask)

    with WorldServer(endpoint(script), label_of) as server:
        done = job_for(server, tmp_path).started()
        assert done.returncode == 0, done.stderr
        assert last_line(done)["ok"] == ROWS
        assert last_line(done)["throttled"] > 0


def test_logprobs_that_the_config_demands_and_the_endpoint_forbids_are_an_error_of_the_config(
    tmp_path: Path,
) -> None:
    words = "You are not allowed to request logprobs from this model"

    def script(ask: Ask) -> Response:
        return refuse(403, words) if ask.body.get("logprobs") else labelled(ask)

    with WorldServer(endpoint(script, logprobs=True), section_of) as server:
        done = job_for(server, tmp_path).started()
        assert done.returncode == 78, done.stderr
        assert words in done.stderr
        assert "set model.logprobs to auto" in done.stderr


def test_what_comes_instead_of_replies_is_logged_once_for_each_kind(tmp_path: Path) -> None:
    def script(ask: Ask) -> Response:
        return answer(200, b"upstream connect error") if ask.number % 10 == 5 else labelled(ask)

    with WorldServer(endpoint(script), label_of) as server:
        done = job_for(server, tmp_path).started()
        assert done.returncode == 0, done.stderr
        assert done.stderr.count("upstream connect error") == 1
