"""How a command ends: its exit status, and what it prints where stdout or stderr is closed, full or broken."""

import errno
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.cli.exit import exit_status
from pipeline.errors import ConfigError, DiskError, InterruptedRunError
from tests.jobs import JobFiles, environment, texts


@pytest.fixture
def config(job: JobFiles) -> Path:
    """A job of 30 rows, one of them without text."""
    job.table([*texts(29), ""])
    return job.config_file()


def raising(error: BaseException) -> Callable[[], int]:
    def command() -> int:
        raise error

    return command


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (KeyboardInterrupt(), InterruptedRunError.exit_status),
        (BrokenPipeError(), 0),
        (OSError(errno.ENOSPC, "No space left on device"), DiskError.exit_status),
        (OSError(errno.ENOENT, "No such file"), 70),
    ],
)
@pytest.mark.usefixtures("capsys")
def test_an_error_that_is_not_ours_has_its_status(error: BaseException, status: int) -> None:
    assert exit_status(raising(error)) == status


def test_a_bug_ends_with_70_and_asks_to_be_reported(capsys: pytest.CaptureFixture[str]) -> None:
    def broken() -> int:
        raise ZeroDivisionError("by zero")

    assert exit_status(broken) == 70
    err = capsys.readouterr().err
    assert err.splitlines()[-1].startswith(
        "error: a bug in pipeline: ZeroDivisionError: by zero; please report"
    )


def test_an_error_is_one_line_whatever_is_in_it(capsys: pytest.CaptureFixture[str]) -> None:
    def wrong() -> int:
        raise ConfigError("a\nb\x1b[31m", "second")

    assert exit_status(wrong) == 78
    assert capsys.readouterr().err == "error: a\\nb\\x1b[31m\nerror: second\n"


def shell(script: str, config: Path) -> subprocess.CompletedProcess[str]:
    env = {**environment(), "CONFIG": str(config), "PIPELINE": f"{sys.executable} -m pipeline"}
    return subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, env=env, timeout=60, check=False
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "script",
    [
        "$PIPELINE run $CONFIG 2>&- >&-",
        "$PIPELINE run $CONFIG --no-progress 2> >(head -c1 >/dev/null)",
        "set -o pipefail; $PIPELINE run $CONFIG --quiet | true",
        "$PIPELINE run $CONFIG 2>/dev/full",
    ],
    ids=["closed", "nobody reads stderr", "nobody reads stdout", "log on a full disk"],
)
def test_whoever_stops_listening_the_run_goes_on(config: Path, job: JobFiles, script: str) -> None:
    ran = shell(script, config)
    assert ran.returncode == 0, ran.stderr
    assert "Traceback" not in ran.stderr
    assert "Exception ignored" not in ran.stderr
    assert job.labelled().height == 30


def test_the_first_line_of_a_long_output_is_to_be_had(config: Path) -> None:
    ran = shell("$PIPELINE schema | head -1; echo ${PIPESTATUS[0]}", config)
    assert ran.stdout.splitlines() == ["{", "0"]
    assert ran.stderr == ""


def test_a_result_that_cannot_be_written_ends_with_74(config: Path) -> None:
    ran = shell("$PIPELINE plan $CONFIG >/dev/full", config)
    assert ran.returncode == 74
    assert "stdout: " in ran.stderr
    assert "Exception ignored" not in ran.stderr


@pytest.mark.parametrize("what", ["--help", "schema", "simulate --list-faults", "run --help"])
def test_without_room_for_stdout_the_status_is_74_and_no_bug_is_reported(config: Path, what: str) -> None:
    ran = shell(f"$PIPELINE {what} >/dev/full", config)
    assert ran.returncode == 74
    assert ran.stderr == "error: stdout: [Errno 28] No space left on device; make room\n"


def test_an_exit_status_survives_a_closed_pipe(config: Path) -> None:
    ran = shell(
        "set -o pipefail; $PIPELINE run $CONFIG --set output.columns.only='[\"nope\"]' | true", config
    )
    assert ran.returncode == 78, ran.stderr
