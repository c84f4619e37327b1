"""Turn a command's outcome into an exit status and its errors into lines, even if stdout or stderr is closed."""

import errno
import os
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Protocol, runtime_checkable

from pipeline.cli.console import print_lines, print_result
from pipeline.errors import DiskError, InterruptedRunError, PipelineError, as_pipeline_error
from pipeline.telemetry.logs import one_line

NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}


@runtime_checkable
class CommandLineError(Protocol):
    """typer's error for a wrong command line, by its shape: the class has moved from version to version."""

    exit_code: int

    def show(self) -> None:
        """Print the problem to stderr."""

    def format_message(self) -> str:
        """Return the problem as a sentence."""


def exit_status(command: Callable[[], int | None]) -> int:
    """Run *command*, print its error to stderr if there is one, and return the exit status."""
    _reopen_closed_streams()
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # the parent process had closed it
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115 - open as long as the process
    try:
        return _run(command)
    finally:
        _flush_streams()


def _reopen_closed_streams() -> None:
    """Open /dev/null for each closed standard stream, so that no later file gets descriptor 0, 1 or 2."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def _run(command: Callable[[], int | None]) -> int:
    try:
        status = command() or 0
        with suppress(BrokenPipeError):
            sys.stdout.flush()  # here, as a full disk is this command's error
    except PipelineError as error:
        if error.exit_status == PipelineError.exit_status and error.__cause__ is not None:
            _print_traceback(error.__cause__)
        _print_problems(*error.problems)
        return error.exit_status
    except KeyboardInterrupt:
        return InterruptedRunError.exit_status
    except BrokenPipeError:  # `| head` has read enough
        return 0
    except Exception as error:  # noqa: BLE001 - the one place where a bug becomes an exit status
        return _status_of(error)
    return status


def _status_of(error: Exception) -> int:
    """Print an error that is not a PipelineError, and return its exit status."""
    if isinstance(error, CommandLineError):
        with suppress(OSError, DiskError):
            error.show()
            print_result({"status": "error", "error": one_line(error.format_message())})
        return error.exit_code
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        _print_problems(f"{error.filename or 'stdout'}: {error}; make room")
        return DiskError.exit_status
    if type(error).__name__ == "Abort":  # typer's form of KeyboardInterrupt
        return InterruptedRunError.exit_status
    _print_traceback(error)
    _print_problems(*as_pipeline_error(error).problems)
    return PipelineError.exit_status


def _print_traceback(bug: BaseException) -> None:
    print_lines(line.rstrip("\n") for line in traceback.format_exception(bug))


def _print_problems(*problems: str) -> None:
    with suppress(OSError):
        for problem in problems:
            sys.stderr.write(f"error: {one_line(problem)}\n")


def _flush_streams() -> None:
    """Flush stdout and stderr; redirect a broken one to /dev/null so that interpreter shutdown does not fail."""
    for number, stream in ((1, sys.stdout), (2, sys.stderr)):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), number)
