"""What is at the ledger's path when a run begins: ours, of another format, new, damaged, or somebody else's."""

import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.config.simulate.latency import Fixed
from pipeline.errors import CannotCreateError, ConfigError
from pipeline.ledger import open_store
from pipeline.ledger.schema import INSERT, OLDEST_VERSION, cells_of, create
from pipeline.ledger.store import Store
from tests.answers import answer, answers, key
from tests.faultserver.server import FaultServer
from tests.faultserver.settings import FaultServerSettings
from tests.jobs import JobFiles, asked, environment, right_label, texts
from tests.ledger.repair.damage import FILE, LOG, PAGE


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def refused(folder: Path) -> str:
    """How opening is refused; whatever is there stays as it is."""
    before = files(folder)
    with pytest.raises(CannotCreateError) as caught:
        open_store(folder)
    assert caught.value.exit_status == 73
    assert files(folder) == before
    (problem,) = caught.value.problems
    assert problem.startswith(f"{folder / FILE}: cannot be opened as a ledger: ")
    return problem


@pytest.mark.parametrize(
    ("version", "problem"),
    [
        (1, r"ledger\.sqlite: of format 1, which .* cannot read; move it away or change state\.dir"),
        (2, r"ledger\.sqlite: of format 2, which .* cannot read; move it away or change state\.dir"),
        (5, r"ledger\.sqlite: written by a newer version .*format 5.*; update pipeline"),
    ],
    ids=["1", "2", "5"],
)
def test_a_ledger_of_another_format_is_left_as_it_is(tmp_path: Path, version: int, problem: str) -> None:
    with open_store(tmp_path) as store:
        store.append(answers(0, 20))
    with sqlite3.connect(tmp_path / FILE) as other:
        other.execute(f"PRAGMA user_version = {version}")
    other.close()
    before = files(tmp_path)
    with pytest.raises(ConfigError, match=problem) as caught:
        open_store(tmp_path)
    assert caught.value.exit_status == 78
    assert files(tmp_path) == before


def test_a_ledger_of_the_format_before_is_gone_on_with(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / FILE) as older:
        create(older, OLDEST_VERSION)
        older.executemany(INSERT, map(cells_of, answers(0, 10)))
    older.close()
    for numbers in ((10, 20), (20, 30)):
        with open_store(tmp_path) as store:
            store.append(answers(*numbers))
            assert len(store.look_up([key(n) for n in range(numbers[1])])) == numbers[1]
            assert store.spent("run-1") == 0.25 * numbers[1]
            assert store.totals("run-1")[0].answers == numbers[1]
    assert not list(tmp_path.glob("*damaged*"))  # nothing was rebuilt


@pytest.mark.parametrize("content", [b"", bytes(8192), b"SQLite format 3\0", b"SQLi"], ids=["empty", "zeros", "head", "cut"])  # fmt: skip
def test_a_file_with_nothing_in_it_becomes_a_ledger_with_a_warning(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / FILE).write_bytes(content)
    with open_store(tmp_path) as store:
        store.append([answer(1)])
    with open_store(tmp_path) as store:
        assert store.look_up([key(1)]) == {key(1): answer(1)}
    assert "was empty" in caplog.text or "was rebuilt" in caplog.text


def test_what_was_killed_before_its_tables_were_made_becomes_a_ledger(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / FILE) as other:
        other.execute("PRAGMA journal_mode = WAL")
    other.close()
    assert (tmp_path / FILE).stat().st_size == 4096
    with open_store(tmp_path) as store:
        store.append([answer(1)])
        assert store.look_up([key(1)]) == {key(1): answer(1)}
    assert len(list(tmp_path.glob("*damaged*"))) == 0


@pytest.mark.parametrize("content", [b"notes of mine\n" * 1000, b"hello", b"PK\x03\x04" + bytes(5000)])
def test_a_file_that_is_something_else_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    assert "move it away or change state.dir" in refused(tmp_path)


@pytest.mark.parametrize("mode", ["DELETE", "WAL"])
@pytest.mark.parametrize("version", [0, 1, 7])
def test_the_database_of_another_application_is_refused(tmp_path: Path, version: int, mode: str) -> None:
    with sqlite3.connect(tmp_path / FILE) as other:
        other.execute(f"PRAGMA journal_mode = {mode}")
        other.execute("CREATE TABLE answers (id INTEGER PRIMARY KEY, text TEXT)")
        other.executemany(
            "INSERT INTO answers (text) VALUES (?)", [(f"not one of ours {n}",) for n in range(500)]
        )
        other.execute(f"PRAGMA user_version = {version}")
    other.close()
    assert "it does not say that it is a ledger" in refused(tmp_path)


def test_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "elsewhere").write_bytes(b"precious")
    (tmp_path / "state" / FILE).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CannotCreateError, match=r"ledger\.sqlite: cannot be opened as a ledger: .*links"):
        open_store(tmp_path / "state")
    assert (tmp_path / "elsewhere").read_bytes() == b"precious"


def test_a_ledger_that_is_removed_during_a_run_costs_only_what_was_in_it_and_gives_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with open_store(tmp_path) as store:
        store.append([answer(1)])
        (tmp_path / FILE).unlink()
        store.append([answer(2)])
        assert set(store.look_up([key(1), key(2)])) >= {key(2)}
    assert "was removed while it was in use" in caplog.text
    with open_store(tmp_path) as store:
        assert key(2) in store.look_up([key(2)])


