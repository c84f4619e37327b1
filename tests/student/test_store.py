"""The file of the student's nights."""

from pathlib import Path

from pipeline.student.store import Night, opened_students

FACTS = {"thresholds": [], "share": 0.0}


def test_nights_are_in_the_order_in_which_they_ended_whatever_the_ids_of_their_runs(tmp_path: Path) -> None:
    # Within one second the random end of an id decides how two of them sort.
    runs = ["20260101-030000-ffff", "20260101-030000-0000", "20251231-030000-8888"]
    with opened_students(tmp_path / "student.sqlite") as store:
        for run in runs:
            night = Night(run, b"", FACTS)
            store.begin(run, forget=False)
            store.fix(night)
            store.end(night, {"status": "refused"}, None)
    with opened_students(tmp_path / "student.sqlite") as store:
        assert [night.run for night in store.nights()] == runs
