"""The local disk: list files, tell whether one has changed, read ranges of it, and replace a file or a folder whole."""

import ctypes
import errno
import glob
import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from io import BufferedReader
from pathlib import Path

import orjson
import pyarrow as pa
from pyarrow.fs import LocalFileSystem

from pipeline.system import atomic
from pipeline.system.atomic import make_new, sync, temporary_name
from pipeline.system.lock import Lock

RENAME_EXCHANGE = 2
"""From linux/fs.h."""

AT_FDCWD = -100
"""From linux/fcntl.h."""

SYNCS_AT_ONCE = 16
"""Syncs of a folder's files that a disk can put together."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """A file's metadata in the file system; a different stamp means that the bytes may differ.

    Attributes:
        size: Bytes.
        mtime_ns: Time of the last modification in Unix nanoseconds.
        inode: Inode number.
    """

    size: int
    mtime_ns: int
    inode: int


def stamp(path: Path) -> Stamp:
    """Take the stamp of the file at *path*.

    Raises:
        OSError: If there is no such file.
    """
    found = os.stat(path)  # noqa: PTH116 - Path.stat is the same call, one frame deeper
    return Stamp(found.st_size, found.st_mtime_ns, found.st_ino)


def whole_stamp(path: Path) -> str:
    """Return a hash that changes when the file or the folder at *path* is changed or replaced; "" if it is missing."""
    facts = []
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        try:
            found = stamp(file)
        except OSError:
            return ""
        facts.append([str(file), found.size, found.mtime_ns, found.inode])
    return blake2b(orjson.dumps(facts), digest_size=16).hexdigest()


def exists(path: Path) -> bool:
    """Return whether something is at *path*."""
    return path.exists()


def is_file(path: Path) -> bool:
    """Return whether a regular file is at *path*."""
    return path.is_file()


def is_folder(path: Path) -> bool:
    """Return whether a folder is at *path*."""
    return path.is_dir()


def entries(folder: Path) -> Iterator[tuple[str, bool]]:
    """Yield the name of each entry of *folder*, and whether it is a folder, in no order."""
    with os.scandir(folder) as found:
        for entry in found:
            yield entry.name, entry.is_dir()


def files_below(path: Path) -> list[Path]:
    """Return the files in the folder at *path* and in all of its subfolders, sorted; of a file only itself."""
    return [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())


def matching(pattern: str) -> Iterator[Path]:
    """Yield what a glob matches, in no order."""
    return map(Path, glob.iglob(pattern, recursive=True))  # noqa: PTH207 - may be absolute


def resolved(path: Path) -> Path:
    """Return *path* without links."""
    return Path(os.path.realpath(path))


def open_file(path: Path) -> BufferedReader:
    """Open the file at *path* to read ranges of its bytes."""
    return path.open("rb")


def open_arrow(path: Path) -> pa.NativeFile:
    """Open the file at *path* for pyarrow, which reads ranges of it without Python; it must be closed.

    A memory map would kill the process if the file were truncated.
    """
    return LocalFileSystem(use_mmap=False).open_input_file(str(path))


def target(path: Path) -> Path:
    """Create the output's folder and return its path with links resolved, because the target is what is replaced."""
    real = resolved(path)
    make_folder(real.parent)
    return real


def remove(path: Path) -> None:
    """Remove a file, or a folder with all that is in it."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def make_folder(path: Path) -> None:
    """Create the folder at *path* and its missing parents, unless it is there."""
    path.mkdir(parents=True, exist_ok=True)


def ensure_writable(path: Path) -> None:
    """Ensure that a file or a folder can appear at *path*.

    Raises:
        OSError: If it cannot.
    """
    probe = temporary_name(path)  # publishing sweeps it up if we are killed before the unlink
    make_new(probe)
    probe.unlink()


def sweep(path: Path) -> None:
    """Remove the temporary files that killed processes have left beside *path*."""
    atomic.sweep(path)


def lock(path: Path, setting: str, owner: object) -> Lock:  # noqa: ARG001 - the kernel tells that a holder has died
    """Return the lock beside the output at *path*: a hidden file that exists while the lock is held."""
    # As readable as the output itself, so that everyone who shares the folder can see which run holds it.
    return Lock(path.with_name(f".{path.name}.lock"), path, setting, mode=0o666)


@contextmanager
def replacing(path: Path, *, before_rename: Callable[[], None] = lambda: None) -> Iterator[Path]:
    """Yield a new, empty file, which replaces *path* if the block succeeds.

    *before_rename* is called once it is synced to disk, right before it appears; raises to prevent that.
    """
    with atomic.replacing(path) as temporary:
        yield temporary
        sync(temporary)  # takes long, and nothing may delay the rename after `before_rename`
        before_rename()


@contextmanager
def replacing_folder(
    path: Path,
    *,
    ensure_running: Callable[[], None] = lambda: None,
    before_rename: Callable[[], None] = lambda: None,
) -> Iterator[Path]:
    """Yield a new, empty folder, which replaces *path* with all that is in it if the block succeeds.

    Args:
        path: The folder to replace, whether it is there or not.
        ensure_running: Called for every file before it is synced; raises to stop.
        before_rename: Called once all is synced to disk, right before it appears; raises to prevent that.
    """
    with temporary_folder(path) as temporary:
        yield temporary
        _sync_all([temporary, *temporary.rglob("*")], ensure_running)
        before_rename()
        if path.exists():
            exchange(temporary, path)
        else:
            temporary.rename(path)
        sync(path.parent)


def _sync_all(paths: Sequence[Path], ensure_running: Callable[[], None]) -> None:
    """Flush all *paths* to the disk, several at once: it takes hardly longer than for one of them."""
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - reading does without

    def sync_some(some: Sequence[Path]) -> None:
        for path in some:
            ensure_running()
            sync(path)

    with ThreadPoolExecutor(SYNCS_AT_ONCE, thread_name_prefix="sync") as pool:
        for done in [pool.submit(sync_some, paths[number::SYNCS_AT_ONCE]) for number in range(SYNCS_AT_ONCE)]:
            done.result()


@contextmanager
def temporary_folder(path: Path, mode: int = 0o777) -> Iterator[Path]:
    """Create a folder beside *path* that is removed afterwards, and remove those of earlier processes.

    Each process has its own: one that wakes up after another has taken over must not write into the other's.
    """
    temporary = temporary_name(path)
    names = re.compile(rf"\.{re.escape(path.name)}\.\d+\.tmp")
    for left in path.parent.glob(".*.tmp"):
        if left.is_dir() and names.fullmatch(left.name):
            shutil.rmtree(left, ignore_errors=True)
    temporary.mkdir(mode)
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def exchange(new: Path, old: Path) -> None:
    """Swap the names of two folders, atomically on Linux; elsewhere *old* is missing for an instant."""
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is not None:
        if renameat2(AT_FDCWD, os.fsencode(new), AT_FDCWD, os.fsencode(old), RENAME_EXCHANGE) == 0:
            return
        if ctypes.get_errno() not in {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP}:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(old))
    aside = old.with_name(f".{old.name}.old")
    shutil.rmtree(aside, ignore_errors=True)
    old.rename(aside)
    new.rename(old)
    aside.rename(new)
