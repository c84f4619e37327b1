"""`limits.finish_by`: a time of the day, by the clock of the machine."""

import os
import time
from collections.abc import Iterator
from datetime import datetime

import pytest
from pydantic import TypeAdapter, ValidationError

from pipeline.config.nights import Daytime, next_time

read = TypeAdapter(Daytime).validate_python


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(os.environ, "TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    time.tzset()
    yield
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


@pytest.mark.usefixtures("berlin")
def test_it_is_the_next_such_time_also_where_clocks_change_in_between() -> None:
    assert next_time("06:00", unix(2026, 11, 30, 22, 15)) == unix(2026, 12, 1, 6, 0)
    assert next_time("06:00", unix(2026, 11, 30, 5, 59)) == unix(2026, 11, 30, 6, 0)
    assert next_time("06:00", unix(2026, 11, 30, 6, 0)) == unix(2026, 12, 1, 6, 0)
    assert next_time("06:00", unix(2026, 10, 24, 22, 0)) - unix(2026, 10, 24, 22, 0) == 9 * 3_600
    assert next_time("06:00", unix(2026, 3, 28, 22, 0)) - unix(2026, 3, 28, 22, 0) == 7 * 3_600
