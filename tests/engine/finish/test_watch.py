"""A run says whether it is done in time: at its start, when that changes, and not each time it is looked at."""

import logging
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from pipeline.engine.finish.watch import LOOK_SECONDS, FinishBy
from pipeline.job.job import Job
from pipeline.job.prepare import prepare
from pipeline.system.clock import Clock
from pipeline.telemetry.pace import Progress
from tests.jobs import texts
from tests.judged import jobs_without_server

ROWS = 10_000
START = 1_790_000_000.0


class Night:
    """A run whose rows are answered as told, and the time."""

    def __init__(self, job: Job, seconds: float) -> None:
        self.seconds, self.done, self.requests = 0.0, 0.0, 0.0
        clock = Clock(now=lambda: self.seconds, wall=lambda: START + self.seconds)
        self.finish = FinishBy(job, START + seconds, clock)
        self.finish._begin(self.progress())

    def progress(self, **more: Any) -> Progress:
        asked = int(self.requests)
        return Progress(ROWS, int(self.done), requests=asked, tokens=200 * asked, in_flight=10, **more)

    def go(self, looks: int, per_minute: float, **more: Any) -> None:
        for _ in range(looks):
            self.seconds += LOOK_SECONDS
            self.done += per_minute * LOOK_SECONDS / 60
            self.requests += per_minute * LOOK_SECONDS / 60
            self.finish.look(self.progress(**more))


@pytest.fixture
def job(tmp_path: Path) -> Job:
    files = jobs_without_server(tmp_path)
    files.set(
        limits={"requests_per_minute": 500, "finish_by": "06:00"},
        output={"path": str(tmp_path / "o.parquet")},
    )
    files.table(texts(50))
    return prepare(files.config())


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    found = [record.getMessage() for record in caplog.records if "finish_by" in record.getMessage()]
    caplog.clear()
    return found


@pytest.fixture(autouse=True)
def _told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "pipeline")


def test_the_start_says_whether_the_limits_allow_it(job: Job, caplog: pytest.LogCaptureFixture) -> None:
    Night(job, 3_600)
    (told,) = said(caplog)
    assert "if all rows left have to be asked, at 500 requests a minute it ends" in told
    assert "before" in told
    Night(job, 600)
    (told,) = said(caplog)
    assert "limits.requests_per_minute: 1_100 or model.rows_per_request: 5 would make it" in told


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[None]:
    monkeypatch.setitem(os.environ, "TZ", request.param)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize("zone", ["Europe/Berlin"], indirect=True)
@pytest.mark.usefixtures("zone")
def test_the_start_says_which_of_two_half_past_twos_is_meant(
    job: Job, caplog: pytest.LogCaptureFixture
) -> None:
    limits = job.config.limits.model_copy(update={"finish_by": "02:30"})
    for began, due in (("00:29", "25 Oct 2026, 02:30 CEST"), ("00:45", "25 Oct 2026, 02:30 CET")):
        wall = datetime.fromisoformat(f"2026-10-25T{began}+00:00").timestamp()
        at = limits.due(wall)
        assert at is not None
        FinishBy(job, at, Clock(wall=lambda wall=wall: wall))._begin(Progress(10))
        (told,) = said(caplog)
        assert f"before {due}; times are in Europe/Berlin (UTC+0{1 + (began < '00:30')}:00)" in told


@pytest.mark.parametrize("zone", ["Nonsense/Zone"], indirect=True)
@pytest.mark.usefixtures("zone")
def test_a_time_zone_that_is_not_known_is_warned_of_at_the_start(
    job: Job, caplog: pytest.LogCaptureFixture
) -> None:
    Night(job, 3_600)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "times are in UTC, because TZ=Nonsense/Zone is no time zone" in record.getMessage()


def test_a_second_model_that_is_slower_than_the_first_is_seen_while_the_first_one_still_answers(
    job: Job, caplog: pytest.LogCaptureFixture
) -> None:
    job = replace(job, second=job.task)
    night = Night(job, 3_600)  # enough for the first model, which takes 20 minutes
    said(caplog)
    for minute in range(1, 8):
        # Of 500 rows a minute 100 are put to the second model, which answers 10.
        night.done, night.requests = 410 * minute, 510 * minute
        night.go(1, 0, unsure=90 * minute, second=10 * minute)
        night.seconds += 60 - LOOK_SECONDS
    (told,) = said(caplog)
    assert ", 2 h 19 min after" in told  # an hour: it takes three hours and twenty minutes


def test_a_slower_pace_is_told_once_and_so_is_that_it_makes_it_again(
    job: Job, caplog: pytest.LogCaptureFixture
) -> None:
    night = Night(job, 1_500)  # 400 a minute are needed
    said(caplog)
    night.go(12, 480)
    assert said(caplog) == []
    night.go(15, 150)
    (told,) = said(caplog)
    assert "after" in told
    night.go(24, 150)
    assert said(caplog) == []
    night.go(24, 900)
    (told,) = said(caplog)
    assert "before" in told


def test_one_slow_look_changes_nothing_and_neither_does_an_endpoint_that_is_away(
    job: Job, caplog: pytest.LogCaptureFixture
) -> None:
    night = Night(job, 1_350)  # 440 a minute are needed
    said(caplog)
    night.go(12, 480)
    night.go(2, 0)  # which makes it 400 over the last two minutes
    night.go(1, 1_920)
    night.go(12, 480)
    night.go(20, 0, waiting=True)
    assert said(caplog) == []


def test_that_the_time_is_past_is_told_once(job: Job, caplog: pytest.LogCaptureFixture) -> None:
    night = Night(job, 60)
    said(caplog)
    night.go(20, 480)
    (told,) = [each for each in said(caplog) if "is past" in each]
    assert "rows are left" in told


def test_a_pace_that_no_limit_sets_is_said_to_be_so_and_nothing_is_suggested(
    job: Job, caplog: pytest.LogCaptureFixture
) -> None:
    night = Night(job, 1_500)
    said(caplog)
    night.go(12, 100)
    (told,) = said(caplog)
    assert "which no limit of the config sets" in told
    assert "no single setting would make it" in told


@pytest.mark.parametrize(
    "several",
    [
        {"escalate": {"model": "big", "below": 0.5, "limits": {"requests_per_minute": 60}}},
        {
            "model": {
                "provider": "openai-compatible",
                "name": "m",
                "endpoints": [{"base_url": f"http://127.0.0.1:{port}/v1"} for port in (8, 9)],
            }
        },
    ],
)
def test_whose_limit_binds_is_not_claimed_where_several_are_asked(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, several: dict[str, Any]
) -> None:
    files = jobs_without_server(tmp_path)
    files.set(limits={"requests_per_minute": 500}, output={"path": str(tmp_path / "o.parquet")})
    files.settings |= several
    files.table(texts(50))
    night = Night(prepare(files.config()), 1_500)
    said(caplog)
    night.go(12, 300)
    (told,) = said(caplog)
    assert "at 300 requests a minute it ends" in told
    assert not [words for words in ("no limit of the config", "would make it") if words in told]


def test_the_worst_case_at_the_start_is_no_warning_and_what_comes_of_it_is_told(
    job: Job, caplog: pytest.LogCaptureFixture
) -> None:
    night = Night(job, 600)
    assert [record.levelname for record in caplog.records] == ["INFO"]
    said(caplog)
    night.go(4, 480)
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "at 480 requests a minute it ends" in record.getMessage()
