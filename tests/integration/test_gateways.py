"""The sample through real gateways: its 240 rows come out whole, and each is paid for once."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.servers.simulator.response import Response
from tests.faultserver.server import FaultServer
from tests.integration.gateways import KEY, LITELLM, PORTKEY, litellm, portkey
from tests.jobs import last_line
from tests.world.endpoint import Ask, Endpoint
from tests.world.sample import ROWS, SAID, SampleJob, section_of

pytestmark = pytest.mark.slow

ENV = {"GATEWAY_KEY": KEY}


@pytest.fixture(scope="module")
def model() -> Iterator[FaultServer]:
    """The endpoint behind the gateways, which knows the packages."""
    with FaultServer(label_for=section_of) as server:
        yield server


@pytest.fixture(scope="module")
def behind_litellm(tmp_path_factory: pytest.TempPathFactory, model: FaultServer) -> Iterator[str]:
    if not LITELLM.exists():
        pytest.skip("needs LiteLLM's proxy; run .ci/gateways")
    with litellm(tmp_path_factory.mktemp("litellm"), model.base_url) as base_url:
        yield base_url


@pytest.fixture(scope="module")
def behind_portkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if not PORTKEY.exists() or shutil.which("node") is None:
        pytest.skip("needs Portkey's gateway; run .ci/gateways")
    with portkey(tmp_path_factory.mktemp("portkey")) as base_url:
        yield base_url


def through(folder: Path, base_url: str, **model: object) -> SampleJob:
    """Return the sample's job for a gateway, with what its user writes into `model`."""
    settings = {"provider": "openai-compatible", "api_key_env": "GATEWAY_KEY", **model}
    endpoint = Endpoint(name="gateway", model=settings, script=_no_script, env=ENV)
    return SampleJob(folder, endpoint, base_url)


def _no_script(ask: Ask) -> Response:
    raise NotImplementedError(f"the gateway answers: {ask.text}")


def whole(job: SampleJob, model: FaultServer) -> None:
    """Check that the job labels all rows at the first try, pays for each once, and asks nothing the second time."""
    paid = model.billed
    first = job.started()
    assert first.returncode == 0, first.stderr
    assert job.labelled()["label_status"].to_list() == ["ok"] * ROWS
    assert job.labelled()["label"].to_list() == SAID
    assert model.billed == paid + ROWS
    job.output.unlink()
    second = job.started()
    assert (second.returncode, last_line(second)["requests"], model.billed) == (0, 0, paid + ROWS)


def test_the_sample_comes_out_whole_through_litellm(
    tmp_path: Path, behind_litellm: str, model: FaultServer
) -> None:
    whole(through(tmp_path, behind_litellm, name="labels"), model)


def test_the_sample_comes_out_whole_through_portkey(
    tmp_path: Path, behind_portkey: str, model: FaultServer
) -> None:
    headers = {"x-portkey-provider": "openai", "x-portkey-custom-host": model.base_url}
    whole(through(tmp_path, behind_portkey, name="test-model", headers=headers), model)


def test_a_model_that_litellm_does_not_have_ends_the_run_in_its_words(
    tmp_path: Path, behind_litellm: str, model: FaultServer
) -> None:
    paid = model.billed
    done = through(tmp_path, behind_litellm, name="no-such-model").started()
    assert done.returncode == 78, done.stderr
    assert "Invalid model name passed in model=no-such-model" in done.stderr
    assert model.billed == paid


def test_a_key_that_litellm_does_not_know_is_told_in_its_words(tmp_path: Path, behind_litellm: str) -> None:
    job = through(tmp_path, behind_litellm, name="labels")
    done = job.run(env={"GATEWAY_KEY": "sk-wrong"})
    assert done.returncode in {77, 78}, done.stderr
    assert "No connected db" in done.stderr
    assert not job.output.exists()


def test_the_cost_that_litellm_tells_in_a_header_is_the_run_s(
    tmp_path: Path, behind_litellm: str, model: FaultServer
) -> None:
    before = len(model.entries)
    done = through(tmp_path, behind_litellm, name="labels").started("--limit", "30")
    billed = [entry for entry in model.entries[before:] if entry.billed]
    spent = sum(1e-7 * entry.prompt_tokens + 4e-7 * entry.completion_tokens for entry in billed)
    assert last_line(done)["cost_usd"] == pytest.approx(spent, rel=0.01)


def test_a_budget_of_litellm_that_is_spent_leaves_the_other_rows_open(
    tmp_path: Path, behind_litellm: str, model: FaultServer
) -> None:
    job = through(tmp_path, behind_litellm, name="poor")
    paid = model.billed
    done = job.started()
    assert done.returncode == 77, done.stderr
    assert "budget" in done.stderr.lower()
    assert not job.output.exists()
    assert model.billed - paid < ROWS
