"""What the endpoints of the world say reaches the user, a wait that they tell is kept, and what they take is remembered."""

from pathlib import Path

import pytest

from pipeline.servers.simulator.response import Response
from tests.world.clouds import AZURE_WITHOUT_DEPLOYMENT, GEMINI, MISTRAL
from tests.world.endpoint import Ask, Endpoint, refuse
from tests.world.gateways import litellm_endpoint
from tests.world.openai_models import GPT_5_NANO
from tests.world.own_servers import OLLAMA_WITHOUT_MODEL
from tests.world.sample import ROWS, job_for, section_of
from tests.world.server import WorldServer

NO_MODEL = (
    "Invalid model name passed in model=labels. Call `/v1/models` to view available models for your key."
)


def no_such_model(_: Ask) -> Response:
    return refuse(400, f"/chat/completions: {NO_MODEL}", code="400")


@pytest.mark.parametrize(
    ("endpoint", "words"),
    [
        (AZURE_WITHOUT_DEPLOYMENT, "The API deployment for this resource does not exist"),
        (OLLAMA_WITHOUT_MODEL, "model 'llama3.2:1b' not found"),
        (litellm_endpoint(no_such_model), "Invalid model name passed in model=labels"),
    ],
    ids=["azure", "ollama", "litellm"],
)
def test_a_model_that_is_not_there_ends_the_run_in_the_endpoints_own_words(
    endpoint: Endpoint, words: str, tmp_path: Path
) -> None:
    with WorldServer(endpoint, section_of) as server:
        job = job_for(server, tmp_path)
        done = job.started()
        assert done.returncode == 78, done.stderr
        assert words in done.stderr
        assert not job.output.exists()
        assert len(server.asks) <= 24


def test_a_row_is_not_asked_again_before_the_moment_that_only_the_body_tells(tmp_path: Path) -> None:
    with WorldServer(GEMINI, section_of) as server:
        done = job_for(server, tmp_path).started()
        assert done.returncode == 0, done.stderr
        opens = server.asks[-1][0].memo["opens"]
        told = {ask.text for ask, response in server.asks if response.status == 429}
        assert told
        refused = [ask for ask, response in server.asks if response.status == 429 and ask.text in told]
        # Each row's own wait is kept: nothing that was refused comes back while the window is shut.
        assert len(refused) == len(told)
        assert all(ask.at >= opens for ask in server.paid if ask.text in told)


@pytest.mark.parametrize("endpoint", [GPT_5_NANO, MISTRAL], ids=str)
def test_what_an_endpoint_takes_is_found_out_once_and_known_to_the_next_run(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    with WorldServer(endpoint, section_of) as server:
        job = job_for(server, tmp_path)
        assert job.started().returncode == 0
        found = len(server.refused)
        assert found > 0 or endpoint is GPT_5_NANO  # a name that is known needs no refusal

        job.set(task={"max_text_tokens": 90})  # most texts are others then
        before = len(server.asks)
        assert job.started().returncode == 0
        assert before < len(server.asks) <= before + ROWS
        assert len(server.refused) == found
