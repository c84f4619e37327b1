"""What the endpoints of the world charge is what the run says, and where their money ends no row is lost."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.jobs import last_line
from tests.world.clouds import GEMINI_PRO
from tests.world.endpoint import Endpoint
from tests.world.gateways import (
    BYOK_USD_PER_TOKEN,
    LITELLM,
    LITELLM_USD,
    OPENROUTER,
    litellm_endpoint,
    out_of_budget,
)
from tests.world.sample import ROWS, SAID, SampleJob, job_for, section_of
from tests.world.server import WorldServer

AFTER = 60
"""Replies that the virtual key's budget pays for."""


@pytest.fixture
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[WorldServer, SampleJob]]:
    """The endpoint that the test is about, and the sample's job for it."""
    endpoint: Endpoint = request.param
    with WorldServer(endpoint, section_of) as server:
        yield server, job_for(server, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("status", [422, 429, 400])
def test_a_virtual_key_without_money_leaves_its_rows_open_until_it_has_some(
    tmp_path: Path, status: int
) -> None:
    budget = AFTER
    endpoint = litellm_endpoint(out_of_budget(status, lambda: budget))
    with WorldServer(endpoint, section_of) as server:
        job = job_for(server, tmp_path)
        first = job.started()
        assert first.returncode == 77, first.stderr
        assert "Budget has been exceeded" in first.stderr
        assert not job.output.exists()
        assert len(server.paid) == AFTER
        assert len(server.refused) <= 64 + 20  # a flight, and what finds out that it is about all rows

        budget = 10 * ROWS
        second = job.started()
        assert second.returncode == 0, second.stderr
        assert job.labelled()["label"].to_list() == SAID
        assert len(server.paid) == ROWS


@pytest.mark.parametrize("world", [OPENROUTER], indirect=True, ids=str)
def test_what_the_own_key_is_charged_upstream_is_the_cost(world: tuple[WorldServer, SampleJob]) -> None:
    server, job = world
    done = job.started()
    spent = sum(
        (billed.prompt + billed.completion) * BYOK_USD_PER_TOKEN
        for _, response in server.asks
        if (billed := response.billed)
    )
    assert last_line(done)["cost_usd"] == pytest.approx(spent, rel=0.01)


@pytest.mark.parametrize("world", [OPENROUTER], indirect=True, ids=str)
def test_a_budget_holds_for_what_the_own_key_is_charged_upstream(
    world: tuple[WorldServer, SampleJob],
) -> None:
    server, job = world
    million = BYOK_USD_PER_TOKEN * 1_000_000
    job.set(model={"price": {"input": million, "output": million}}, limits={"max_cost_usd": 0.01})
    done = job.started()
    assert done.returncode == 75, done.stderr
    spent = sum(
        (billed.prompt + billed.completion) * BYOK_USD_PER_TOKEN
        for _, response in server.asks
        if (billed := response.billed)
    )
    assert 0.005 < spent <= 0.01


@pytest.mark.parametrize("world", [GEMINI_PRO], indirect=True, ids=str)
def test_thoughts_that_only_the_total_tells_are_counted(world: tuple[WorldServer, SampleJob]) -> None:
    server, job = world
    done = job.started()
    assert done.returncode == 0, done.stderr
    assert last_line(done)["completion_tokens"] == server.completion_tokens > 0


@pytest.mark.parametrize("world", [LITELLM], indirect=True, ids=str)
def test_a_cost_that_stands_in_a_header_is_read(world: tuple[WorldServer, SampleJob]) -> None:
    server, job = world
    done = job.started()
    assert last_line(done)["cost_usd"] == pytest.approx(len(server.paid) * LITELLM_USD)
