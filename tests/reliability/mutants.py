"""Takes each sync, lock, fence, order, bound and permission away in turn: a test must notice every time.

    python -m tests.reliability.mutants [--list] [--jobs 2] [NAME ...]

The mutants stand in mutants.toml. Each is one change of one place in the code, made in a copy of the working tree,
and the tests that ought to notice. First those tests must pass on an unchanged copy. A mutant whose place is not
found exactly once ends the whole thing, so that the list cannot rot; one that no test notices makes it exit 1.
Power cuts and mounts need root: as somebody else, mutants that only such tests notice count as not tried.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

ROOT = Path(__file__).parents[2]
LIST = Path(__file__).with_name("mutants.toml")
LEFT_OUT = shutil.ignore_patterns(
    ".git", ".venv", ".hypothesis", ".*_cache", "__pycache__", "*.egg-info", "build", "out", ".pipeline"
)
MOST_SECONDS = 200
"""A change after which the tests hang that long has been noticed; no named test takes a quarter of it."""

FAILED_TESTS = 1
"""pytest's exit status; all others above 0 are for tests that could not even be run."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change that must not go unnoticed.

    Attributes:
        name: How to call it.
        breaks: The promise that it breaks.
        file: Where it is made, below `pipeline`.
        old: What stands there, exactly once.
        new: What stands there instead.
        tests: Those that ought to notice, below `tests`, as pytest names them.
    """

    name: str
    breaks: str
    file: str
    old: str
    new: str
    tests: Sequence[str]

    def problem(self, root: Path) -> str | None:
        """Return what is wrong with it in the tree at *root*."""
        content = (root / "pipeline" / self.file).read_text()
        found = content.count(self.old)
        if found != 1:
            return f"{LIST.name}: {self.name}: its old text stands {found} times in {self.file}; mend it"
        try:
            compile(content.replace(self.old, self.new), self.file, "exec")
        except SyntaxError as error:  # every test would notice that
            return f"{LIST.name}: {self.name}: makes no program: {error}; mend it"
        return None

    def make_in(self, root: Path) -> None:
        """Change the tree at *root*."""
        path = root / "pipeline" / self.file
        path.write_text(path.read_text().replace(self.old, self.new))


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of running some tests.

    Attributes:
        status: pytest's exit status; None if they hung.
        failed: The first test that failed.
        skipped: Reasons of tests that were skipped.
        seconds: How long it took.
        said: All that was printed.
    """

    status: int | None
    failed: str | None
    skipped: Sequence[str]
    seconds: float
    said: str


def all_mutants() -> list[Mutant]:
    """Read the list."""
    return [Mutant(**fields) for fields in tomllib.loads(LIST.read_text())["mutant"]]


def trial(root: Path, tests: Iterable[str], *options: str, seconds: float | None = MOST_SECONDS) -> Trial:
    """Run *tests* in the tree at *root* up to the first that fails, for so many *seconds* at most."""
    report = root / "report.xml"
    command = [
        sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-m", "soak or not soak",
        "--hypothesis-seed=0", f"--basetemp={root / 'tmp'}", f"--junitxml={report}",
        "-o", "junit_family=xunit1", *options,
        *(f"tests/{test}" for test in tests),
    ]  # fmt: skip
    # The names of long tests hold their seeds.
    environment = {**os.environ, "PYTHONPATH": str(root), "SOAK_SEED": "1"}
    begun = time.monotonic()
    with subprocess.Popen(
        command, cwd=root, env=environment, text=True, start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ) as process:  # fmt: skip
        status: int | None = None
        try:
            said, _ = process.communicate(timeout=seconds)
            status = process.returncode
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            said, _ = process.communicate()
    cases = list(ET.parse(report).iter("testcase")) if report.exists() else []
    failed = [case.get("name") or "" for case in cases if {"failure", "error"} & {part.tag for part in case}]
    skipped = [part.get("message") or "" for case in cases for part in case.iter("skipped")]
    return Trial(status, next(iter(failed), None), skipped, time.monotonic() - begun, said)


