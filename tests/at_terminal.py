"""A command at a terminal of its own, as a person has it: with a width, a Ctrl-C, and what is on the screen."""

import fcntl
import os
import re
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

from tests.jobs import environment

# The terminal has to be the one that controls the process: only then a Ctrl-C in it is a signal.
START = """
import os, runpy, sys
os.close(os.open(os.ttyname(0), os.O_RDWR))
sys.argv = ["pipeline", *sys.argv[1:]]
runpy.run_module("pipeline", run_name="__main__", alter_sys=True)
"""

CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class AtTerminal:
    """A process and its terminal."""

    def __init__(self, process: subprocess.Popen[bytes], terminal: int) -> None:
        self.process, self._terminal = process, terminal
        self.raw = ""
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with suppress(OSError):  # the other side is closed
            while data := os.read(self._terminal, 1 << 16):
                self.raw += data.decode(errors="replace")

    @property
    def text(self) -> str:
        """All that was written, without the codes that move the cursor or colour."""
        return CODES.sub("", self.raw).replace("\r\n", "\n")

    def wait_for(self, words: str) -> None:
        """Wait until *words* were written."""
        deadline = time.monotonic() + 60
        while words not in self.text:
            assert self.process.poll() is None or words in self.text, self.text
            assert time.monotonic() < deadline, self.text
            time.sleep(0.01)

    def press(self, keys: str) -> None:
        os.write(self._terminal, keys.encode())

    def resize(self, columns: int) -> None:
        fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 30, columns, 0, 0))

    def ended(self) -> int:
        """Wait for its end; returns its exit status."""
        status = self.process.wait(120)
        self._thread.join(10)
        return status


@contextmanager
def at_terminal(
    *arguments: str, columns: int = 80, env: Mapping[str, str] | None = None, out: int | None = None
) -> Iterator[AtTerminal]:
    """Run the command line at a terminal while the block runs; its stdout is *out*, if given."""
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, columns, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-c", START, *arguments],
        stdin=theirs,
        stdout=theirs if out is None else out,
        stderr=theirs,
        env=environment({"TERM": "xterm-256color", **(env or {})}),
        start_new_session=True,
    )
    os.close(theirs)
    terminal = AtTerminal(process, ours)
    try:
        yield terminal
    finally:
        process.kill()
        process.wait()
        terminal.ended()
        os.close(ours)
