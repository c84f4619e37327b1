"""Starts executions in a few milliseconds: a process that has imported everything forks one for each.

A thousand kills would otherwise be a thousand imports. What is killed is a process of its own all the same.
Run as a program, this is that process: it reads orders from stdin and writes what came of them to stdout.
"""

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Ended:
    """How an execution ended: its exit status, negative for a signal, and what it wrote."""

    status: int
    out: str
    err: str


class Execution:
    """A running execution."""

    def __init__(self, launcher: "Launcher", process: int, out: Path, err: Path) -> None:
        self.process = process
        self._launcher, self._out, self._err = launcher, out, err
        self._ended: Ended | None = None

    def signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if not self.over:
            os.kill(self.process, number)  # a zombie at worst: only `wait` gives the id free

    @property
    def over(self) -> bool:
        """Whether it has ended; does not wait."""
        if self._ended is None:
            status = self._launcher.order(do="poll", process=self.process)["status"]
            if status is not None:
                self._ended = Ended(status, self._out.read_text(), self._err.read_text())
        return self._ended is not None

    def wait(self) -> Ended:
        """Wait until it has ended."""
        if self._ended is None:
            status = self._launcher.order(do="wait", process=self.process)["status"]
            self._ended = Ended(status, self._out.read_text(), self._err.read_text())
        return self._ended

    def kill(self) -> Ended:
        """Kill it and wait."""
        self.signal(signal.SIGKILL)
        return self.wait()


class Launcher:
    """The process that forks; a context manager."""

    def __init__(self, folder: Path) -> None:
        """Make one that keeps what its executions write in *folder*."""
        self._folder = folder
        self._count = 0

    def __enter__(self) -> Self:
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.reliability.launcher"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            cwd=ROOT,
        )
        self.order(do="hello")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate()  # the end of its input ends it

    def start(self, *arguments: str, **plan: Any) -> Execution:
        """Fork an execution of `python -m pipeline` with *arguments*.

        Args:
            arguments: The command line.
            plan: What is done to it at which step, see `tests.reliability.steps`.
        """
        self._count += 1
        out, err = self._folder / f"{self._count}.out", self._folder / f"{self._count}.err"
        for file in (out, err):
            file.touch()
        order = {"do": "start", "arguments": arguments, "out": str(out), "err": str(err), "plan": plan}
        return Execution(self, self.order(**order)["process"], out, err)

    def order(self, **order: Any) -> dict[str, Any]:
        """Have the process do something, and return what it says."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        said: dict[str, Any] = json.loads(self._process.stdout.readline())
        return said


def _fork(order: dict[str, Any]) -> int:
    process = os.fork()
    if process:
        return process
    for number, name in ((1, order["out"]), (2, order["err"])):
        os.dup2(os.open(name, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600), number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    from pipeline.cli.app import main  # noqa: PLC0415 - imported before the fork
    from tests.reliability import steps  # noqa: PLC0415 - likewise

    if order["plan"]:
        steps.follow(**order["plan"])
    status = main(order["arguments"])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _obey(order: dict[str, Any]) -> dict[str, Any]:
    if order["do"] == "start":
        return {"process": _fork(order)}
    if order["do"] in {"wait", "poll"}:
        found, status = os.waitpid(order["process"], os.WNOHANG if order["do"] == "poll" else 0)
        return {"status": os.waitstatus_to_exitcode(status) if found else None}
    return {}


def _serve() -> None:
    # All that a run imports on its way; none of it may start a thread before the fork.
    import pipeline.cli.run.command  # noqa: PLC0415
    import pipeline.journey  # noqa: PLC0415
    import pipeline.outputs.duplicates  # noqa: F401, PLC0415
    import tests.reliability.steps  # noqa: F401, PLC0415

    for line in sys.stdin:
        sys.stdout.write(json.dumps(_obey(json.loads(line))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _serve()
