"""A rebuilt ledger takes the damaged one's place under runs that are alive, and however often that is interrupted."""

import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.ledger import open_store
from tests.answers import answer, answers, key
from tests.jobs import environment
from tests.ledger.repair.damage import FILE, destroy_both_headers, overwrite


def test_a_run_that_has_the_damaged_file_open_goes_on_in_the_new_one(tmp_path: Path) -> None:
    with open_store(tmp_path) as other:
        other.append(answers(0, 100))
        with open_store(tmp_path) as store:
            store.file.rebuild("a test")
            store.append(answers(100, 110))
            other.append(answers(110, 120))  # was opened before
            assert len(other.look_up([key(n) for n in range(120)])) == 120
            assert len(store.look_up([key(n) for n in range(120)])) == 120
    with open_store(tmp_path) as store:
        assert len(store.look_up([key(n) for n in range(120)])) == 120


SLEEPER = """
import sys
from pathlib import Path
from tests.answers import answers, key
from pipeline.ledger import open_store

with open_store(Path(sys.argv[1])) as store:
    store.append(answers(0, 50))
    print("ready", flush=True)
    if sys.stdin.readline().strip() == "append":
        store.append(answers(50, 60))
        print("appended", flush=True)
        sys.stdin.readline()
"""


@pytest.mark.parametrize("then", ["append", "close"])
def test_another_process_that_has_the_moved_file_open_neither_writes_there_nor_takes_the_new_log_away(
    tmp_path: Path, then: str
) -> None:
    sleeper = python(SLEEPER, tmp_path)
    assert sleeper.stdin
    assert sleeper.stdout
    assert sleeper.stdout.readline() == "ready\n"
    with open_store(tmp_path) as store:
        store.file.rebuild("a test")
        store.append(answers(100, 110))  # they are only in the log
        sleeper.stdin.write(f"{then}\n")
        sleeper.stdin.flush()
        if then == "append":
            assert sleeper.stdout.readline() == "appended\n"
        sleeper.communicate("\n")
        assert sleeper.returncode == 0
        left = shutil.copytree(tmp_path, tmp_path / "as a power cut leaves it")
    expected = {*range(50), *range(100, 110), *(range(50, 60) if then == "append" else ())}
    for folder in (tmp_path, left):
        with open_store(folder) as store:
            assert set(store.look_up([key(n) for n in range(120)])) == {key(n) for n in expected}


CRASHING = """
import os, sys
from pathlib import Path
from pipeline.ledger import open_store

left = int(sys.argv[2])

def counted(function):
    def step(*arguments, **named):
        global left
        left -= 1
        if left < 0:
            os._exit(9)
        return function(*arguments, **named)
    return step

os.rename, os.unlink, os.fsync = counted(os.rename), counted(os.unlink), counted(os.fsync)
open_store(Path(sys.argv[1])).close()
"""


@pytest.mark.slow
def test_a_rebuild_may_be_killed_at_any_step_and_so_may_the_next(tmp_path: Path) -> None:
    with open_store(tmp_path / "damaged") as store:
        store.append(answers(0, 200))
        store.index()
        store.append(answers(200, 210))
        shutil.copytree(tmp_path / "damaged", tmp_path / "left", ignore=shutil.ignore_patterns("ballast"))
    destroy_both_headers(tmp_path / "left", random.Random(1))
    for step in range(100):
        folder = shutil.copytree(tmp_path / "left", tmp_path / str(step))
        ended = [run(CRASHING, folder, str(number)) for number in (step, max(0, step - 2))]
        with open_store(folder) as store:
            store.append([answer(300)])
            assert set(store.look_up([key(n) for n in range(301)])) == {key(n) for n in (*range(210), 300)}
        assert not list(folder.glob("*.reb*"))
        if ended == [0, 0]:
            break
    else:
        pytest.fail("it never came to its end")
    assert step > 8


def test_what_a_live_run_adds_after_a_rebuild_was_killed_is_not_lost(tmp_path: Path) -> None:
    for step in (2, 3, 4, 5, 6, 7):
        folder = tmp_path / str(step)
        with open_store(folder) as live:
            live.append(answers(0, 300))
            live.index()
            live.file.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            overwrite(folder / FILE, 0, b"not a database at all")
            run(CRASHING, folder, str(step))
            live.append(answers(300, 305))
        with open_store(folder) as store:
            assert set(store.look_up([key(n) for n in range(305)])) == {key(n) for n in range(305)}


def python(code: str, *arguments: Path | str) -> "subprocess.Popen[str]":
    env = environment()
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip


def run(code: str, *arguments: Path | str) -> int:
    """Run *code* in a process of its own; return how it ended."""
    with python(code, *arguments) as process:
        process.communicate()
    return process.returncode
