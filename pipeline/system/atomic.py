"""Atomic file replacement: a file is complete and on the disk, or it is not there."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock

_TURNS = [Lock() for _ in range(64)]


@contextmanager
def replacing(path: Path, mode: int | None = None, *, durable: bool = True) -> Iterator[Path]:
    """Yield a new, empty file beside *path*, which replaces *path* if the block succeeds.

    *mode* None leaves the permissions to the umask. A file that is not *durable* may be damaged by a power cut; its content
    has to show that.
    """
    temporary = temporary_name(path)
    make_new(temporary, 0o666 if mode is None else mode)
    try:
        yield temporary
        if mode is not None:
            temporary.chmod(mode)
        # Before the rename, or after a power cut the name may lead to a file that is not complete.
        if durable:
            sync(temporary)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    # The rename itself is not on the disk before the folder is.
    if durable:
        sync(path.parent)


def temporary_name(path: Path) -> Path:
    """Return the path beside *path* that this process writes to first, and where `sweep` looks for leftovers."""
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")


def write(path: Path, content: bytes, mode: int = 0o600, *, durable: bool = True) -> None:
    """Replace the content of *path* atomically; see `replacing`. Several threads may write to one path."""
    # The temporary file is this process's: two threads take turns. Few other paths share a turn with *path*.
    with _TURNS[hash(path) % len(_TURNS)], replacing(path, mode, durable=durable) as temporary:
        temporary.write_bytes(content)


def make_new(path: Path, mode: int = 0o600) -> None:
    """Create an empty file at *path*, removing what was there; it never has wider permissions than *mode*."""
    # In a folder that others can write to, what is there may be a link that leads to one of our files.
    path.unlink(missing_ok=True)
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode))  # O_EXCL follows no link


def sweep(path: Path) -> None:
    """Remove the temporary files that killed processes have left beside *path*."""
    leftover = re.compile(rf"\.{re.escape(path.name)}\.(\d+)\.tmp")
    for file in path.parent.glob(".*.tmp"):
        match = leftover.fullmatch(file.name)
        if match and not _is_alive(int(match[1])):
            with suppress(OSError):
                file.unlink()


def make_private(folder: Path) -> None:
    """Create *folder* and its missing parents, accessible to the owner only."""
    if not folder.is_dir():
        make_private(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except PermissionError:  # another user's
        return True
    except (ProcessLookupError, OverflowError):
        return False
    return True


def sync(path: Path) -> None:
    """Flush *path*, a file or a folder, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
