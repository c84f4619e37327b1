"""What SQLite would read of a write-ahead log is known before SQLite opens it."""

import random
import shutil
import sqlite3
from pathlib import Path

import pytest

from pipeline.ledger.repair import wal
from pipeline.ledger.schema import DamagedError
from pipeline.ledger.store import Store
from tests.answers import answers

FRAME = 24 + 4096


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger with a log of some thousand frames over the remains of an earlier log."""
    folder = tmp_path_factory.mktemp("wal")
    (folder / "work").mkdir()
    with Store(folder / "work" / "ledger.sqlite") as store:
        store._connection.execute("PRAGMA wal_autocheckpoint = 0")
        store.append(answers(0, 12_000))
        store._connection.execute("PRAGMA wal_checkpoint(RESTART)")
        for start in range(20_000, 22_000, 100):
            store.append(answers(start, start + 100))
        for name in ("ledger.sqlite", "ledger.sqlite-wal"):
            shutil.copy(folder / "work" / name, folder / name)
    return folder


def read_by_sqlite(folder: Path) -> int:
    """Number of frames that SQLite reads."""
    with sqlite3.connect(folder / "ledger.sqlite") as connection:
        frames = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()[1]
    connection.close()
    return int(frames)


def commits(content: bytes) -> list[int]:
    """After which frames of the latest log there is a commit."""
    return [
        number + 1
        for number in range((len(content) - 32) // FRAME)
        if content[32 + number * FRAME + 8 :][:8] == content[16:24]
        and any(content[32 + number * FRAME + 4 :][:4])
    ]


def test_a_log_that_is_whole_is_read_to_its_end_and_not_into_what_is_left_behind_it(left: Path) -> None:
    content = (left / "ledger.sqlite-wal").read_bytes()
    last = commits(content)[-1]
    assert last < (len(content) - 32) // FRAME  # there are remains
    assert wal.unread(left / "ledger.sqlite-wal") == (b"", 4096)
    with (left / "ledger.sqlite-wal").open("rb") as file:
        header = wal.header_of(file.read(32))
        assert header
        assert wal._committed(file, (len(content) - 32) // FRAME, header) == last


@pytest.mark.parametrize("seed", range(20))
def test_it_is_known_how_far_sqlite_reads_a_damaged_log(left: Path, tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    shutil.copytree(left, tmp_path, dirs_exist_ok=True)
    log = tmp_path / "ledger.sqlite-wal"
    content = bytearray(log.read_bytes())
    last = commits(content)[-1]
    at = chance.randrange(32, 32 + last * FRAME)
    content[at] ^= 1 << chance.randrange(8)
    log.write_bytes(content)
    with log.open("rb") as file:
        header = wal.header_of(file.read(32))
        assert header
        read = wal._committed(file, last, header)
    try:
        rest, _ = wal.unread(log)
    except DamagedError:
        assert read < last
    else:
        assert read == last or rest
    assert read_by_sqlite(tmp_path) == read


def test_what_comes_after_the_last_commit_is_given_back(left: Path, tmp_path: Path) -> None:
    content = (left / "ledger.sqlite-wal").read_bytes()
    before, last = commits(content)[-2:]
    (tmp_path / "wal").write_bytes(content[: 32 + last * FRAME - 1])
    assert wal.unread(tmp_path / "wal") == (content[32 + before * FRAME : 32 + (last - 1) * FRAME], 4096)


@pytest.mark.parametrize("content", [b"", b"x" * 31, bytes(50_000)])
def test_a_log_with_nothing_in_it_is_no_damage(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "wal").write_bytes(content)
    if content[:1] == b"x":
        with pytest.raises(DamagedError):
            wal.unread(tmp_path / "wal")
    else:
        assert wal.unread(tmp_path / "wal")[0] == b""
    assert wal.unread(tmp_path / "none") == (b"", 0)


def test_a_log_in_the_other_byte_order_is_understood(left: Path, tmp_path: Path) -> None:
    content = bytearray((left / "ledger.sqlite-wal").read_bytes()[: 32 + 40 * FRAME])
    content[:4] = (wal.MAGIC + 1).to_bytes(4)
    content[24:32] = sums(bytes(content[:24]), 0, 0)
    before = content[24:32]
    for at in range(32, len(content), FRAME):
        head, page = bytes(content[at : at + 8]), bytes(content[at + 24 : at + FRAME])
        before = sums(head + page, int.from_bytes(before[:4]), int.from_bytes(before[4:]))
        content[at + 16 : at + 24] = before
    shutil.copy(left / "ledger.sqlite", tmp_path)
    log = tmp_path / "ledger.sqlite-wal"
    log.write_bytes(content)
    last = commits(bytes(content))[-1]
    with log.open("rb") as file:
        header = wal.header_of(file.read(32))
        assert header
        assert header.big
        assert wal._committed(file, 40, header) == last
    assert read_by_sqlite(tmp_path) == last


def sums(data: bytes, first: int, second: int) -> bytes:
    """The checksum as SQLite's documentation gives it, over words with their highest byte first."""
    for at in range(0, len(data), 8):
        first = (first + int.from_bytes(data[at : at + 4]) + second) % 2**32
        second = (second + int.from_bytes(data[at + 4 : at + 8]) + first) % 2**32
    return first.to_bytes(4) + second.to_bytes(4)
