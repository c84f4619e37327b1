"""Files that are either whole and on the disk, or not there."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def replacing(path: Path, mode: int | None = None) -> Iterator[Path]:
    """Give a new, empty file beside *path*; when the block ends well, it takes the place of *path*.

    Synced before the rename, and the folder after it: a name never leads to a file that is not whole.
    *mode* None leaves the permissions to the umask.
    """
    temporary = temporary_name(path)
    make_new(temporary, 0o666 if mode is None else mode)
    try:
        yield temporary
        if mode is not None:
            temporary.chmod(mode)
        sync(temporary)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync(path.parent)


def temporary_name(path: Path) -> Path:
    """Return the path beside *path* that this process writes to first; `sweep` finds it."""
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")


def write(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Put *content* into *path*, whole or not at all."""
    with replacing(path, mode) as temporary:
        temporary.write_bytes(content)


def make_new(path: Path, mode: int = 0o600) -> None:
    """Make an empty file at *path* that never was anybody else's, and never had wider permissions than *mode*.

    What was there is removed: in a folder that others may write, too, it may be a link to a file of ours.
    """
    path.unlink(missing_ok=True)
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode))  # O_EXCL follows no link


def sweep(path: Path) -> None:
    """Remove what processes that were killed while they were replacing *path* have left beside it."""
    left = re.compile(rf"\.{re.escape(path.name)}\.(\d+)\.tmp")
    for file in path.parent.glob(".*.tmp"):
        match = left.fullmatch(file.name)
        if match and not _is_alive(int(match[1])):
            with suppress(OSError):
                file.unlink()


def make_private(folder: Path) -> None:
    """Make *folder* and whatever is missing above it, for the owner's eyes only."""
    if not folder.is_dir():
        make_private(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except PermissionError:
        return True
    except (ProcessLookupError, OverflowError):
        return False
    return True


def sync(path: Path) -> None:
    """Wait until *path*, a file or a folder, is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
