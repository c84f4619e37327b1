"""A slice is taken from a worker that still holds it, maybe amid a commit; and from one that does not see the state."""

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from pipeline.commands.ray.takeover import take_over
from pipeline.commands.ray.worker import ensure_seen
from pipeline.config.slices import Slice, slice_folder
from pipeline.errors import CannotCreateError, LockedError, UsageError
from pipeline.job.job import RunOptions
from pipeline.job.workspace import workspace
from pipeline.ledger import FILE, open_store
from tests.answers import answer
from tests.tasks.make import config

PART = Slice(0, 2)


def test_whoever_has_held_the_slice_knows_and_a_commit_that_it_has_begun_keeps_nobody_waiting(
    tmp_path: Path,
) -> None:
    job = config(tmp_path, state={"dir": str(tmp_path / "state")})
    folder = slice_folder(job.state.dir, PART)
    place = workspace(folder, job.output.path)
    with pytest.raises(LockedError, match="was moved or removed"), place.locked() as lock:  # noqa: PT012
        with open_store(folder) as store:
            store.append([answer(1), answer(2)])
            with closing(sqlite3.connect(folder / FILE, isolation_level=None)) as stopped:
                stopped.execute("BEGIN IMMEDIATE")
                take_over(job, PART)
                with place.locked(), open_store(folder) as other:
                    other.append([answer(3)])
                    assert {found.key for found in other.answers()} == {answer(n).key for n in (1, 2, 3)}
        lock.ensure_held()


def test_a_slice_that_nobody_holds_is_left_as_it_is(tmp_path: Path) -> None:
    job = config(tmp_path, state={"dir": str(tmp_path / "state")})
    folder = slice_folder(job.state.dir, PART)
    with open_store(folder) as store:
        store.append([answer(1)])
    before = (folder / FILE).stat().st_ino
    take_over(job, PART)
    assert (folder / FILE).stat().st_ino == before


def test_a_node_that_does_not_see_the_state_is_refused_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "owner").write_text("this one")
    ensure_seen(tmp_path, tmp_path / "owner", "this one")
    for mark, name in ((tmp_path / "owner", "another"), (tmp_path / "elsewhere", "this one")):
        with pytest.raises(CannotCreateError, match=r"does not see this folder.* all nodes share$"):
            ensure_seen(tmp_path, mark, name)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"engine": "spark"}, "there is no 'spark'; there is ray"),
        ({"address": "auto"}, "give the engine ray"),
        ({"engine": "ray", "limit": 5}, "labels all rows"),
        ({"engine": "ray", "slice": "0/2"}, "labels all rows"),
    ],
)
def test_options_that_do_not_go_together_are_refused(given: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=re.escape(said)):
        RunOptions(**given)  # type: ignore[arg-type]
