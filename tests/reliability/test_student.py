"""SIGKILL between the audit and its certificate: the coins are those that fell before, and so is the certificate."""

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.student.store import Night, StudentStore
from tests.behaviour.test_student import ROWS, TARGET, decision, easy, label_of
from tests.faultserver.server import FaultServer
from tests.jobs import JobFiles, asked, environment

pytestmark = pytest.mark.slow

KILLED = """
import os, signal, sys
import pipeline.engine.student.night as night
from pipeline.cli.app import main
kill = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
{patch}
main(sys.argv[1:])
"""

AFTER_THE_AUDIT = "night.certify = kill"
AMID_THE_AUDIT = """
asks = night.Attempt._ask
async def some(self, prompts):
    if (await self._threads.run(self._store.night, self._run)) is not None:
        await asks(self, night.Prompts(prompts.keys[:30], prompts.texts[:30], prompts.truncated[:30]))
        kill()
    await asks(self, prompts)
night.Attempt._ask = some
"""


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer(label_for=label_of) as simulator:
        yield simulator


@pytest.fixture
def job(tmp_path: Path, server: FaultServer) -> JobFiles:
    return JobFiles(tmp_path, server.base_url).set(student=TARGET)


def killed(job: JobFiles, patch: str) -> None:
    code = KILLED.format(patch=patch)
    ran = subprocess.run(
        [sys.executable, "-c", code, "run", str(job.config_file())], env=environment(), capture_output=True, check=False
    )  # fmt: skip
    assert ran.returncode == -9, ran.stderr.decode()


def night_of(job: JobFiles) -> tuple[Night, dict[bytes, float]]:
    """The night that is on, and the scores of its proposals."""
    path = next(job.folder.glob("state/decisions/student-*.sqlite"))
    with sqlite3.connect(path) as file:
        (run,) = file.execute("SELECT run FROM night ORDER BY outcome IS NOT NULL, rowid").fetchone()
    store = StudentStore(path)
    night = store.night(run)
    assert night is not None
    found = {each.key: each.score for each in store.proposals(run)}
    store.close()
    return night, found


@pytest.mark.parametrize("patch", [AMID_THE_AUDIT, AFTER_THE_AUDIT], ids=["amid", "after"])
def test_a_run_that_is_killed_in_its_audit_has_the_same_coins_and_the_same_certificate(
    job: JobFiles, server: FaultServer, patch: str
) -> None:
    job.table(easy(ROWS))
    killed(job, patch)
    night, scores = night_of(job)
    audited = {key for key in scores if night.audits(key)}
    assert night.outcome is None
    assert not job.output.exists()
    before = len(asked(server))
    shutil.copytree(job.folder / "state", job.folder / "as it was")

    assert job.run().returncode == 0
    first, labelled = decision(job), job.labelled()
    after, _ = night_of(job)
    assert (after.secret, after.facts) == (night.secret, night.facts)
    # What was sure enough and not asked is the student's; all else was asked once.
    sure = {key for key, score in scores.items() if score >= first["threshold"]}
    assert first["audited"] == len(sure & audited)
    assert first["local"] == len(sure - audited) == ROWS - len(asked(server))
    assert len(asked(server)) == len(set(asked(server))) >= before

    shutil.rmtree(job.folder / "state")
    shutil.move(job.folder / "as it was", job.folder / "state")
    job.output.unlink()
    assert job.run().returncode == 0
    assert decision(job) == first
    assert job.labelled()["label"].equals(labelled["label"])
