"""A ledger whose answers can be found again in its raw bytes, and ways to damage it."""

import random
import re
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.ledger.store import Store
from pipeline.records import Answer
from tests.answers import answer

PAGE = 4096
FRAME = 24 + PAGE
LOG_HEADER = 32
FILE, LOG = "ledger.sqlite", "ledger.sqlite-wal"
MARK = re.compile(rb"(\d{5})\.(\d)\.(\d{4})\|")

Unit = tuple[str, int]
"""A page of the file or a frame of its log."""


@dataclass
class Truth:
    """A ledger on the disk as a killed process leaves it, and all that was put into it."""

    folder: Path
    history: dict[bytes, list[Answer]] = field(default_factory=lambda: defaultdict(list))
    places: dict[bytes, list[dict[str, set[Unit]]]] = field(default_factory=lambda: defaultdict(list))

    def put_to(self, folder: Path) -> Path:
        folder.mkdir(mode=0o700, exist_ok=True)
        for name in (FILE, LOG):
            if (self.folder / name).exists():
                shutil.copy(self.folder / name, folder / name)
        return folder

    def changed(self, folder: Path) -> set[Unit]:
        """The pages and frames that are not in *folder* as they were."""
        return {
            unit
            for name in (FILE, LOG)
            for now in [units(folder / name)]
            for unit, content in units(self.folder / name).items()
            if now.get(unit) != content
        }

    def violations(self, found: dict[bytes, Answer], changed: set[Unit]) -> list[str]:
        """Whatever contradicts the promise: wrong answers, and answers that are gone though nobody touched them.

        Nothing is promised of a log in which anything was touched.
        """
        promised = {FILE} if any(name == LOG for name, _ in changed) else {FILE, LOG}
        problems = []
        for each, asked in self.history.items():
            whole = [
                any(by_file[name] and not by_file[name] & changed for name in promised)
                for by_file in self.places[each]
            ]
            if each in found and found[each] not in asked:
                problems.append(f"{found[each]} is not what was answered")
            elif each not in found and whole[-1]:
                problems.append(f"{asked} is gone, which was at {self.places[each]}")
            elif all(whole) and found[each] != asked[-1]:
                problems.append(f"{found[each]} is not the newest answer")
        problems += [f"{each!r} was never asked" for each in set(found) - set(self.history)]
        return problems


