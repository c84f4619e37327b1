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
    from pipeline.cli.exit import exit_status  # noqa: PLC0415 - needed only here

    def stopped() -> int:
        raise error

    return exit_status(stopped, sys.argv[1:])


if __name__ == "__main__":
    raise SystemExit(main())
