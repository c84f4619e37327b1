"""Does something to the process that runs this at its Nth step towards the disk.

A step is an instant right before or right after a call of fsync, rename, unlink or the like by Python code.
SQLite's own steps are out of reach here; strace reaches them.
"""

import fcntl
import os
import resource
import signal
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

CALLS = ("fsync", "replace", "rename", "unlink", "ftruncate", "posix_fallocate", "mkdir", "chmod")
SHUTDOWN = 0x8004587D
"""FS_IOC_SHUTDOWN, from linux/fs.h."""

NO_LOG_FLUSH = 2
"""EXT4_GOING_FLAGS_NOLOGFLUSH: what is not on the disk yet never gets there."""


def cut_power(mount: Path) -> None:
    """Let the file system at *mount* forget all that is not on its disk; it answers EIO from now on."""
    handle = os.open(mount, os.O_RDONLY)
    try:
        fcntl.ioctl(handle, SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))
    finally:
        os.close(handle)


def follow(at: int = 0, mount: str | None = None, **limits: int) -> None:
    """Set things up in this process, which is about to run.

    Args:
        at: Kill it at this step, counted from 1; 0 for never.
        mount: The power of that disk goes first.
        limits: Resource limits by their names, such as `NOFILE` or `FSIZE`.
    """
    for name, limit in limits.items():
        resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (limit, limit))
    count = 0

    def step() -> None:
        nonlocal count
        count += 1
        if count == at:
            if mount is not None:
                cut_power(Path(mount))
            os.kill(os.getpid(), signal.SIGKILL)

    def watched(call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*arguments: Any, **named: Any) -> Any:
            step()
            result = call(*arguments, **named)
            step()
            return result

        return wrapper

    for name in CALLS:
        setattr(os, name, watched(getattr(os, name)))
