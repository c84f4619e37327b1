"""How a command ends: with the exit status of its error, whoever still reads what it prints."""

import os
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Protocol, runtime_checkable

from pipeline.errors import InterruptedRunError, PipelineError, as_pipeline_error
from pipeline.logs import one_line


@runtime_checkable
class CommandLineError(Protocol):
    """What typer raises where the command line does not fit; its class has moved from version to version."""

    exit_code: int

    def show(self) -> None:
        """Print what is wrong to stderr."""


def exit_status(command: Callable[[], int | None]) -> int:
    """Run *command*, tell what went wrong on stderr, and return the exit status."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whoever started us
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115 - as long as the process
    try:
        return _translated(command)
    finally:
        _let_go()


def _translated(command: Callable[[], int | None]) -> int:
    try:
        return command() or 0
    except PipelineError as error:
        _complain(*error.problems)
        return error.exit_status
    except KeyboardInterrupt:
        return InterruptedRunError.exit_status
    except BrokenPipeError:
        return 0
    except Exception as error:  # noqa: BLE001 - the one place where a bug becomes an exit status
        return _unusual(error)


def _unusual(error: Exception) -> int:
    if isinstance(error, CommandLineError):
        with suppress(OSError):
            error.show()
        return error.exit_code
    if type(error).__name__ == "Abort":  # how typer passes an interruption on
        return InterruptedRunError.exit_status
    with suppress(OSError):
        traceback.print_exception(error)
    _complain(*as_pipeline_error(error).problems)
    return PipelineError.exit_status


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
