"""Files that are either whole and on the disk, or not there."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path, mode: int = 0o644) -> Iterator[Path]:
    """Give a temporary path beside *path*; when the block ends well, it takes the place of *path*.

    Synced before the rename, and the folder after it: a name never leads to a file that is not whole.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        sync(temporary)
        temporary.chmod(mode)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync(path.parent)


def write(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Put *content* into *path*, whole or not at all."""
    with replacing(path, mode) as temporary:
        temporary.write_bytes(content)


def sync(path: Path) -> None:
    """Wait until *path*, a file or a folder, is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
