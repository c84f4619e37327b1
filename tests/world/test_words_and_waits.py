"""What the endpoints of the world say reaches the user."""

from pathlib import Path

import pytest

from pipeline.servers.simulator.response import Response
from tests.world.endpoint import Ask, Endpoint, refuse
from tests.world.gateways import litellm_endpoint
from tests.world.own_servers import OLLAMA_WITHOUT_MODEL
from tests.world.sample import job_for, section_of
from tests.world.server import WorldServer

NO_MODEL = (
    "Invalid model name passed in model=labels. Call `/v1/models` to view available models for your key."
)


def no_such_model(_: Ask) -> Response:
    return refuse(400, f"/chat/completions: {NO_MODEL}", code="400")


@pytest.mark.parametrize(
    ("endpoint", "words"),
    [
        (OLLAMA_WITHOUT_MODEL, "model 'llama3.2:1b' not found"),
        (litellm_endpoint(no_such_model), "Invalid model name passed in model=labels"),
    ],
    ids=["ollama", "litellm"],
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
