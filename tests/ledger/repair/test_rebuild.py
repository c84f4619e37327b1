"""A damaged ledger goes on with all that is left of it, and never with a wrong answer."""

import logging
import random
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

import tests.ledger.repair.damage as ways
from pipeline.errors import DiskError
from pipeline.ledger import open_store, spill
from pipeline.ledger.schema import checksum
from tests.answers import answer, answers, key
from tests.jobs import environment
from tests.ledger.repair.damage import DAMAGES, FILE, LOG, PAGE, Damage, Truth, build, overwrite


@pytest.fixture(scope="module")
def truths(tmp_path_factory: pytest.TempPathFactory) -> list[Truth]:
    """Ledgers as a killed process leaves them: a part in the log, nothing in the log, nearly all in the log."""
    folder = tmp_path_factory.mktemp("truths")
    return [
        build(folder / "some", 2400),
        build(folder / "none", 1500, logged=0.0),
        build(folder / "all", 1200, logged=1.0),
    ]


@pytest.fixture(autouse=True)
def _small_ballast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spill, "BALLAST_BYTES", 4096)


def reopened(truth: Truth, folder: Path) -> dict[bytes, object]:
    """What is found in the ledger by the first and, equally, by the next who opens it."""
    with open_store(folder) as store:
        found = store.look_up(list(truth.history))
    with open_store(folder) as store:
        assert store.look_up(list(truth.history)) == found
        assert store.damaged == 0 or not aside(folder)
    assert len(aside(folder)) <= 1
    return found


def aside(folder: Path) -> list[Path]:
    """The damaged files that were moved away, without their logs."""
    return [path for path in folder.glob(f"{FILE}.damaged-*") if path.name.endswith("Z")]


@pytest.mark.parametrize(
    "seed", [*range(3), *(pytest.param(seed, marks=pytest.mark.soak) for seed in range(3, 30))]
)
@pytest.mark.parametrize("damage", DAMAGES)
def test_no_answer_is_wrong_and_none_is_gone_that_nobody_touched(
    truths: list[Truth], tmp_path: Path, damage: Damage, seed: int
) -> None:
    truth = truths[seed % len(truths)]
    damage(truth.put_to(tmp_path), random.Random(f"{damage.__name__} {seed}"))
    changed = truth.changed(tmp_path)
    assert truth.violations(reopened(truth, tmp_path), changed) == []


@pytest.mark.parametrize("seed", range(8))
def test_the_same_holds_where_two_things_happened(truths: list[Truth], tmp_path: Path, seed: int) -> None:
    truth, chance = truths[0], random.Random(seed)
    truth.put_to(tmp_path)
    for damage in chance.sample(DAMAGES, 2):
        damage(tmp_path, chance)
    changed = truth.changed(tmp_path)
    assert truth.violations(reopened(truth, tmp_path), changed) == []


def test_an_undamaged_ledger_is_not_salvaged(truths: list[Truth], tmp_path: Path) -> None:
    for number, truth in enumerate(truths):
        folder = truth.put_to(tmp_path / str(number))
        assert truth.violations(reopened(truth, folder), set()) == []
        assert not aside(folder)


def test_one_destroyed_page_costs_no_more_than_what_was_on_it(truths: list[Truth], tmp_path: Path) -> None:
    truth = truths[1]
    ways.destroy_a_page(truth.put_to(tmp_path), random.Random(3))
    changed = truth.changed(tmp_path)
    lost = set(truth.history) - set(reopened(truth, tmp_path))
    assert lost <= {each for each, by_file in truth.places.items() if by_file[-1][FILE] & changed}


def test_of_a_file_without_its_head_everything_comes_back(truths: list[Truth], tmp_path: Path) -> None:
    truth = truths[1]
    ways.destroy_the_header(truth.put_to(tmp_path), random.Random(1))
    assert len(reopened(truth, tmp_path)) == len(truth.history)


def test_of_an_emptied_file_all_that_is_in_the_log_comes_back(truths: list[Truth], tmp_path: Path) -> None:
    truth = truths[0]
    ways.empty_the_file(truth.put_to(tmp_path), random.Random(1))
    changed = truth.changed(tmp_path)
    found = reopened(truth, tmp_path)
    assert len(found) > len(truth.history) / 4
    assert truth.violations(found, changed) == []


