"""Start the command line: `python -m pipeline`, and the command `pipeline`."""

import sys

from pipeline.system.interruption import deferred, interruptible


def main() -> int:
    """Run the command that the process's arguments name, and return its exit status."""
    with interruptible():
        try:
            with deferred():
                from pipeline.cli.app import main as run  # noqa: PLC0415 - takes long: a signal may come meanwhile
        except KeyboardInterrupt as error:  # nothing has begun yet
            return _say_interrupted(error)
        return run()


def _say_interrupted(error: KeyboardInterrupt) -> int:
    """Print what the command line itself would print, and return its exit status."""
    import json  # noqa: PLC0415 - needed only here

    from pipeline.errors import as_pipeline_error  # noqa: PLC0415 - as above

    failure = as_pipeline_error(error)
    told = {"status": "interrupted", "error": str(failure), "exit_status": failure.exit_status}
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stderr.write(f"error: {failure}\n")
    return failure.exit_status


if __name__ == "__main__":
    raise SystemExit(main())
