"""The table of runs: it fits, and gives up what matters least."""

import pytest

from pipeline.cli.status import due_lines, run_lines

RUN = {
    "output": "/out/tags.limit-20.parquet", "folder": "/state/runs/tags", "provider": "simulate", "status": "running",
    "waiting": False, "rows": 3591, "percent": 41.3, "failed": 3, "cost_usd": 0.0143, "rate": 48.8, "seconds_left": 43.0,
}  # fmt: skip
DONE = {**RUN, "status": "published", "percent": 100.0}


@pytest.mark.parametrize(("columns", "heads"), [
    (120, ["output", "asked", "status", "rows", "done", "failed", "cost", "rows/s", "left"]),
    (40, ["output", "status", "done", "left"]),
])  # fmt: skip
def test_a_narrow_terminal_shows_what_matters_most(
    monkeypatch: pytest.MonkeyPatch, columns: int, heads: list[str]
) -> None:
    monkeypatch.setattr("pipeline.cli.status.width", lambda: columns)
    monkeypatch.setattr("pipeline.cli.tables.width", lambda: columns)
    lines = run_lines([RUN, DONE])
    assert lines[0].split() == heads
    assert max(map(len, lines)) < columns
    assert lines[1].endswith("0:43")


def test_what_no_run_has_is_left_out_and_an_endpoint_that_is_away_is_said() -> None:
    assert "left" not in run_lines([DONE])[0]
    assert "endpoint away" in run_lines([{**RUN, "waiting": True}])[1]


def test_a_run_that_is_due_says_whether_it_is_in_time() -> None:
    due = {
        **RUN,
        "finish_by": "2026-12-01T06:00:00+00:00",
        "ends": "2026-12-01T05:10:00+00:00",
        "makes_it": True,
    }
    assert [line.partition(": due ")[0] for line in due_lines([RUN, due])] == ["tags.limit-20.parquet"]
    assert ", in time: " in next(due_lines([due]))
    assert ", too late: " in next(due_lines([{**due, "makes_it": False}]))
    assert "time" not in next(due_lines([{**due, "ends": None, "makes_it": None}]))