def units(path: Path) -> dict[Unit, bytes]:
    """The pages of a file; of a log its frames, and its header as number -1."""
    content = path.read_bytes() if path.exists() else b""
    if path.name != LOG:
        return {(FILE, at // PAGE): content[at : at + PAGE] for at in range(0, len(content), PAGE)}
    starts = range(LOG_HEADER, len(content), FRAME)
    frames = {(LOG, number): content[at : at + FRAME] for number, at in enumerate(starts)}
    return {(LOG, -1): content[:LOG_HEADER]} | frames


def long_answer(number: int, ask: int, size: int) -> Answer:
    """An answer whose text tells on every page whose it is."""
    marks = "".join(f"{number:05d}.{ask}.{place:04d}|" for place in range(size // 13 + 1))
    return answer(
        number, text=marks, request_id=f"{number:05d}.{ask}.9999|", asks=1 + ask, at=1000.5 + number, run=f"run-{ask}"
    )  # fmt: skip


def build(folder: Path, count: int, *, logged: float = 0.4) -> Truth:
    """Write *count* answers of 10 bytes to 60 KB, some of them superseded; the last part is only in the log."""
    chance = random.Random(count)
    work = folder / "work"
    work.mkdir(parents=True)
    truth = Truth(folder)
    store = Store(work / FILE)
    store.file.connection.execute("PRAGMA wal_autocheckpoint = 0")
    pending: list[Answer] = []
    asks: dict[int, int] = defaultdict(int)
    for number in range(count):
        size = chance.choices([chance.randint(10, 400), chance.randint(400, 8000), chance.randint(8000, 60_000)], [88, 9, 3])[0]  # fmt: skip
        pending.append(long_answer(number, 0, size))
        if number % 9 == 8:
            again = chance.randrange(number)
            asks[again] = min(asks[again] + 1, 9)
            pending.append(long_answer(again, asks[again], chance.randint(10, 400)))
        if len(pending) > 60:
            store.append(pending)
            for each in pending:
                truth.history[each.key].append(each)
            pending = []
            if chance.random() < 0.3:
                store.index()
            if number < count * (1 - logged):
                store.file.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for name in (FILE, LOG):
        if (work / name).exists() and (work / name).stat().st_size:
            shutil.copy(work / name, folder / name)
    store.close()
    shutil.rmtree(work)
    _find_places(truth)
    return truth


def _find_places(truth: Truth) -> None:
    places: dict[tuple[int, int], dict[str, set[Unit]]] = defaultdict(lambda: {FILE: set(), LOG: set()})
    marks: dict[tuple[str, int, int], set[bytes]] = defaultdict(set)
    for name in (FILE, LOG):
        for unit, content in units(truth.folder / name).items():
            for number, ask, place in MARK.findall(content):
                places[int(number), int(ask)][name].add(unit)
                marks[name, int(number), int(ask)].add(place)
    for (number, ask), by_file in places.items():
        if by_file[LOG] and marks[LOG, number, ask] < marks[FILE, number, ask]:
            # Its page was written again, with the next answer; its overflow pages were not.
            by_file[LOG] |= by_file[FILE]
    for each, asked in truth.history.items():
        for one in asked:
            number, ask, _ = map(int, (one.request_id or "").rstrip("|").split("."))
            truth.places[each].append(places[number, ask])


Damage = Callable[[Path, random.Random], None]


def flip_bits(folder: Path, chance: random.Random) -> None:
    path = _one(folder, chance)
    content = bytearray(path.read_bytes())
    for _ in range(chance.randint(1, 20)):
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    path.write_bytes(content)


def cut(folder: Path, chance: random.Random) -> None:
    path = _one(folder, chance)
    path.write_bytes(path.read_bytes()[: chance.randrange(path.stat().st_size)])


def zero_the_tail(folder: Path, chance: random.Random) -> None:
    path = _one(folder, chance)
    content = path.read_bytes()
    rest = chance.randrange(len(content))
    path.write_bytes(content[:rest] + bytes(len(content) - rest))


def destroy_a_page(folder: Path, chance: random.Random) -> None:
    path = _one(folder, chance)
    content = bytearray(path.read_bytes())
    at = chance.randrange(len(content) // PAGE) * PAGE
    content[at : at + PAGE] = chance.randbytes(PAGE)
    path.write_bytes(content)


def swap_pages(folder: Path, chance: random.Random) -> None:
    path = folder / FILE
    content = bytearray(path.read_bytes())
    if len(content) < 2 * PAGE:
        return
    one, other = (PAGE * number for number in chance.sample(range(len(content) // PAGE), 2))
    content[one : one + PAGE], content[other : other + PAGE] = (
        content[other : other + PAGE],
        content[one : one + PAGE],
    )
    path.write_bytes(content)


def destroy_the_header(folder: Path, chance: random.Random) -> None:
    path = folder / FILE
    path.write_bytes(chance.randbytes(100) + path.read_bytes()[100:])


def remove_the_log(folder: Path, _: random.Random) -> None:
    (folder / LOG).unlink(missing_ok=True)


def destroy_the_header_of_the_log(folder: Path, chance: random.Random) -> None:
    path = folder / LOG
    if path.exists():
        path.write_bytes(chance.randbytes(32) + path.read_bytes()[32:])


def destroy_both_headers(folder: Path, chance: random.Random) -> None:
    """So that SQLite opens nothing; with the log's alone whole, it would take the file's from there."""
    destroy_the_header(folder, chance)
    destroy_the_header_of_the_log(folder, chance)


def empty_the_file(folder: Path, _: random.Random) -> None:
    (folder / FILE).write_bytes(b"")


def _one(folder: Path, chance: random.Random) -> Path:
    there = [path for path in (folder / FILE, folder / LOG) if path.exists() and path.stat().st_size >= PAGE]
    return chance.choice(there)


DAMAGES: list[Damage] = [
    flip_bits, cut, zero_the_tail, destroy_a_page, swap_pages, destroy_the_header, remove_the_log,
    destroy_the_header_of_the_log, destroy_both_headers,
]  # fmt: skip


def overwrite(path: Path, at: int, content: bytes) -> None:
    """Write into a file as something outside does: this process must not open what SQLite holds open in it."""
    subprocess.run(
        ["dd", f"of={path}", "bs=4096", "conv=notrunc", "oflag=seek_bytes", f"seek={at}"],
        input=content, check=True, capture_output=True,
    )  # fmt: skip


def aside(folder: Path) -> list[Path]:
    """The damaged files that were moved away, without their logs."""
    return [path for path in folder.glob(f"{FILE}.damaged-*") if path.name.endswith("Z")]
