"""Turn a command's outcome into an exit status and its errors into lines, even if stdout or stderr is closed."""

import errno
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from pipeline.cli.console import (
    choose_form,
    is_json_lines,
    print_failure,
    print_lines,
    print_problems,
)
from pipeline.errors import DiskError, PipelineError, UsageError, as_pipeline_error
from pipeline.system.interruption import Interruption, interruption, received

TYPERS_INTERRUPT = 130
"""What typer returns at a KeyboardInterrupt."""

NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}


@runtime_checkable
class CommandLineError(Protocol):
    """typer's error for a wrong command line, by its shape: the class has moved from version to version."""

    exit_code: int

    def format_message(self) -> str:
        """Return the problem as a sentence."""


def exit_status(command: Callable[[], int | None], words: Sequence[str] = ()) -> int:
    """Run *command*, print its error if there is one, in the form that *words* ask for, and return the exit status."""
    choose_form(words)
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
    except BrokenPipeError:  # `| head` has read enough
        return 0
    except SystemExit as ended:
        if isinstance(ended.__context__, BrokenPipeError):  # typer makes a 1 of it
            return 0
        raise
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the one place where a bug becomes an exit status
        return _status_of(error)
    if status == TYPERS_INTERRUPT:
        return _status_of(Interruption(received() or ""))
    return status


def _status_of(error: BaseException) -> int:
    """Print why the command failed: for people on stderr, as JSON on stdout. Return the exit status."""
    failure = _failure_of(error)
    if isinstance(error, CommandLineError):
        print_lines(_usage(error))
    elif failure.exit_status == PipelineError.exit_status:
        _print_traceback(failure.__cause__ or failure)
    print_problems(failure.problems)
    print_lines(getattr(failure, "__notes__", ()))
    print_failure(failure)
    return failure.exit_status


def _usage(error: CommandLineError) -> Iterator[str]:
    """Yield how the command is used whose command line is wrong, if typer knows which one it is."""
    context: Any = getattr(error, "ctx", None)
    if context is not None and not is_json_lines():
        yield context.get_usage()
        yield f"Try '{context.command_path} --help' for help."
        yield ""


def _failure_of(error: BaseException) -> PipelineError:
    if isinstance(error, PipelineError):
        return error
    if isinstance(error, CommandLineError):
        return UsageError(error.format_message())
    if interrupted := interruption(error):
        return as_pipeline_error(interrupted)
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        return DiskError(f"{error.filename or 'stdout'}: {error}; make room")
    return as_pipeline_error(error)


def _print_traceback(bug: BaseException) -> None:
    print_lines(line.rstrip("\n") for line in traceback.format_exception(bug))


def _flush_streams() -> None:
    """Flush stdout and stderr; redirect a broken one to /dev/null so that interpreter shutdown does not fail."""
    for number, stream in ((1, sys.stdout), (2, sys.stderr)):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), number)
