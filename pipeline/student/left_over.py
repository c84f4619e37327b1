"""Attempts that came to no end, as their runs were killed or stopped and the input has changed since."""

from collections.abc import Iterable

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


def still_there(store: StudentStore, keys: Iterable[bytes | None]) -> None:
    """Note that prompts with these *keys* are in the input."""
    with store.changing() as file:
        file.execute("CREATE TEMP TABLE IF NOT EXISTS there (key BLOB PRIMARY KEY) WITHOUT ROWID")
        file.executemany("INSERT OR IGNORE INTO there VALUES (?)", ([key] for key in keys if key is not None))


def forget_others(store: StudentStore, run: str) -> None:
    """Remove the proposals of *run* about prompts that are not there any more: nobody can ask about them."""
    still_there(store, ())
    with store.changing() as file:
        file.execute("DELETE FROM proposal WHERE night = ? AND key NOT IN (SELECT key FROM there)", [run])
        file.execute("DROP TABLE there")
