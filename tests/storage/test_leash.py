"""Leashes: processes that work for the holder of a lease go on as long as it renews it."""

import os
import threading
from pathlib import Path

import pytest

from pipeline.errors import LockedError
from pipeline.storage import leash
from pipeline.storage.leash import FRESH_SECONDS, LOST, OUTAGE_SECONDS, Leash, now


@pytest.fixture
def held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Leash:
    """A leash as the holder's processes see it."""
    found = Leash(tmp_path / "a.lease", "out.parquet")
    monkeypatch.setattr(os, "getppid", os.getpid)
    return found


def test_a_process_goes_on_while_the_lease_was_renewed_a_moment_ago(held: Leash) -> None:
    held.tell(now())
    held.ensure_held()


@pytest.mark.parametrize("renewed", [LOST, None])
def test_it_ends_at_once_when_the_lease_is_lost_or_the_run_has_ended(
    held: Leash, renewed: float | None
) -> None:
    if renewed is not None:
        held.tell(renewed)
    with pytest.raises(LockedError, match=r"out\.parquet: process"):
        held.ensure_held()


def test_it_waits_for_a_holder_that_renews_nothing_and_goes_on_once_it_does(held: Leash) -> None:
    held.tell(now() - FRESH_SECONDS)
    waiting = threading.Thread(target=held.ensure_held)
    waiting.start()
    waiting.join(0.3)
    assert waiting.is_alive()
    held.tell(now())
    waiting.join()


def test_it_gives_up_when_nothing_is_renewed_for_long(held: Leash, monkeypatch: pytest.MonkeyPatch) -> None:
    held.tell(now() - FRESH_SECONDS)
    began = now()
    times = iter([began, began, began + OUTAGE_SECONDS + 1])
    monkeypatch.setattr(leash, "now", lambda: next(times))
    with pytest.raises(LockedError, match="not renewed its lease"):
        held.ensure_held()


def test_it_gives_up_when_the_holder_has_died(held: Leash, monkeypatch: pytest.MonkeyPatch) -> None:
    held.tell(now() - FRESH_SECONDS)
    monkeypatch.setattr(os, "getppid", lambda: 1)
    with pytest.raises(LockedError):
        held.ensure_held()
