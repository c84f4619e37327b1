"""Attempts that came to no end, as their runs were killed or stopped and the input has changed since."""

from pipeline.student.store import Night, StudentStore


def taken_over(store: StudentStore, run: str) -> Night | None:
    """Give the attempt that came to no end to *run*, with its coins and proposals; None if there is none."""
    with store.changing() as file:
        found = file.execute("SELECT run FROM night WHERE outcome IS NULL").fetchone()
        if found is None:
            return None
        file.execute("UPDATE proposal SET night = ? WHERE night = ?", [run, *found])
        file.execute("UPDATE night SET run = ? WHERE run = ?", [run, *found])
    return store.night(run)
