"""`limits.finish_by`: a time of the day, by the clock of the machine."""

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from pipeline.config.nights import Daytime, next_time, unknown_zone, zone_at

read = TypeAdapter(Daytime).validate_python


BERLIN = "CET-1CEST,M3.5.0,M10.5.0/3"


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[str]:
    monkeypatch.setitem(os.environ, "TZ", getattr(request, "param", BERLIN))
    time.tzset()
    yield os.environ["TZ"]
    monkeypatch.undo()
    time.tzset()


def unix(*when: int) -> float:
    return datetime(*when).timestamp()  # noqa: DTZ001 - by the clock of the machine


@pytest.mark.parametrize(
    ("written", "meant"), [("06:00", "06:00"), ("6:05", "06:05"), ("23:59", "23:59"), (" 00:00 ", "00:00")]
)
def test_a_time_of_the_day_is_hours_and_minutes(written: str, meant: str) -> None:
    assert read(written) == meant


@pytest.mark.parametrize(
    "written", ["24:00", "6", 360, "06:60", "6 am", "", None, "06:00:00", "\u0660\u0666:\u0660\u0660"]
)
def test_anything_else_is_refused_with_how_to_write_it(written: object) -> None:
    with pytest.raises(ValidationError, match='in quotes, from "00:00" to "23:59", such as "06:00"'):
        read(written)


@pytest.mark.usefixtures("zone")
def test_it_is_the_next_such_time_also_where_clocks_change_in_between() -> None:
    assert next_time("06:00", unix(2026, 11, 30, 22, 15)) == unix(2026, 12, 1, 6, 0)
    assert next_time("06:00", unix(2026, 11, 30, 5, 59)) == unix(2026, 11, 30, 6, 0)
    assert next_time("06:00", unix(2026, 11, 30, 6, 0)) == unix(2026, 12, 1, 6, 0)
    assert next_time("06:00", unix(2026, 10, 24, 22, 0)) - unix(2026, 10, 24, 22, 0) == 9 * 3_600
    assert next_time("06:00", unix(2026, 3, 28, 22, 0)) - unix(2026, 3, 28, 22, 0) == 7 * 3_600


def utc(*when: int) -> float:
    return datetime(*when, tzinfo=UTC).timestamp()


@pytest.mark.parametrize("zone", ["Europe/Berlin", BERLIN], indirect=True)
@pytest.mark.parametrize(
    ("began", "due"),
    [
        ((0, 29), (0, 30)),  # half past two in summer time
        ((0, 30), (1, 30)),  # half past two in winter time, which is not past yet
        ((1, 29), (1, 30)),
    ],
)
@pytest.mark.usefixtures("zone")
def test_of_a_time_that_comes_twice_the_next_one_is_meant(
    began: tuple[int, int], due: tuple[int, int]
) -> None:
    assert next_time("02:30", utc(2026, 10, 25, *began)) == utc(2026, 10, 25, *due)
    assert next_time("02:30", utc(2026, 10, 25, 1, 30)) == utc(2026, 10, 26, 1, 30)


@pytest.mark.usefixtures("zone")
def test_a_time_that_is_left_out_comes_as_long_after_midnight_as_on_other_days() -> None:
    assert next_time("02:30", utc(2026, 3, 29, 0, 0)) == utc(2026, 3, 29, 1, 30)  # 03:30 by the new clock
    assert next_time("02:30", utc(2026, 3, 29, 1, 0)) == utc(2026, 3, 29, 1, 30)
    assert next_time("02:30", utc(2026, 3, 29, 1, 30)) == utc(2026, 3, 30, 0, 30)


@given(st.integers(0, 400 * 24 * 12), st.integers(0, 24 * 60 - 1))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.usefixtures("zone")
def test_the_clock_shows_it_then_and_not_before(fives: int, minute: int) -> None:
    began, daytime = utc(2026, 1, 1) + 300 * fives, f"{minute // 60:02}:{minute % 60:02}"
    due = next_time(daytime, began)
    shown = [
        f"{datetime.fromtimestamp(at).astimezone():%H:%M}"
        for at in range(int(began) + 60 - int(began) % 60, int(due) + 60, 60)
    ]
    assert shown.index(daytime) == len(shown) - 1 if daytime in shown else daytime.startswith("02:")
    assert began < due <= began + 25 * 3_600


@pytest.mark.parametrize(
    ("zone", "words"),
    [
        ("Europe/Berlin", "Europe/Berlin (UTC+02:00)"),
        (":Europe/Berlin", "Europe/Berlin (UTC+02:00)"),
        (BERLIN, f"{BERLIN} (UTC+02:00)"),
        ("<+0530>-5:30", "<+0530>-5:30 (UTC+05:30)"),
        ("UTC", "UTC"),
        ("", "UTC"),
    ],
    indirect=["zone"],
)
@pytest.mark.usefixtures("zone")
def test_the_zone_is_said_as_it_is_at_that_time(words: str) -> None:
    assert (zone_at(utc(2026, 10, 24)), unknown_zone()) == (words, None)


@pytest.mark.parametrize("zone", ["Nonsense/Zone", "Europe/berlim", "CET+"], indirect=True)
def test_a_zone_that_is_not_known_is_said_to_be_taken_for_utc(zone: str) -> None:
    assert f"UTC, because TZ={zone} is no time zone that this machine knows" in zone_at(0)
    assert next_time("06:00", utc(2026, 10, 24)) == utc(2026, 10, 24, 6)  # as the C library has it