def tried(mutant: Mutant, unchanged: Path, folder: Path) -> tuple[str, Trial]:
    """Make the mutant in a copy of its own and return the verdict."""
    copy = folder / mutant.name
    shutil.copytree(unchanged, copy, ignore=shutil.ignore_patterns("tmp", "report.xml"))
    mutant.make_in(copy)
    found = trial(copy, mutant.tests)
    shutil.rmtree(copy, ignore_errors=True)
    return verdict(found), found


def verdict(found: Trial) -> str:
    """Return what a trial of a mutant says about it."""
    if found.status is None:
        return "caught: the tests hang"
    if found.status == FAILED_TESTS and found.failed is not None:
        return f"caught by {found.failed}"
    if found.status != 0:
        return "NOT TRIED: the tests cannot be run"
    return f"NOT TRIED: {found.skipped[0]}" if found.skipped else "SURVIVES"


def unchanged_copy(folder: Path) -> Path:
    """Copy the working tree, and make sure that it is this copy's code that is tested there."""
    copy = folder / "unchanged"
    shutil.copytree(ROOT, copy, ignore=LEFT_OUT)
    tested = subprocess.run(
        [sys.executable, "-c", "import pipeline; print(pipeline.__file__)"],
        cwd=copy, env={**os.environ, "PYTHONPATH": str(copy)}, capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip
    if Path(tested) != copy / "pipeline" / "__init__.py":
        raise SystemExit(f"{tested} would be tested instead of the copy in {copy}")
    return copy


def campaign(mutants: Sequence[Mutant], jobs: int) -> Iterator[tuple[Mutant, str, Trial]]:
    """Yield each mutant's verdict as soon as it is known."""
    with tempfile.TemporaryDirectory(prefix="mutants-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        unchanged = unchanged_copy(folder)
        problems = [problem for mutant in mutants if (problem := mutant.problem(unchanged))]
        if problems:
            raise SystemExit("\n".join(problems))
        tests = dict.fromkeys(test for mutant in mutants for test in mutant.tests)
        first = trial(unchanged, tests, f"--numprocesses={jobs}", seconds=None)
        if first.status != 0:
            raise SystemExit(f"{first.said}\nwithout any mutant the tests must pass")
        say(f"without any mutant all named tests pass, {first.seconds:.0f} s")
        with ThreadPoolExecutor(jobs) as pool:
            trials = {pool.submit(tried, mutant, unchanged, folder): mutant for mutant in mutants}
            for future in as_completed(trials):
                yield trials[future], *future.result()


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def chosen(names: Sequence[str]) -> list[Mutant]:
    """Return the mutants of these names; all of them for none."""
    mutants = all_mutants()
    unknown = set(names) - {mutant.name for mutant in mutants}
    if unknown:
        raise SystemExit(f"there is no mutant {', '.join(sorted(unknown))}; --list names them")
    return [mutant for mutant in mutants if not names or mutant.name in names]


def main() -> int:
    """Try the mutants that the command line names."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="Only these mutants.")
    parser.add_argument("--list", action="store_true", help="Print the mutants and try none.")
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="Try so many at once.")
    arguments = parser.parse_args()
    mutants = chosen(arguments.names)
    if arguments.list:
        for mutant in mutants:
            say(f"{mutant.name:32} {mutant.file:22} {mutant.breaks}")
        return 0
    begun, missed = time.monotonic(), []
    for mutant, found, run in campaign(mutants, arguments.jobs):
        say(f"{mutant.name:32} {mutant.breaks:70} {found} ({run.seconds:.0f} s)")
        if not found.startswith("caught"):
            missed.append(mutant.name)
    seconds = time.monotonic() - begun
    say(f"{len(mutants)} mutants, {len(mutants) - len(missed)} caught, {seconds:.0f} s")
    if missed:
        say(f"not caught: {', '.join(missed)}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
