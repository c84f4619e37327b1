"""Keeping paid answers when the disk is full: ballast that can be dropped, and spill files elsewhere."""

import fcntl
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path

import orjson

from pipeline.ledger.schema import FIELDS, answer_of, cells_of
from pipeline.ledger.store import Store
from pipeline.records import Answer, Status

BALLAST = "ballast"
BALLAST_BYTES = 8 << 20
"""Room for the answers in flight when a disk fills up: 5,000 of them with log-probabilities take about 4 MB."""

LOGPROBS = FIELDS.index("logprobs")

ELSEWHERE = ("/tmp", "/var/tmp")  # noqa: S108 - the files are created with O_EXCL, for the owner only
"""Folders to spill to after TMPDIR; all of them are searched, because the next run may have another TMPDIR."""


def renew_ballast(folder: Path) -> None:
    """Reserve disk space in *folder*, if there is enough: allocated blocks, not a hole."""
    path = folder / BALLAST
    if path.exists() and path.stat().st_size == BALLAST_BYTES:
        return
    handle = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_NOFOLLOW, 0o600)
    try:
        os.posix_fallocate(handle, 0, BALLAST_BYTES)
    except OSError:
        path.unlink(missing_ok=True)  # no room even now: the first write will fail and say so
    finally:
        os.close(handle)


def drop_ballast(folder: Path) -> bool:
    """Give the reserved space back; return whether there was any."""
    try:
        (folder / BALLAST).unlink()
    except FileNotFoundError:
        return False
    return True


def spill(folder: Path, answers: Sequence[Answer]) -> str:
    """Save *answers* outside the failing disk; return a sentence that says where, or that it failed.

    A torn last line is harmless: `ingest_spilled` skips it.

    Args:
        folder: The state directory.
        answers: What to save: to TMPDIR if that is possible, else to `ELSEWHERE`.
    """
    lines = b"".join(map(_line, answers))
    problems = []
    for place in _places():
        path = place / f"{_prefix(folder)}{os.getpid()}-{time.time_ns()}.jsonl"
        try:
            _write_new(path, lines)
        except OSError as error:
            problems.append(f"{path}: {error}")
        else:
            return f"{len(answers)} paid answers were saved to {path}; the next run takes them in"
    tried = ", ".join(problems)
    return f"{tried}; {len(answers)} paid answers could not be saved and will be asked again"


def ingest_spilled(folder: Path, store: Store) -> int:
    """Append the spilled answers to *store* and remove the spill files; return how many answers.

    Two runs may ingest the same file: an answer that is in the ledger twice counts once.
    """
    count = 0
    for path in spilled(folder):
        with path.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                continue  # another run is writing it
            content = file.read()
        if not content:
            continue  # another run has created it and not locked it yet
        answers = list(_answers(content))
        store.append(answers)
        path.unlink(missing_ok=True)
        count += len(answers)
    return count


def spilled(folder: Path) -> list[Path]:
    """Return this user's spill files of the ledger in *folder*."""
    files = [path for place in _places() for path in place.glob(f"{_prefix(folder)}*.jsonl")]
    # Anybody may write to these folders: a file of another user, or a link to one, could hold made-up answers.
    return [path for path in files if path.lstat().st_uid == os.getuid() and not path.is_symlink()]


def _places() -> list[Path]:
    named = os.environ.get("TMPDIR")
    return [Path(name) for name in dict.fromkeys(([named] if named else []) + list(ELSEWHERE))]


def _prefix(folder: Path) -> str:
    """Return how the names of the spill files of the ledger in *folder* begin."""
    digest = blake2b(os.fsencode(folder.resolve()), digest_size=8).hexdigest()
    return f"pipeline-spill-{os.getuid()}-{digest}-"


def _write_new(path: Path, content: bytes) -> None:
    handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        path.unlink()
        raise


def _line(answer: Answer) -> bytes:
    kept = answer_of(*cells_of(answer)) or answer  # as the ledger would hold it, in valid Unicode
    return orjson.dumps([kept.key.hex(), *kept[1:]]) + b"\n"


def _answers(content: bytes) -> Iterator[Answer]:
    for line in content.splitlines():
        with suppress(ValueError):
            yield _answer(orjson.loads(line))


def _answer(values: object) -> Answer:
    if not isinstance(values, list) or len(values) != len(FIELDS) or isinstance(values[LOGPROBS], list):
        raise ValueError("not an answer")
    answer = Answer(bytes.fromhex(str(values[0])), *values[1:])
    return answer._replace(status=Status(answer.status)) if answer.status else answer
