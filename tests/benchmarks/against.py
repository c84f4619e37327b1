"""This checkout next to another one, such as the one before a change, on the same work in interleaved pairs.

    python -m tests.benchmarks.against FOLDER [--pairs 7] [--rows 50000] [--known 200000]

Each checkout runs with the Python of its own `.venv`. Measured are a job of which all is asked (CPU a row, memory), the start
(the `--help`, a `check`, the first request, a finished job again) and a job of which 99 % was answered before. The
medians of both are printed, and the median of the pairs' ratios and differences: the machine's speed drifts, and
whatever slows one of a pair slows the other.
"""

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median

from tests.benchmarks import reuse
from tests.benchmarks.apart import endpoint
from tests.benchmarks.instant import serve
from tests.benchmarks.speed import Spent, knows_report, make_table, spend, write_config
from tests.benchmarks.start import listener, to_first_request

HERE = Path(__file__).parents[2]
SMALL = 2_000

Measure = Callable[[str], Spent]


def run(python: str, config: Path, command: str) -> Spent:
    """Run the command with *python*, whose checkout is the one that it has installed."""
    quiet = ["--quiet"] if command == "run" else []
    with Path(os.devnull).open("wb") as nowhere:
        return spend([python, "-m", "pipeline", command, str(config), *quiet], output=nowhere)


def compare(
    what: str, pairs: int, pythons: tuple[str, str], measure: Measure, rows: int | None = None
) -> None:
    """Measure both in turn and print medians and ratios."""
    found: list[tuple[Spent, Spent]] = []
    for number in range(pairs + 1):
        order = pythons if number % 2 else pythons[::-1]  # neither is always the first of a pair
        spent = {python: measure(python) for python in order}
        found.append((spent[pythons[0]], spent[pythons[1]]))
    del found[0]  # fills the page cache and writes the bytecode
    for name, scale, unit in (
        ("cpu", 1e6 / rows if rows else 1, "us CPU a row" if rows else "s CPU"),
        ("seconds", 1, "s"),
        ("peak", 1, "MB"),
    ):
        both = [(getattr(other, name) * scale, getattr(this, name) * scale) for other, this in found]
        if not any(map(any, both)):
            continue
        ratios = sorted(this / other for other, this in both)
        other, this = (median(column) for column in zip(*both, strict=True))
        difference = median(this - other for other, this in both)
        sys.stdout.write(
            f"{what:<32} {unit:<13} other {other:8.3f}, this {this:8.3f}, {difference:+.3f}; "
            f"{median(ratios):.3f} x ({ratios[0]:.3f} to {ratios[-1]:.3f})\n"
        )
    sys.stdout.flush()


def all_asked(folder: Path, base_url: str) -> Measure:
    """Return what labels the table in *folder*, from nothing to the published output."""

    def measure(python: str) -> Spent:
        renewed(folder)
        return run(python, write_config(folder, base_url, knows_report=knows_report(python)), "run")

    return measure


def renewed(folder: Path) -> None:
    """Remove what a run has left in *folder*."""
    shutil.rmtree(folder / "state", ignore_errors=True)
    (folder / "out.parquet").unlink(missing_ok=True)


def starts(folder: Path, pairs: int, pythons: tuple[str, str]) -> None:
    """Compare how the commands start."""
    make_table(folder, SMALL)
    compare("--help", pairs, pythons, lambda python: spend([python, "-m", "pipeline", "--help"]))
    with endpoint(serve) as base_url:
        config = write_config(folder, base_url, knows_report=all(map(knows_report, pythons)))
        compare("check", pairs, pythons, lambda python: run(python, config, "check"))

        def again(python: str) -> Spent:
            renewed(folder)
            run(python, config, "run")
            return run(python, config, "run")

        compare("a finished job again", pairs, pythons, again)
    with listener() as (base_url, seen):

        def first(python: str) -> Spent:
            took = to_first_request(folder, base_url, seen, python)
            return Spent(took.cpu, took.wall, 0)

        compare("run, to its first request", pairs, pythons, first)


def known(folder: Path, base_url: str, rows: int) -> Measure:
    """Return what labels *rows* rows of which 99 % have answers."""
    reuse.build_once(folder, rows, rows)

    def measure(python: str) -> Spent:
        reuse.renew(folder)
        return run(python, write_config(folder, base_url, knows_report=knows_report(python)), "run")

    return measure


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("other", type=Path, metavar="FOLDER", help="the other checkout, with its .venv")
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--rows", type=int, default=50_000, help="rows of the job of which all is asked")
    parser.add_argument(
        "--known", type=int, default=200_000, help="rows of the job of which 99 %% was answered before"
    )
    chosen = parser.parse_args()
    pythons = tuple(str(root.absolute() / ".venv/bin/python") for root in (chosen.other, HERE))
    os.chdir("/")  # or Python would import the package from the working directory
    with tempfile.TemporaryDirectory(prefix="against-") as name, endpoint(serve) as base_url:
        folder = Path(name)
        (folder / "small").mkdir()
        starts(folder / "small", chosen.pairs, pythons)
        (folder / "large").mkdir()
        make_table(folder / "large", chosen.rows)
        compare("all asked", chosen.pairs, pythons, all_asked(folder / "large", base_url), chosen.rows)
        compare(
            "99 % known", chosen.pairs, pythons, known(folder / "known", base_url, chosen.known), chosen.known
        )


if __name__ == "__main__":
    main()
