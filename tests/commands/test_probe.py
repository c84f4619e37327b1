"""What `probe` finds out, and what it means for a run."""

import pytest

from pipeline.commands.probe import exit_status, probe
from tests.faultserver.server import FaultServer
from tests.jobs import JobFiles


@pytest.mark.parametrize(
    ("fault", "status"), [("unauthorized", 77), ("insufficient_credits", 77), ("http_500", 69)]
)
async def test_probe_ends_as_a_run_would_that_gets_no_answer(
    job: JobFiles, server: FaultServer, fault: str, status: int
) -> None:
    server.when(lambda _: True, fault)
    assert exit_status(await probe(job.config())) == status
