"""What a command prints: text for people on stderr; for programs its result as one JSON object, the last line of stdout."""

import logging
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import pairwise
from typing import Any

import orjson

from pipeline.errors import DiskError, HeldError, InterruptedRunError, PipelineError, WaitingError
from pipeline.telemetry.logs import JsonLines, one_line


class _Form:
    """The form of what is printed: whether stderr is JSON, and whether the JSON line is printed on a terminal, too."""

    json_lines = False
    json_result = False


def choose_form(words: Sequence[str]) -> None:
    """Choose the form of what is printed by the *words* of the command line.

    They are looked at before they are understood: an error in them is printed in the form that they ask for, too.
    """
    _Form.json_lines = "--log-format=json" in words or ("--log-format", "json") in pairwise(words)
    _Form.json_result = "--json" in words or "--quiet" in words


def is_json_lines() -> bool:
    """Return whether all that is printed to stderr is JSON, as `--log-format json` asks for: a program reads it."""
    return _Form.json_lines


def print_lines(lines: Iterable[str], level: str = "info") -> None:
    """Print *lines* to stderr, without secrets and control characters; a line may contain newlines."""
    with suppress(OSError, AttributeError):  # stderr may be closed, or a pipe that nothing reads any more
        for line in lines:
            if _Form.json_lines:
                facts = {"msg": line, "levelname": level, "created": time.time()}
                sys.stderr.write(JsonLines().format(logging.makeLogRecord(facts)) + "\n")
            else:
                sys.stderr.write("\n".join(map(one_line, line.split("\n"))) + "\n")


def print_problems(problems: Iterable[str]) -> None:
    """Print *problems* to stderr, a line each."""
    if _Form.json_lines:
        print_lines(problems, "error")
    else:
        with suppress(OSError, AttributeError):
            from pipeline.telemetry.colours import paint  # noqa: PLC0415 - for errors only

            for problem in problems:
                sys.stderr.write(f"{paint('error:', 'bad', sys.stderr)} {one_line(problem)}\n")


def fact_lines(facts: Mapping[str, Any]) -> list[str]:
    """Return a line for each of *facts* that is known."""
    return [f"{name:18} {one_line(str(value))}" for name, value in facts.items() if value is not None]


def print_result(facts: Mapping[str, Any]) -> None:
    """Print *facts* as the last line of stdout, unless people look at it who have not asked for that.

    Raises:
        DiskError: If stdout is a file that cannot be written; a pipe that nothing reads any more is no error.
    """
    try:
        if sys.stdout.isatty() and not _Form.json_result:
            return
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
    kinds = {WaitingError: "waiting", InterruptedRunError: "interrupted", HeldError: "held"}
    status = next((word for kind, word in kinds.items() if isinstance(failure, kind)), "error")
    return {
        "status": status,
        "error": one_line(failure.problems[0]),
        "exit_status": failure.exit_status,
    }
