"""Kill a run at one instant of its way to a Delta table: `python killed.py WHEN run CONFIG`."""

import os
import signal
import sys
from typing import Any, NoReturn

import deltalake

from pipeline.cli.app import main
from pipeline.engine.lifecycle import Execution
from pipeline.journey import Journey

MOMENTS = ("before the commit", "amid the commit", "after the commit", "before the mark")


def die(*_: Any, **__: Any) -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def prepare(moment: str) -> None:
    write = deltalake.write_deltalake
    checks = []

    def write_and_die(*given: Any, **named: Any) -> None:
        write(*given, **named)
        die()

    def check_and_die(*_: Any) -> None:
        checks.append(1)
        if len(checks) == 2:  # rows are written, and the commit is next
            die()

    match moment:
        case "before the commit":
            deltalake.write_deltalake = die
        case "amid the commit":
            Journey._last_check = check_and_die  # type: ignore[method-assign]
        case "after the commit":
            deltalake.write_deltalake = write_and_die
        case "before the mark":
            Execution.finish = die  # type: ignore[method-assign]


if __name__ == "__main__":
    prepare(sys.argv[1])
    sys.exit(main(sys.argv[2:]))
