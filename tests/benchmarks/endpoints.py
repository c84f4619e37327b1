"""Several endpoints with real clocks: how much of their limits a run uses, and what becomes of one that is of no use.

    python -m tests.benchmarks.endpoints [--minutes 1] [CASE ...]

Three simulators with limits of 1 to 2 to 7 answer a run of the command line. Each case takes one of them away in another way.
"""

import argparse
import json
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from pipeline.config.simulate.latency import Fixed
from pipeline.servers.simulator.log import Entry
from pipeline.servers.simulator.settings import RateSettings
from tests.faultserver.server import FaultServer
from tests.faultserver.settings import FaultServerSettings
from tests.jobs import environment

RATES = (600, 1200, 4200)
LATENCY = 0.1


@dataclass(frozen=True, slots=True)
class Case:
    """What is different about the third endpoint.

    Attributes:
        about: In a sentence.
        settings: Of its simulator.
        during: Called with it once the run has begun, in a thread of its own; given the seconds that the run takes undisturbed.
        useful: Which of the endpoints answer all the time.
        rates: Of the three.
        concurrency: Most requests in flight at each.
    """

    about: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    during: Callable[[FaultServer, float], None] = lambda _server, _seconds: None
    useful: tuple[int, ...] = (0, 1, 2)
    rates: tuple[float | None, ...] = RATES
    concurrency: int = 64


RETURNED: list[float] = []
"""When the third endpoint came back, in Unix time."""


def _away_for_a_third(server: FaultServer, seconds: float) -> None:
    time.sleep(seconds / 4)
    server.start_outage()
    time.sleep(seconds / 3)
    server.stop_outage()
    RETURNED.append(time.time())


CASES = {
    "limits": Case("all three answer"),
    "dies": Case("the third is away for a third of the time, and returns", during=_away_for_a_third, useful=(0, 1)),
    "gone": Case("the third is never there", during=lambda server, _: server.start_outage(), useful=(0, 1)),
    "garbage": Case("the third answers 200 with a page", {"faults": {"html_200": 1.0}}, useful=(0, 1)),
    "key": Case("the third refuses its key", {"api_key": "another"}, useful=(0, 1)),
    "slow": Case(
        "no limits, eight at once, and the third takes ten times as long",
        {"latency": Fixed(10 * LATENCY)}, rates=(None, None, None), concurrency=8,
    ),
}  # fmt: skip


def run(case: Case, rows: int, seconds: float, folder: Path) -> None:
    """Run a job of so many *rows*, and print what was used."""
    texts = [f"row {row} of a table" for row in range(rows)]
    pl.DataFrame({"text": texts}).write_parquet(folder / "in.parquet")
    with ExitStack() as stack:
        servers = [stack.enter_context(_server(case, number)) for number in range(3)]
        config = _config(folder, case, [server.base_url for server in servers])
        disturbing = threading.Thread(target=case.during, args=(servers[2], seconds), daemon=True)
        disturbing.start()
        ran = subprocess.run(
            [sys.executable, "-m", "pipeline", "run", str(config), "--log-format", "json"],
            capture_output=True, text=True, check=False, env=environment({f"KEY_{n}": f"key-{n}" for n in range(3)}),
        )  # fmt: skip
        disturbing.join()
        sent = [[entry for entry in server.entries if entry.text] for server in servers]
    if ran.returncode:
        raise SystemExit(f"{ran.stderr}\nthe run ended with status {ran.returncode}")
    _tell(case, sent, ran.stderr)
    with sqlite3.connect(next(folder.glob("state/ledger.sqlite"))) as ledger:
        keys, answers = ledger.execute("select count(distinct key), count(*) from answers").fetchone()
    labels = pl.read_parquet(folder / "out.parquet")["label_status"].value_counts().to_dicts()
    sys.stdout.write(f"  ledger: {answers:,} answers and bills with {keys:,} keys; output: {labels}\n")


def _tell(case: Case, sent: Sequence[Sequence[Entry]], log: str) -> None:
    began = min(entry.at for entries in sent for entry in entries)
    seconds = max(entry.at for entries in sent for entry in entries) - began
    good = sum(entry.status == 200 and entry.fault is None for entries in sent for entry in entries)
    possible = [
        rate / 60 if rate else case.concurrency / (LATENCY * (10 if number == 2 else 1))
        for number, rate in enumerate(case.rates)
    ]
    whole = sum(possible[number] for number in case.useful)
    refused = sum(entry.status == 429 for entries in sent for entry in entries)
    sys.stdout.write(
        f"  {good:,} replies in {seconds:.1f} s: {100 * good / seconds / whole:.1f} % of what those that stay allow; "
        f"{refused} refused; asked {' + '.join(str(len(entries)) for entries in sent)}\n"
    )
    for number, entries in enumerate(sent):
        a_tenth = seconds / 10
        by_tenth = [
            sum(int((entry.at - began) / a_tenth) == tenth for entry in entries) for tenth in range(10)
        ]
        sys.stdout.write(f"    {number}: by tenths of the time {by_tenth}\n")
    while RETURNED:
        returned = RETURNED.pop()
        back = [sum(int((entry.at - returned) // 5) == number for entry in sent[2]) for number in range(4)]
        sys.stdout.write(f"    2: in the 5 s from its return on, the 5 s after that, and so on: {back}\n")
    for line in log.splitlines():
        if line.startswith("{") and json.loads(line)["level"] == "warning":
            sys.stdout.write(f"  warning: {json.loads(line)['message']}\n")


def _server(case: Case, number: int) -> FaultServer:
    rates = RateSettings(requests_per_minute=case.rates[number])
    settings: dict[str, Any] = {"latency": Fixed(LATENCY), "api_key": f"key-{number}", "rates": rates}
    return FaultServer(FaultServerSettings(**{**settings, **(case.settings if number == 2 else {})}))


def _config(folder: Path, case: Case, urls: Sequence[str]) -> Path:
    endpoints = [
        {
            "base_url": url,
            "api_key_env": f"KEY_{number}",
            "limits": {"requests_per_minute": rate, "max_concurrency": case.concurrency},
        }
        for number, (url, rate) in enumerate(zip(urls, case.rates, strict=True))
    ]
    settings = {
        "input": {"path": "in.parquet"},
        "task": {"instructions": "Choose.", "text": "{text}", "labels": ["games", "sound", "mail"]},
        "model": {"provider": "openai-compatible", "name": "m", "endpoints": endpoints},
        "output": {"path": "out.parquet", "report": False},
        "state": {"dir": "state"},
    }
    path = folder / "job.yaml"
    path.write_text(json.dumps(settings))
    return path


def main() -> None:
    """Run the cases and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("cases", nargs="*", default=list(CASES))
    chosen = parser.parse_args()
    for name in chosen.cases:
        case, seconds = CASES[name], 60 * chosen.minutes
        rate = sum(case.rates[number] or 60 * 8 / LATENCY for number in case.useful) / 60
        sys.stdout.write(f"{name}: {case.about}\n")
        with tempfile.TemporaryDirectory() as folder:
            run(case, int(rate * seconds), seconds, Path(folder))
        sys.stdout.flush()


if __name__ == "__main__":
    main()
