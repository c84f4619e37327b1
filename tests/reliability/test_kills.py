"""SIGKILL at any instant: no row is lost or doubled, no durable answer is asked again."""

from itertools import count
from pathlib import Path
from random import Random

import pytest

from tests.jobs import some_rows
from tests.reliability.campaign import Campaign, campaign, moments, soak_seeds, write_rows
from tests.reliability.checker import Record
from tests.reliability.launcher import Launcher

ROWS = 300
LONGEST = 0.7
"""Seconds that an execution takes if nobody kills it, and some more."""


def change(rows: list[str | None], chance: Random) -> list[str | None]:
    """The next night's table: some rows are others, some are new."""
    changed: list[str | None] = [
        f"{row} anew" if row and chance.random() < 0.1 else row  # the next line is for the length
        for row in rows
    ]
    return [*changed, *(f"one more {chance.random()}" for _ in range(20))]


def kill_for_nights(found: Campaign, chance: Random, kills: int, *, as_folder: bool) -> int:
    """Kill a job, and the same job with the next nights' tables, until there were so many kills."""
    rows = some_rows(ROWS)
    while True:
        found.kill_until_done(moments(chance, LONGEST), kills - found.witness.kills)
        assert found.witness.verdict() == []
        if found.witness.kills >= kills:
            return found.witness.kills
        rows = change(rows, chance)
        write_rows(found.job, rows, folder=as_folder)


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_ten_kills_lose_nothing_and_double_nothing(
    tmp_path: Path, launcher: Launcher, record_property: Record, seed: int
) -> None:
    as_folder = seed % 2 == 0
    with campaign(tmp_path, launcher, some_rows(ROWS), record_property, as_folder=as_folder) as found:
        assert kill_for_nights(found, Random(seed), 10, as_folder=as_folder) >= 10


def killed_at_every_step(found: Campaign, step: int) -> int:
    """Kill at each *step*th step towards the disk, each execution a little further, until one survives."""
    for at in count(1, step):
        if not found.note(found.start(at=at).wait()):
            return at
    raise AssertionError


@pytest.mark.parametrize(
    "as_folder", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["file", "folder"]
)
def test_a_run_killed_at_steps_towards_the_disk_continues(
    tmp_path: Path, launcher: Launcher, record_property: Record, *, as_folder: bool
) -> None:
    with campaign(tmp_path, launcher, some_rows(ROWS), record_property, as_folder=as_folder) as found:
        assert killed_at_every_step(found, 7) > 10


def test_a_resume_that_is_killed_at_once_again_and_again_still_comes_through(
    tmp_path: Path, launcher: Launcher, record_property: Record
) -> None:
    chance = Random(3)
    with campaign(tmp_path, launcher, some_rows(ROWS), record_property) as found:
        found.kill_until_done(lambda: chance.uniform(0, 0.1), 10)


@pytest.mark.soak
@pytest.mark.parametrize("seed", soak_seeds(10))
def test_a_hundred_kills_lose_nothing_and_double_nothing(
    tmp_path: Path, launcher: Launcher, record_property: Record, seed: int
) -> None:
    as_folder = seed % 2 == 0
    with campaign(tmp_path, launcher, some_rows(ROWS), record_property, as_folder=as_folder) as found:
        assert kill_for_nights(found, Random(seed), 100, as_folder=as_folder) >= 100


@pytest.mark.soak
@pytest.mark.parametrize("seed", soak_seeds(1))
def test_a_hundred_kills_in_the_first_half_second_of_a_resume(
    tmp_path: Path, launcher: Launcher, record_property: Record, seed: int
) -> None:
    chance, kills = Random(seed), 0
    for number in count():
        with campaign(tmp_path / str(number), launcher, some_rows(ROWS), record_property) as found:
            found.kill_after(0.3)
            found.kill_until_done(lambda: chance.uniform(0, 0.5), 100 - kills)
            kills += found.witness.kills
        if kills >= 100:
            return


@pytest.mark.soak
@pytest.mark.parametrize("as_folder", [False, True], ids=["file", "folder"])
def test_a_run_killed_at_every_step_towards_the_disk_continues(
    tmp_path: Path, launcher: Launcher, record_property: Record, *, as_folder: bool
) -> None:
    with campaign(tmp_path, launcher, some_rows(ROWS), record_property, as_folder=as_folder) as found:
        assert killed_at_every_step(found, 1) > 10
