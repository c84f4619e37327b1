"""Stop requests: the first one drains the run, the second ends it at once."""

import asyncio
import subprocess
import sys

import pytest

from pipeline.errors import PipelineError
from pipeline.system.shutdown import Stop
from tests.jobs import environment


async def test_the_first_reason_to_stop_stays_and_a_signal_after_it_is_urgent() -> None:
    stop = Stop()
    with stop.deadline(0.01):
        await stop.requested.wait()
    stop.signal("SIGTERM")
    assert "limits.max_runtime: 0.01 s" in str(stop.reason)
    assert stop.urgent.is_set()


async def test_a_block_that_ends_before_its_deadline_is_not_stopped() -> None:
    stop = Stop()
    with stop.deadline(0.01), stop.deadline(None):
        pass
    await asyncio.sleep(0.02)
    assert stop.reason is None


@pytest.mark.parametrize("listens", [False, True])
async def test_a_request_of_another_thread_counts_before_the_run_and_during_it(*, listens: bool) -> None:
    stop = Stop()
    if not listens:
        await asyncio.to_thread(stop.ask, PipelineError("first"))
    with stop.listening():
        if listens:
            await asyncio.to_thread(stop.ask, PipelineError("first"))
        await stop.requested.wait()
        assert not stop.urgent.is_set()
        await asyncio.to_thread(stop.ask, PipelineError("second"))
        await stop.urgent.wait()
    assert str(stop.reason) == "first"


IGNORED = """
import asyncio, os, signal
from pipeline import Stop
signal.signal(signal.SIGHUP, signal.SIG_IGN)
async def main():
    stop = Stop()
    with stop.handling_signals():
        os.kill(os.getpid(), signal.SIGHUP)
        await asyncio.sleep(0.05)
        print(stop.reason)
        os.kill(os.getpid(), signal.SIGTERM)
        await stop.requested.wait()
        print(stop.reason.exit_status)
    print(signal.getsignal(signal.SIGHUP) is signal.SIG_IGN)
asyncio.run(main())
"""


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    done = subprocess.run(
        [sys.executable, "-c", IGNORED], env=environment(), capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["None", "75", "True"]


EARLIER = """
import asyncio, os, signal
from pipeline import Stop
from pipeline.system.interruption import interruptible
async def main():
    stop = Stop()
    with stop.handling_signals():
        print(stop.reason)
with interruptible():
    try:
        os.kill(os.getpid(), signal.SIGTERM)
    except KeyboardInterrupt:  # as a library may do
        pass
    asyncio.run(main())
"""


def test_a_signal_that_a_library_has_swallowed_before_stops_the_run() -> None:
    done = subprocess.run(
        [sys.executable, "-c", EARLIER], env=environment(), capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("stopped by SIGTERM")
