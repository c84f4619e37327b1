"""The table of `speed.py` with other tools in it that ask a model about many texts.

    python tests/benchmarks/peers.py [--rows 2000] [--rounds 3] [--only NAME ...]

Each peer is installed into a virtual environment of its own and asked to do the same work: the same texts and settings,
one request a text, 256 in flight, against a server in another process that answers at once. All take turns. What is
told is the steady state: each runs on a few texts and on many, and what the few took, its start and its connections
among it, is subtracted. The bare loop and `pipeline run` get ten times as many texts, as they take a tenth of the time.
A peer that cannot be installed, fails or answers wrongly is listed below the table with what it said.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import bare
from apart import endpoint
from instant import REPLY, serve
from speed import BARE, TABLE, Spent, Use, make_table, ours, spend

from pipeline import __version__

HOME = Path(__file__).resolve().parents[2] / ".venv-peers"
SCRIPTS = Path(__file__).with_name("peers")
FEW = 256
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


PEERS = (
    Peer("openai", "openai==3.57.0", "ask_openai.py"),
    Peer("litellm", "litellm==1.110.2", "ask_litellm.py"),
    Peer("flexllm", "flexllm==0.17.10", "ask_flexllm.py"),
    Peer("async-batch-llm", "async-batch-llm[openai]==0.28.0", "ask_async_batch_llm.py"),
    Peer("bespokelabs-curator", "bespokelabs-curator==0.1.31", "ask_curator.py"),
    Peer("batchllm-ai", "batchllm-ai==0.2.0", "ask_batchllm.py"),
    Peer("litlm", "litlm==0.6.0", "ask_litlm.py"),
    Peer("daft", "daft[openai]==0.7.26", "ask_daft.py"),
)


@dataclass(slots=True)
class Contestant:
    """One line of the table: how to run it on the texts in a folder, on how many, and what it took in each round."""

    name: str
    version: str
    run: Callable[[Path, int], Spent]
    many: int
    took: list[Use] = field(default_factory=list)


def attempt(
    command: Sequence[str], limit_seconds: float, environment: Mapping[str, str] | None = None
) -> tuple[Spent, str]:
    """Run *command*; return what it used and the last line that it printed, or raise UnfitError with that line."""
    with tempfile.TemporaryFile() as output:
        try:
            spent, trouble = spend(command, environment, output, limit_seconds), ""
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


def write_work(folder: Path, base_url: str) -> None:
    """Write what a peer's script is given: the bare loop's request, and the texts of the table."""
    settings = json.loads(bare.body(""))
    settings.pop("messages")
    work = {
        "base_url": base_url,
        "model": settings.pop("model"),
        "system": bare.SYSTEM,
        "settings": settings,
        "in_flight": bare.IN_FLIGHT,
        "right": json.loads(REPLY["choices"][0]["message"]["content"])["label"],
        "texts": list(bare.texts(str(folder / TABLE))),
    }
    (folder / "work.json").write_text(json.dumps(work))


def ask_peer(peer: Peer, folder: Path, rows: int) -> Spent:
    """Run the peer's script; raises UnfitError unless all its labels are right."""
    with tempfile.TemporaryDirectory() as home:  # of its own each time: nothing is remembered
        environment = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "HOME": home, **QUIET}
        command = [str(peer.python), str(SCRIPTS / peer.script), str(folder / "work.json")]
        spent, last = attempt(command, RUN_SECONDS, environment)
    if last != str(rows):
        raise UnfitError(f"right labels for {last} of {rows} rows")
    return spent


def contestants(base_url: str, rows: int, peers: Sequence[Peer]) -> list[Contestant]:
    """Return all that take turns, the bare loop first."""

    def run_bare(folder: Path, _: int) -> Spent:
        return spend([sys.executable, str(BARE), str(folder / TABLE), base_url])

    def run_ours(folder: Path, rows: int) -> Spent:
        return ours(base_url, rows, folder / TABLE)

    def runner(peer: Peer) -> Callable[[Path, int], Spent]:
        return lambda folder, rows: ask_peer(peer, folder, rows)

    return [
        Contestant("bare loop", "", run_bare, rows * 10),
        Contestant("pipeline", __version__, run_ours, rows * 10),
        *(Contestant(peer.name, peer.version, runner(peer), rows) for peer in peers),
    ]


def steady(contestant: Contestant, folder: Path) -> Use:
    """Run *contestant* on few texts and on many; return what each of the others took."""
    few = contestant.run(folder / str(FEW), FEW)
    many = contestant.run(folder / str(contestant.many), contestant.many)
    more = Spent(many.cpu - few.cpu, many.seconds - few.seconds, many.peak)
    return more.over(contestant.many - FEW)


def measure(rows: int, rounds: int, peers: Sequence[Peer], unfit: dict[str, str]) -> list[Contestant]:
    """Let all take turns; those that fail are put into *unfit* and left out."""
    with tempfile.TemporaryDirectory(prefix="peers-") as name, endpoint(serve) as base_url:
        folder, taking_part = Path(name), contestants(base_url, rows, peers)
        for count in {FEW, *(each.many for each in taking_part)}:
            (folder / str(count)).mkdir()
            make_table(folder / str(count), count)
            write_work(folder / str(count), base_url)
        for turn in range(rounds):
            for each in list(taking_part):
                try:
                    each.took.append(steady(each, folder))
                except UnfitError as error:
                    unfit[each.name] = str(error)
                    taking_part.remove(each)
                else:
                    sys.stderr.write(f"round {turn + 1}: {each.name}: {each.took[-1]}\n")
    return taking_part


def table(measured: Sequence[Contestant]) -> str:
    """Return the Markdown table, least CPU first; the first of *measured* is what the others are compared with."""

    def ratio(each: Contestant, what: str) -> float:
        pairs = zip(each.took, measured[0].took, strict=True)
        return median(getattr(theirs, what) / getattr(base, what) for theirs, base in pairs)

    def typical(each: Contestant, what: str) -> float:
        return median(getattr(took, what) for took in each.took)

    lines = [
        "| | version | CPU a row | rows a second | peak RSS | CPU a row, us | rows a second | peak RSS, MB |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for each in sorted(measured, key=lambda each: ratio(each, "cpu")):
        ratios = " | ".join(f"{ratio(each, what):.2f} x" for what in ("cpu", "speed", "peak"))
        values = " | ".join(f"{typical(each, what):,.0f}" for what in ("cpu", "speed", "peak"))
        lines.append(f"| {each.name} | {each.version} | {ratios} | {values} |")
    return "\n".join(lines)


def main() -> None:
    """Install, measure and print."""
    names = [peer.name for peer in PEERS]
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rows", type=int, default=2_000, help="texts that each peer is asked about")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="*", choices=names, default=names, help="these peers alone")
    chosen = parser.parse_args()
    unfit: dict[str, str] = {}
    ready = []
    for peer in (peer for peer in PEERS if peer.name in chosen.only):
        try:
            install(peer)
            ready.append(peer)
        except UnfitError as error:
            unfit[peer.name] = str(error)
    measured = measure(chosen.rows, chosen.rounds, ready, unfit)
    print(
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, {chosen.rounds} rounds, {chosen.rows:,} rows\n"
    )
    print(table(measured))
    for name, why in unfit.items():
        print(f"- {name}: {why}")


if __name__ == "__main__":
    main()