def test_the_damaged_file_is_kept_and_the_log_says_where(
    truths: list[Truth], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    truths[0].put_to(tmp_path)
    ways.destroy_both_headers(tmp_path, random.Random(1))
    was = {name: (tmp_path / name).read_bytes() for name in (FILE, LOG)}
    reopened(truths[0], tmp_path)
    (kept,) = aside(tmp_path)
    assert kept.read_bytes() == was[FILE]
    assert kept.with_name(f"{kept.name}-wal").read_bytes() == was[LOG]
    (told,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert "2,627 answers were saved, what is missing is asked again" in told
    assert str(kept) in told
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600
    assert not list(tmp_path.glob("*.reb*"))


def test_all_that_was_paid_is_still_in_the_books(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        store.append(answers(0, 500, cost_usd=0.5))
        store.append(answers(0, 100, cost_usd=0.25, run="run-2"))
        before = store.totals()
    ways.destroy_the_header(tmp_path, random.Random(1))
    with open_store(tmp_path) as store:
        assert store.totals() == before


def test_pruned_answers_do_not_come_back_from_the_log(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        store.append(answers(0, 3000, at=1000.0))
        store.append(answers(3000, 3010, at=3000.0))
        assert store.prune(before=2000.0) == 3000
        copy = shutil.copytree(tmp_path, tmp_path / "copy")
    ways.destroy_the_header(copy, random.Random(1))
    with open_store(copy) as store:
        assert set(store.look_up([key(n) for n in range(3010)])) == {key(n) for n in range(3000, 3010)}


def test_an_index_that_hides_or_mixes_up_answers_is_noticed_by_the_next_who_opens_it(tmp_path: Path) -> None:
    for change in (
        "UPDATE latest SET id = 3 WHERE id = 7",
        "UPDATE latest SET key = x'00' WHERE id = 7",
        "DELETE FROM latest WHERE id = 7",
        "UPDATE progress SET indexed = 1000",
        "DELETE FROM progress",
        "UPDATE answers SET id = 99 WHERE id = 7",
        "PRAGMA application_id = 7",
        "PRAGMA user_version = 16777217",
        "DROP TABLE latest",
    ):
        folder = tmp_path / str(abs(hash(change)))
        with open_store(folder) as store:
            store.append(answers(0, 50))
            store.index()
        with sqlite3.connect(folder / FILE) as other:
            other.execute(change)
        other.close()
        with open_store(folder) as store:
            store.append([answer(100)])
            wanted = {key(n): answer(n) for n in (*range(50), 100)}
            assert store.look_up(list(wanted)) == wanted, change
        assert len(aside(folder)) == 1, change


LOOSE = "UPDATE sqlite_schema SET sql = replace(sql, 'STRICT', '') WHERE name = 'answers'"
STRICT = "UPDATE sqlite_schema SET sql = sql || 'STRICT' WHERE name = 'answers'"


@pytest.mark.parametrize("cell", [b"\x00", b"\xff" * 16, b"\x80\x80"])
@pytest.mark.parametrize(
    "change",
    [
        "body = CAST(? AS TEXT)",
        "body = ?",
        "checksum = ?",
        "checksum = CAST(? AS TEXT)",
        "key = CAST(? AS TEXT)",
    ],
)
def test_a_cell_of_the_wrong_type_or_in_no_encoding_costs_that_answer_alone(
    tmp_path: Path, change: str, cell: bytes
) -> None:
    with open_store(tmp_path) as store:
        store.append(answers(0, 50))
        store.index()
    for statement, *values in ((LOOSE,), (f"UPDATE answers SET {change} WHERE id = 3", cell), (STRICT,)):
        with sqlite3.connect(tmp_path / FILE) as other:
            other.execute("PRAGMA writable_schema = 1")
            other.execute(statement, values)
        other.close()
    with open_store(tmp_path) as store:
        wanted = {key(n): answer(n) for n in range(50) if n != 2}
        assert store.look_up([key(n) for n in range(50)]) == wanted
        assert {each.key: each for each in store.answers()} == wanted
        store.totals()


def test_a_flipped_bit_in_what_creates_a_table_is_noticed(tmp_path: Path) -> None:
    with open_store(tmp_path / "whole") as store:
        store.append(answers(0, 30))
        store.index()
    good = (tmp_path / "whole" / FILE).read_bytes()
    first = good.index(b"CREATE TABLE answers")
    for at in range(first, good.index(b") STRICT", first), 23):
        content = bytearray(good)
        content[at] ^= 1
        folder = tmp_path / str(at)
        folder.mkdir(mode=0o700)
        (folder / FILE).write_bytes(content)
        with open_store(folder) as store:
            assert len(store.look_up([key(n) for n in range(30)])) == 30
            assert store.spent("run-1") == 7.5
        assert len(aside(folder)) == 1


def test_answers_that_fit_their_checksums_and_are_none_count_as_absent(tmp_path: Path) -> None:
    bodies = [
        b"",
        b"{}",
        b"[]",
        b"[1,\n2]",
        b'["run",\nnull]\nx',
        b'"text",\nnull]',
        b"[1e999,\nnull]",
        b"[" + b"null," * 14,
    ]
    with open_store(tmp_path) as store:
        store.append(answers(0, 20))
        for number, body in enumerate(bodies, 3):
            store._connection.execute(
                "UPDATE answers SET body = CAST(? AS TEXT), checksum = ? WHERE key = ?",
                (body, checksum(key(number), body), key(number)),
            )
        wanted = {key(n): answer(n) for n in (0, 1, 2, *range(3 + len(bodies), 20))}
        assert store.look_up([key(n) for n in range(20)]) == wanted
        assert {each.key: each for each in store.answers()} == wanted


def test_damage_that_comes_to_light_during_a_run_is_mended_during_the_run(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        store.append(answers(0, 20_000))  # too many to be looked at one by one
        store.index()
        store._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        store._connection.execute("PRAGMA shrink_memory")
        pages = (tmp_path / FILE).stat().st_size // PAGE
        for page in range(10, pages, 97):
            overwrite(tmp_path / FILE, page * PAGE, random.Random(page).randbytes(PAGE))
        wanted = {key(n): answer(n) for n in range(20_000)}
        found = store.look_up(list(wanted))
        assert len(found) > 19_500
        assert found.items() <= wanted.items()
        store.append(answers(20_000, 20_010))
        assert len(store.look_up([key(n) for n in range(20_010)])) == len(found) + 10
    assert len(aside(tmp_path)) == 1


def test_the_export_of_a_ledger_that_is_mended_meanwhile_has_every_answer_once(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        store.append(answers(0, 20_000))
        stream = store.answers()
        first = [next(stream) for _ in range(1500)]
        store._file.rebuild("for the test")
        assert first + list(stream) == answers(0, 20_000)


def test_a_run_that_has_the_damaged_file_open_goes_on_in_the_new_one(tmp_path: Path) -> None:
    with open_store(tmp_path) as other:
        other.append(answers(0, 100))
        with open_store(tmp_path) as store:
            store._file.rebuild("for the test")
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
        store._file.rebuild("for the test")
        store.append(answers(100, 110))  # they are only in the log
        sleeper.stdin.write(f"{then}\n")
        sleeper.stdin.flush()
        if then == "append":
            assert sleeper.stdout.readline() == "appended\n"
        sleeper.communicate("\n", timeout=30)
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


def test_a_salvage_may_be_killed_at_any_step_and_so_may_the_next(tmp_path: Path) -> None:
    with open_store(tmp_path / "damaged") as store:
        store.append(answers(0, 200))
        store.index()
        store.append(answers(200, 210))
        shutil.copytree(tmp_path / "damaged", tmp_path / "left")
    ways.destroy_both_headers(tmp_path / "left", random.Random(1))
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


def test_what_a_live_run_adds_after_a_salvage_was_killed_is_not_lost(tmp_path: Path) -> None:
    for step in (2, 3, 4, 5, 6, 7):
        folder = tmp_path / str(step)
        with open_store(folder) as live:
            live.append(answers(0, 300))
            live.index()
            live._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            overwrite(folder / FILE, 0, b"not a database at all")
            run(CRASHING, folder, str(step))
            live.append(answers(300, 305))
        with open_store(folder) as store:
            assert set(store.look_up([key(n) for n in range(305)])) == {key(n) for n in range(305)}


def test_without_room_for_a_second_ledger_the_run_ends_and_the_next_one_mends_it(small_disk: Path) -> None:
    with open_store(small_disk) as store:
        store.append(answers(0, 20_000, text="x" * 100))
    spill.drop_ballast(small_disk)
    ways.destroy_the_header(small_disk, random.Random(1))
    (small_disk / "filler").write_bytes(bytes(10 << 20))
    with pytest.raises(DiskError, match=r"ledger\.sqlite: must be rebuilt .* cannot be: .*make room"):
        open_store(small_disk)
    assert not aside(small_disk)
    (small_disk / "filler").unlink()
    with open_store(small_disk) as store:
        assert len(store.look_up([key(n) for n in range(20_000)])) == 20_000


def python(code: str, *arguments: Path | str) -> "subprocess.Popen[str]":
    env = environment()
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip


def run(code: str, *arguments: Path | str) -> int:
    """Run *code* in a process of its own; return how it ended."""
    with python(code, *arguments) as process:
        process.communicate(timeout=30)
    return process.returncode