KILLED = """
import os, signal, sys
from pathlib import Path
from tests.answers import answers
from pipeline.ledger.store import Store

path = Path(sys.argv[1])
with Store(path) as store:
    store.append(answers(0, 500, text="x" * 900))
    store.index()
store = Store(path)
for start in range(500, 4000, 50):
    store.append(answers(start, start + 50, text="x" * 900))
    if start % 500 == 0:
        store.index()
os.kill(os.getpid(), signal.SIGKILL)
"""
EVERY = {each.key: each for each in answers(0, 4000, text="x" * 900)}
ALL = list(EVERY)


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger as a killed process leaves it, with a log that was begun anew at least once."""
    folder = tmp_path_factory.mktemp("killed")
    ended = subprocess.run([sys.executable, "-c", KILLED, str(folder / FILE)], env=environment(), check=False)
    assert ended.returncode == -signal.SIGKILL
    return folder


@pytest.fixture(scope="module")
def in_file(killed: Path, tmp_path_factory: pytest.TempPathFactory) -> set[bytes]:
    """The keys of the answers that are in the ledger's file, whatever its log holds."""
    folder = tmp_path_factory.mktemp("without its log")
    shutil.copy(killed / FILE, folder)
    with open_store(folder) as store:
        found = set(store.look_up(ALL))
    assert 500 <= len(found) < len(ALL)
    return found


def flip_one_bit(log: bytearray, chance: random.Random) -> None:
    log[chance.randrange(len(log))] ^= 1 << chance.randrange(8)


def flip_a_bit_of_the_first_frames(log: bytearray, chance: random.Random) -> None:
    log[chance.randrange(32, 32 + 3 * 4120)] ^= 1 << chance.randrange(8)


def flip_many_bits(log: bytearray, chance: random.Random) -> None:
    for _ in range(200):
        flip_one_bit(log, chance)


def flip_a_bit_of_the_head(log: bytearray, chance: random.Random) -> None:
    log[chance.randrange(32)] ^= 1 << chance.randrange(8)


def zero_the_tail(log: bytearray, chance: random.Random) -> None:
    start = chance.randrange(len(log))
    log[start:] = bytes(len(log) - start)


def cut(log: bytearray, chance: random.Random) -> None:
    del log[chance.randrange(len(log)) :]


Rot = Callable[[bytearray, random.Random], None]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "rot",
    [
        flip_one_bit,
        flip_a_bit_of_the_first_frames,
        flip_many_bits,
        flip_a_bit_of_the_head,
        zero_the_tail,
        cut,
    ],
)
def test_a_rotten_write_ahead_log_costs_nothing_but_answers_that_are_in_it_alone(
    killed: Path, in_file: set[bytes], tmp_path: Path, rot: Rot, seed: int
) -> None:
    shutil.copytree(killed, tmp_path, dirs_exist_ok=True)
    log = bytearray((tmp_path / LOG).read_bytes())
    rot(log, random.Random(f"{rot.__name__} {seed}"))
    (tmp_path / LOG).write_bytes(log)
    with open_store(tmp_path) as store:
        found = dict(store.look_up(ALL))
        assert found.items() <= EVERY.items()
        assert in_file <= set(found)
        store.append([each for each in EVERY.values() if each.key not in found])
    with open_store(tmp_path) as store:
        assert store.look_up(ALL) == EVERY
        assert store.damaged == 0


@pytest.mark.parametrize("seed", range(4))
def test_a_rotten_log_after_a_kill_amid_a_checkpoint_gives_nobody_a_wrong_answer(
    killed: Path, tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    whole = shutil.copytree(killed, tmp_path / "whole")
    with sqlite3.connect(whole / FILE) as other:
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    other.close()
    before, after = (killed / FILE).read_bytes(), (whole / FILE).read_bytes()
    moved = chance.randrange(1, len(after) // PAGE) * PAGE  # SQLite moves pages in their order
    left = shutil.copytree(killed, tmp_path / "left")
    (left / FILE).write_bytes(after[:moved] + before[moved:])
    log = bytearray((left / LOG).read_bytes())
    flip_a_bit_of_the_head(log, chance)
    (left / LOG).write_bytes(log)
    with open_store(left) as store:
        found = dict(store.look_up(ALL))
        assert found.items() <= EVERY.items()
        store.append([each for each in EVERY.values() if each.key not in found])
    with open_store(left) as store:
        assert store.look_up(ALL) == EVERY


def test_a_run_goes_on_after_a_kill_and_rot_in_the_write_ahead_log(tmp_path: Path) -> None:
    rows = texts(200)
    with FaultServer(FaultServerSettings(latency=Fixed(0.005)), label_for=right_label) as server:
        job = JobFiles(tmp_path, server.base_url)
        job.table(rows)
        process = job.start("--quiet")
        while len(asked(server)) < 100:
            time.sleep(0.005)
        process.kill()
        process.communicate()
        log = bytearray((tmp_path / "state" / LOG).read_bytes())
        flip_many_bits(log, random.Random(1))
        (tmp_path / "state" / LOG).write_bytes(log)
        done = job.run("--quiet")
    assert done.returncode == 0, done.stderr
    assert job.labelled()["label"].to_list() == [right_label(text) for text in rows]


def test_the_write_ahead_log_is_synced_at_every_commit(store: Store) -> None:
    execute = store.file.connection.execute
    assert execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    assert execute("PRAGMA synchronous").fetchone()[0] == 2  # FULL
