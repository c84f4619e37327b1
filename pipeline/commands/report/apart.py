"""Draw the report of a run in a process of its own: what the run takes, and how it ends, does not depend on it."""

import logging
import os
import pickle
import subprocess
import sys
from pathlib import Path

from pipeline.config import Config
from pipeline.job.options import RunOptions

log = logging.getLogger(__name__)

MOST_SECONDS = 300.0
"""A run waits no longer for its report."""

MOST_WORDS = 300

PACKAGES = Path(__file__).parents[3]
"""Where this package is."""


def draw_apart(config: Config, options: RunOptions) -> None:
    """Draw the report of the run that has just published; where that fails, say so and go on."""
    problem = _problem(pickle.dumps((config, options)))
    if problem is not None:
        log.warning(
            "the output is published, but its report is not drawn: %s; `%s` tries again",
            problem,
            config.command("report"),
        )


def _problem(job: bytes) -> str | None:
    """Draw the report of the pickled *job*; return why it could not be drawn, or None."""
    # So that it is this very package, wherever it was imported from.
    places = [str(PACKAGES), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(places)}
    try:
        # In a session of its own, Ctrl-C reaches the run alone, which ends it.
        process = subprocess.Popen(  # noqa: S603 - Python itself
            [sys.executable, "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=environment,
            start_new_session=True,
        )
    except OSError as error:
        return str(error)
    try:
        _, told = process.communicate(job, timeout=MOST_SECONDS)
    except subprocess.TimeoutExpired:
        return f"it took more than {MOST_SECONDS:g} s"
    except KeyboardInterrupt:  # the run is done, and its exit status says so
        return "the run was asked to stop"
    except OSError as error:
        return str(error)
    finally:
        process.kill()
        process.wait()
    if process.returncode == 0:
        return None
    lines = told.decode(errors="replace").strip().splitlines() or [f"exit status {process.returncode}"]
    return lines[-1][-MOST_WORDS:]


def _main() -> int:
    from pipeline.commands.report.command import report  # noqa: PLC0415 - for this process only
    from pipeline.errors import as_pipeline_error  # noqa: PLC0415 - as above
    from pipeline.telemetry.logs import one_line  # noqa: PLC0415 - as above

    config, options = pickle.load(sys.stdin.buffer)  # noqa: S301 - of the process that has started this one
    try:
        report(config, options, after_run=True)
    except Exception as error:  # noqa: BLE001 - the run tells of it
        sys.stderr.write(f"\n{one_line(str(as_pipeline_error(error)))}\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(_main())
