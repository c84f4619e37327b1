"""Other tools, each in a virtual environment of its own, and how they are run: with nothing but loopback in reach."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.speed import Spent, Watch, spend

HOME = Path(__file__).resolve().parents[2] / ".venv-peers"
SCRIPTS = Path(__file__).with_name("peers")
WORK = "work.json"
INSTALL_SECONDS = 900
RUN_SECONDS = 600
SHOWN_CHARACTERS = 200

QUIET = {
    "DO_NOT_TRACK": "true",
    "SCARF_NO_ANALYTICS": "true",
    "DAFT_ANALYTICS_ENABLED": "0",
    "TELEMETRY_ENABLED": "false",  # Curator's
    "CURATOR_DISABLE_RICH_DISPLAY": "1",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "HF_HUB_OFFLINE": "1",
}
"""No telemetry, no downloads, no checks for updates; no display that redraws itself."""


class UnfitError(Exception):
    """A peer that cannot be measured; says why."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A tool to compare with: what it is called, what to install, and the script in `peers/` that uses it."""

    name: str
    requirement: str
    script: str

    @property
    def version(self) -> str:
        """The version that is pinned."""
        return self.requirement.partition("==")[2]

    @property
    def python(self) -> Path:
        """The interpreter of its virtual environment."""
        return HOME / self.name / "bin" / "python"


def attempt(
    command: Sequence[str],
    limit_seconds: float,
    environment: Mapping[str, str] | None = None,
    watch: Watch | None = None,
) -> tuple[Spent, str]:
    """Run *command*; return what it used and the last line that it printed, or raise UnfitError with that line."""
    with tempfile.TemporaryFile() as output:
        try:
            spent, trouble = spend(command, environment, output, limit_seconds, watch), ""
        except subprocess.CalledProcessError as error:
            spent, trouble = None, f"status {error.returncode}"
        except subprocess.TimeoutExpired:
            spent, trouble = None, f"not done after {limit_seconds:.0f} s"
        output.seek(0)
        lines = output.read().decode(errors="replace").strip().splitlines()
    last = lines[-1].strip()[:SHOWN_CHARACTERS] if lines else ""
    if spent is None:
        raise UnfitError(f"{trouble}: {last}")
    return spent, last


def install(peer: Peer) -> None:
    """Give *peer* its virtual environment, unless it has the one that it needs; raises UnfitError."""
    done = HOME / peer.name / "installed"
    if done.exists() and done.read_text() == peer.requirement:
        return
    sys.stderr.write(f"installing {peer.requirement}\n")
    attempt([sys.executable, "-m", "venv", "--clear", str(HOME / peer.name)], INSTALL_SECONDS)
    pip = [str(peer.python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    attempt([*pip, peer.requirement], INSTALL_SECONDS)
    done.write_text(peer.requirement)


def ask_peer(peer: Peer, folder: Path, rows: int, watch: Watch) -> Spent:
    """Run the peer's script; raises UnfitError unless all its labels are right."""
    with tempfile.TemporaryDirectory() as home:  # of its own each time: nothing is remembered
        environment = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "HOME": home, **QUIET}
        command = [str(peer.python), str(SCRIPTS / peer.script), str(folder / WORK)]
        spent, last = attempt(command, RUN_SECONDS, environment, watch)
    if last != str(rows):
        raise UnfitError(f"right labels for {last} of {rows} rows")
    return spent
