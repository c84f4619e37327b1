"""What keeps paid answers when the disk is full: ballast to throw out, and a spill file elsewhere."""

import os
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path

import orjson

from pipeline.ledger.store import FIELDS, STATUS, Store, values_of
from pipeline.records import Answer, Status

BALLAST = "ballast"
BALLAST_BYTES = 8 << 20
"""Room for the answers in hand when a disk fills up: 5,000 of them with log-probabilities take about 4 MB."""


def renew_ballast(folder: Path) -> None:
    """Set disk space aside in *folder*, if there is enough; real blocks, not a hole."""
    path = folder / BALLAST
    if path.exists() and path.stat().st_size == BALLAST_BYTES:
        return
    handle = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_NOFOLLOW, 0o600)
    try:
        os.posix_fallocate(handle, 0, BALLAST_BYTES)
    except OSError:
        path.unlink()  # no room even now: the run will tell when it comes to writing
    finally:
        os.close(handle)


def drop_ballast(folder: Path) -> bool:
    """Give the space back; tells whether there was any."""
    try:
        (folder / BALLAST).unlink()
    except FileNotFoundError:
        return False
    return True


def spill(folder: Path, answers: Sequence[Answer]) -> str:
    """Save *answers* outside the failing disk; returns a sentence that says where, or that it failed.

    A torn last line is harmless: `take_in` stops there.
    """
    lines = b"".join(orjson.dumps([answer.key.hex(), *values_of(answer)[1:]]) + b"\n" for answer in answers)
    path = spill_path(folder)
    try:
        handle = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(lines)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return f"{path}: {error}; {len(answers)} paid answers could not be saved and will be asked again"
    return f"{len(answers)} paid answers were saved to {path}; the next run takes them in"


def take_in(folder: Path, store: Store) -> int:
    """Append what was spilled to *store* and remove the spill file; returns how many answers."""
    path = spill_path(folder)
    if not path.is_file() or path.is_symlink() or path.stat().st_uid != os.getuid():
        return 0
    answers = []
    for line in path.read_bytes().splitlines():
        with suppress(ValueError):
            answers.append(_answer(orjson.loads(line)))
    store.append(answers)
    path.unlink()
    return len(answers)


def spill_path(folder: Path) -> Path:
    """Return where answers of the ledger in *folder* are spilled to: the system's temporary folder."""
    name = blake2b(str(folder.resolve()).encode(), digest_size=8).hexdigest()
    return Path(tempfile.gettempdir()) / f"pipeline-spill-{os.getuid()}-{name}.jsonl"


def _answer(values: list[object]) -> Answer:
    if len(values) != len(FIELDS):
        raise ValueError("not an answer")
    values[0] = bytes.fromhex(str(values[0]))
    values[STATUS] = Status(str(values[STATUS])) if values[STATUS] else None
    return Answer(*values)  # type: ignore[arg-type]
