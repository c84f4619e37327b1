"""What a command prints: text for people on stderr, and its result as one JSON object, the last line of stdout."""

import logging
import sys
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

import orjson

from pipeline.errors import DiskError, HeldError, InterruptedRunError, PipelineError
from pipeline.telemetry.logs import JsonLines, one_line


class _Stderr:
    """The form of what is printed to stderr."""

    json_lines = False


def write_json_lines(*, on: bool) -> None:
    """Set whether all that is printed to stderr is JSON, as `--log-format json` asks for: a program reads it."""
    _Stderr.json_lines = on


def print_lines(lines: Iterable[str], level: str = "info") -> None:
    """Print *lines* to stderr, without secrets and control characters; a line may contain newlines."""
    with suppress(OSError, AttributeError):  # stderr may be closed, or a pipe that nothing reads any more
        for line in lines:
            if _Stderr.json_lines:
                facts = {"msg": line, "levelname": level, "created": time.time()}
                sys.stderr.write(JsonLines().format(logging.makeLogRecord(facts)) + "\n")
            else:
                sys.stderr.write("\n".join(map(one_line, line.split("\n"))) + "\n")


def print_problems(problems: Iterable[str]) -> None:
    """Print *problems* to stderr, a line each."""
    if _Stderr.json_lines:
        print_lines(problems, "error")
    else:
        print_lines(f"error: {one_line(problem)}" for problem in problems)


def fact_lines(facts: Mapping[str, Any]) -> list[str]:
    """Return a line for each of *facts* that is known."""
    return [f"{name:18} {one_line(str(value))}" for name, value in facts.items() if value is not None]


def print_result(facts: Mapping[str, Any]) -> None:
    """Print *facts* as the last line of stdout.

    Raises:
        DiskError: If stdout is a file that cannot be written; a pipe that nothing reads any more is no error.
    """
    try:
        sys.stdout.write(orjson.dumps(facts).decode() + "\n")
        sys.stdout.flush()
    except (BrokenPipeError, AttributeError):
        pass
    except OSError as error:
        raise DiskError(f"stdout: {error}; make room") from error


def print_failure(failure: PipelineError) -> None:
    """Print the error that ends a command as the last line of stdout, for the program that started us."""
    with suppress(DiskError):  # stderr and the exit status are for the first error
        print_result(failure_facts(failure))


def failure_facts(failure: PipelineError) -> dict[str, Any]:
    """Return what the last line of stdout says of the error that ends a command."""
    kinds = {InterruptedRunError: "interrupted", HeldError: "held"}
    status = next((word for kind, word in kinds.items() if isinstance(failure, kind)), "error")
    return {
        "status": status,
        "error": one_line(failure.problems[0]),
        "exit_status": failure.exit_status,
    }
