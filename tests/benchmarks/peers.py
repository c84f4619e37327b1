"""The table of `speed.py` with other tools in it that ask a model about many texts.

    python -m tests.benchmarks.peers [--rows 3000] [--rounds 3] [--only NAME ...]

Each peer is installed into a virtual environment of its own and asked to do the same work: the same texts and settings,
one request a text, 256 in flight, against a server in another process that answers at once. All take turns. What is
told is the steady state: what is used after the first answers, so without the start and the connecting. The bare loop
and `pipeline run` get ten times as many texts, as they take a tenth of the time. A peer that cannot be installed, fails
or answers wrongly is listed below the table with what it said.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from ctypes import c_ulong
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from statistics import median

from pipeline import __version__
from tests.benchmarks import bare
from tests.benchmarks.apart import endpoint
from tests.benchmarks.instant import REPLY, serve
from tests.benchmarks.speed import BARE, TABLE, Spent, Use, Watch, make_table, ours, spend
from tests.benchmarks.venvs import WORK, Peer, UnfitError, ask_peer, install

FIRST = 2 * bare.IN_FLIGHT

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


class Start:
    """Notes what a process had used when the first answers were there."""

    def __init__(self, answered: c_ulong) -> None:
        self._answered, self._before = answered, answered.value
        self.rows, self.cpu, self.seconds = 0, 0.0, 0.0

    def __call__(self, pid: int, seconds: float) -> None:
        """Look how far the process *pid* is, that has run for *seconds*."""
        answered = self._answered.value - self._before
        if self.rows or answered < FIRST:
            return
        ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:15]
        self.rows, self.seconds = answered, seconds
        self.cpu = sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")

    def rest(self, spent: Spent, rows: int) -> Use:
        """Return what each of the other rows took of all that was spent on *rows* rows; raises UnfitError."""
        if not 0 < self.rows < rows:
            raise UnfitError(f"too quick for {rows} rows")
        # As many answers as are in flight may be unread by then: they count as rows that are yet to come, so that a
        # doubt is in the favour of whoever is measured.
        rest = rows - self.rows + bare.IN_FLIGHT
        return Spent(spent.cpu - self.cpu, spent.seconds - self.seconds, spent.peak).over(rest)


@dataclass(slots=True)
class Contestant:
    """One line of the table: how to run it on a folder's texts, on how many, and what it took in each round."""

    name: str
    version: str
    run: Callable[[Path, int, Watch], Spent]
    rows: int
    took: list[Use] = field(default_factory=list)


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
    (folder / WORK).write_text(json.dumps(work))


def contestants(base_url: str, rows: int, peers: Sequence[Peer]) -> list[Contestant]:
    """Return all that take turns, the bare loop first."""

    def run_bare(folder: Path, _: int, watch: Watch) -> Spent:
        return spend([sys.executable, str(BARE), str(folder / TABLE), base_url], watch=watch)

    def run_ours(folder: Path, rows: int, watch: Watch) -> Spent:
        return ours(base_url, rows, folder / TABLE, watch)

    return [
        Contestant("bare loop", "", run_bare, rows * 10),
        Contestant("pipeline", __version__, run_ours, rows * 10),
        *(Contestant(peer.name, peer.version, partial(ask_peer, peer), rows) for peer in peers),
    ]


def measure(rows: int, rounds: int, peers: Sequence[Peer], unfit: dict[str, str]) -> list[Contestant]:
    """Let all take turns; those that fail are put into *unfit* and left out."""
    answered = get_context("spawn").RawValue(c_ulong)
    with tempfile.TemporaryDirectory(prefix="peers-") as name, endpoint(serve, answered) as base_url:
        folder, taking_part = Path(name), contestants(base_url, rows, peers)
        for count in {each.rows for each in taking_part}:
            (folder / str(count)).mkdir()
            make_table(folder / str(count), count)
            write_work(folder / str(count), base_url)
        for turn, each in product(range(rounds), list(taking_part)):
            if each not in taking_part:
                continue
            start = Start(answered)
            try:
                spent = each.run(folder / str(each.rows), each.rows, start)
                each.took.append(start.rest(spent, each.rows))
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
    parser.add_argument("--rows", type=int, default=3_000, help="texts that each peer is asked about")
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
