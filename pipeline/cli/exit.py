"""How a command ends: its outcome becomes an exit status, even if stdout or stderr is closed."""

import errno
import os
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Protocol, runtime_checkable

from pipeline.cli.console import last_line, tell
from pipeline.errors import DiskError, InterruptedRunError, PipelineError, as_pipeline_error
from pipeline.telemetry.logs import one_line

NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}


@runtime_checkable
class CommandLineError(Protocol):
    """What typer raises where the command line does not fit; its class has moved from version to version."""

    exit_code: int

    def show(self) -> None:
        """Print what is wrong to stderr."""

    def format_message(self) -> str:
        """Return what is wrong as a sentence."""


def exit_status(command: Callable[[], int | None]) -> int:
    """Run *command*, tell what went wrong on stderr, and return the exit status."""
    _fill_gaps()
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whoever started us
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115 - as long as the process
    try:
        return _translated(command)
    finally:
        _let_go()


def _fill_gaps() -> None:
    """Lead what is closed among stdin, stdout and stderr nowhere, or the next file opened would take its number."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def _translated(command: Callable[[], int | None]) -> int:
    try:
        return _flushed(command() or 0)
    except PipelineError as error:
        if error.exit_status == PipelineError.exit_status and error.__cause__ is not None:
            _trace(error.__cause__)
        _complain(*error.problems)
        return error.exit_status
    except KeyboardInterrupt:
        return InterruptedRunError.exit_status
    except BrokenPipeError:
        return 0
    except Exception as error:  # noqa: BLE001 - the one place where a bug becomes an exit status
        return _unusual(error)


def _flushed(status: int) -> int:
    with suppress(BrokenPipeError):
        sys.stdout.flush()
    return status


def _unusual(error: Exception) -> int:
    if isinstance(error, CommandLineError):
        with suppress(OSError, DiskError):
            error.show()
            last_line({"status": "error", "error": one_line(error.format_message())})
        return error.exit_code
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        _complain(f"{error.filename or 'stdout'}: {error}; make room")
        return DiskError.exit_status
    if type(error).__name__ == "Abort":  # how typer passes an interruption on
        return InterruptedRunError.exit_status
    _trace(error)
    _complain(*as_pipeline_error(error).problems)
    return PipelineError.exit_status


def _trace(bug: BaseException) -> None:
    tell(line.rstrip("\n") for line in traceback.format_exception(bug))


def _complain(*problems: str) -> None:
    with suppress(OSError):
        for problem in problems:
            sys.stderr.write(f"error: {one_line(problem)}\n")


def _let_go() -> None:
    """Write out what is left; what nobody reads any more must not trouble the interpreter when it ends."""
    for number, stream in ((1, sys.stdout), (2, sys.stderr)):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), number)
