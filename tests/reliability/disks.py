"""File systems of our own, to be filled, cut off and remounted. Needs root."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.reliability.steps import cut_power

NEEDS = "needs root, and losetup, mkfs.ext4 and mount: `apt-get install e2fsprogs mount`, or run `make soak` as root"

needs_mounts = pytest.mark.skipif(
    os.name != "posix" or os.geteuid() != 0 or shutil.which("mkfs.ext4") is None or not Path("/dev/loop-control").exists(),
    reason=NEEDS,
)  # fmt: skip


def run(*command: str | Path) -> None:
    """Run a command that must succeed, its output in the error if it does not."""
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stderr or done.stdout}"


class LoopDisk:
    """An ext4 file system in a file, whose power can be cut."""

    def __init__(self, folder: Path, megabytes: int = 64) -> None:
        """Make the file system in *folder*; it is not mounted yet."""
        self.image, self.mount = folder / "disk.img", folder / "disk"
        self.mount.mkdir()
        with self.image.open("wb") as file:
            file.truncate(megabytes << 20)
        # Without the lazy initialisation, which writes in the background for a while.
        run("mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0", self.image)
        self.mounted = False

    def plug_in(self) -> None:
        """Mount it; the journal is replayed."""
        run("mount", "-o", "loop", self.image, self.mount)
        self.mounted = True

    def sync(self) -> None:
        """Get what a test has written onto it: only the run's own writing is on trial."""
        run("sync", "--file-system", self.mount)

    def cut(self) -> None:
        """Let it forget what is not on it yet; everything on it fails from now on."""
        cut_power(self.mount)

    def unplug(self) -> None:
        """Unmount it."""
        if self.mounted:
            run("umount", self.mount)
            self.mounted = False

    def replug(self) -> None:
        """Power is back: unmount and mount again."""
        self.unplug()
        self.plug_in()


@contextmanager
def loop_disk(folder: Path, megabytes: int = 64) -> Iterator[LoopDisk]:
    """Give a mounted disk."""
    disk = LoopDisk(folder, megabytes)
    disk.plug_in()
    try:
        yield disk
    finally:
        disk.unplug()


@contextmanager
def tmpfs(mount: Path, kilobytes: int) -> Iterator[Path]:
    """Give a small file system in memory, mounted at *mount*."""
    mount.mkdir(parents=True, exist_ok=True)
    run("mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", mount)
    try:
        yield mount
    finally:
        run("umount", mount)


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Let *folder* be one that not even root can write while the block runs."""
    run("mount", "--bind", folder, folder)
    run("mount", "-o", "remount,ro,bind", folder)
    try:
        yield
    finally:
        run("umount", folder)
