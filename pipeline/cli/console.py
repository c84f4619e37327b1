"""What a command prints: text for people on stderr, one JSON object as the last line of stdout."""

import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import orjson

from pipeline.errors import DiskError, InterruptedRunError, as_pipeline_error
from pipeline.telemetry.logs import one_line


def tell(lines: Iterable[str]) -> None:
    """Print *lines* for people, without secrets and control characters; one may hold several."""
    with suppress(OSError, AttributeError):  # stderr may be closed, or a pipe that nobody reads any more
        for line in lines:
            sys.stderr.write("\n".join(map(one_line, line.split("\n"))) + "\n")


def last_line(facts: Mapping[str, Any]) -> None:
    """Print the last line of stdout.

    Raises:
        DiskError: If it goes to a file that cannot be written; a pipe that nobody reads is nobody's loss.
    """
    try:
        sys.stdout.write(orjson.dumps(facts).decode() + "\n")
        sys.stdout.flush()
    except (BrokenPipeError, AttributeError):
        pass
    except OSError as error:
        raise DiskError(f"stdout: {error}; make room") from error


@contextmanager
def failures_told() -> Iterator[None]:
    """Whatever ends the block early is the last line of stdout, for the program that started us."""
    try:
        yield
    except Exception as error:
        failure = as_pipeline_error(error)
        status = "interrupted" if isinstance(failure, InterruptedRunError) else "error"
        with suppress(DiskError):  # the reason that is told on stderr is the first one
            problem = one_line(failure.problems[0])
            last_line({"status": status, "error": problem, "exit_status": failure.exit_status})
        raise
