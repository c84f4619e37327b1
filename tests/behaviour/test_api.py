"""The Python interface: blocking calls that work wherever they are made."""

import asyncio
import dataclasses
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

import pytest

import pipeline
from pipeline.system.interruption import SIGNALS
from pipeline.system.shutdown import Stop
from tests.faultserver.server import FaultServer
from tests.jobs import JobFiles, asked, environment, right_label, texts


@pytest.fixture
def small(job: JobFiles) -> JobFiles:
    job.table(texts(20))
    return job


def handlers() -> list[object]:
    return [signal.getsignal(number) for number in SIGNALS]


def test_run_labels_the_table_and_returns_a_frozen_result(small: JobFiles) -> None:
    result = pipeline.run(pipeline.load_config(small.config_file()))
    assert (result.status, result.rows, result.ok, result.output) == ("done", 20, 20, str(small.output))
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.rows = 0
    assert small.labelled()["label"].to_list() == [right_label(text) for text in texts(20)]


def test_plan_says_what_run_then_does(small: JobFiles, server: FaultServer) -> None:
    config = pipeline.load_config(str(small.config_file()), overrides=["limits.max_concurrency=2"])
    assert (pipeline.plan(config).requests, server.requests) == (20, 0)
    assert pipeline.run(config).requests == 20
    assert pipeline.plan(config).requests == 0


async def test_run_works_inside_a_running_loop_as_in_a_notebook(small: JobFiles) -> None:
    assert pipeline.run(small.config()).ok == 20
    assert asyncio.get_running_loop().is_running()


def test_run_works_in_a_thread_even_if_signals_are_asked_for(small: JobFiles) -> None:
    with ThreadPoolExecutor(1) as thread:
        result = thread.submit(lambda: pipeline.run(small.config(), handle_signals=True)).result()
    assert result.ok == 20


class Spy:
    """Looks at the signal handlers while the run is at work."""

    def __init__(self) -> None:
        self.seen: list[list[object]] = []

    def watching(self, look):
        @asynccontextmanager
        async def watch():
            look()
            self.seen.append(handlers())
            yield

        return watch()


@pytest.mark.parametrize("asked_for", [False, True])
def test_signal_handlers_are_touched_only_if_asked_for_and_are_put_back(
    small: JobFiles, *, asked_for: bool
) -> None:
    hang_up = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # ignored under nohup, and would stay so
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        mine = handlers()
        spy = Spy()
        pipeline.run(small.config(), watch=spy, handle_signals=asked_for)
        at_work = [then != now for then, now in zip(spy.seen[0], mine, strict=True)]
        assert at_work == [asked_for] * 3
        assert handlers() == mine
    finally:
        signal.signal(signal.SIGTERM, before)
        signal.signal(signal.SIGHUP, hang_up)


@pytest.mark.parametrize("error", [KeyboardInterrupt, TimeoutError])
def test_what_is_raised_into_the_waiting_thread_stops_the_run_gently_and_is_passed_on(
    job: JobFiles, server: FaultServer, error: type[BaseException]
) -> None:
    job.table(texts(1000))
    before = signal.signal(signal.SIGUSR1, lambda *_: (_ for _ in ()).throw(error))
    killer = threading.Thread(target=when_some_are_answered, args=(server, 200))
    try:
        killer.start()
        with pytest.raises(error):
            pipeline.run(job.config())
    finally:
        killer.join()
        signal.signal(signal.SIGUSR1, before)
    answered = server.billed
    assert answered < 1000
    assert pipeline.run(job.config()).ok == 1000
    assert (server.billed, server.repeats()) == (1000, {})


def when_some_are_answered(server: FaultServer, count: int) -> None:
    while server.billed < count:
        time.sleep(0.001)
    os.kill(os.getpid(), signal.SIGUSR1)


BEFORE_IT_BEGINS = """
import os, signal, sys, time
from pipeline import api
from pipeline.__main__ import main
def survey(*_, **__):
    os.kill(os.getpid(), number)
    time.sleep(9)
api.run = survey
number, sys.argv[1:] = int(sys.argv[1]), ["run", sys.argv[2], "--quiet"]
sys.exit(main())
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_before_the_run_begins_ends_the_command_with_75_too(small: JobFiles, number: int) -> None:
    arguments = [sys.executable, "-c", BEFORE_IT_BEGINS, str(int(number)), str(small.config_file())]
    done = subprocess.run(
        arguments, env=environment(), capture_output=True, text=True, check=False, restore_signals=True,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL), timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stderr.count("\n")) == (75, 1)
    assert '"interrupted"' in done.stdout


def test_another_thread_can_ask_a_run_to_stop_even_before_it_begins(
    job: JobFiles, server: FaultServer
) -> None:
    job.table(texts(20))
    stop = Stop()
    stop.ask(pipeline.PipelineError("no more today"))
    with pytest.raises(pipeline.PipelineError, match="no more today"):
        pipeline.run(job.config(), stop=stop)
    assert server.requests == 0


def test_two_runs_in_two_threads_share_a_ledger(small: JobFiles, server: FaultServer) -> None:
    path = small.config_file()
    results = []

    def work(number: int) -> None:
        config = pipeline.load_config(path, overrides=[f"output.path=out/{number}.parquet"])
        results.append(pipeline.run(config))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [result.ok for result in results] == [20] * 3
    assert 20 <= len(asked(server)) <= 60


def test_errors_are_of_one_tree_and_carry_every_problem(small: JobFiles) -> None:
    small.set(task={"text": "{summary}"})
    with pytest.raises(pipeline.PipelineError) as caught:
        pipeline.run(small.config())
    assert caught.value.exit_status == 78
    assert len(caught.value.problems) == 1


def test_the_package_offers_what_it_names_and_nothing_else() -> None:
    assert isinstance(pipeline.__version__, str)
    for name in set(pipeline.__all__) - {"__version__"}:
        assert getattr(pipeline, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = pipeline.nothing


@pytest.mark.parametrize(
    "overrides",
    [
        {"limits.max_concurrency": 3, "output.columns.only": ["text"]},
        ["limits.max_concurrency=3", "output.columns.only=[text]"],
        "limits.max_concurrency=3",
    ],
)
def test_overrides_are_a_dict_or_a_list_or_one_setting(job: JobFiles, overrides: Any) -> None:
    job.table(texts(3))
    config = pipeline.load_config(job.config_file(), overrides=overrides)
    assert config.limits.max_concurrency == 3
    assert config.output.columns.only == (None if isinstance(overrides, str) else ("text",))
