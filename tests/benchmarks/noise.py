"""Rows a second where an endpoint refuses a share of the requests whatever is sent, against two other clients.

    python -m tests.benchmarks.noise [case ...] [--seconds 20]

Each case runs against a simulator in another process: this program, a loop of 64 tasks that waits on its own after a
refusal and gives its place to another row meanwhile, and 64 tasks of OpenAI's library with its own retries. What a
fixed number in flight reaches at best is the loop's rate without refusals, times the share that is not refused.
"""

import argparse
import asyncio
import random
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import openai
import orjson

from pipeline.config.simulate.latency import Lognormal
from pipeline.servers.simulator.settings import Refusal
from tests.benchmarks.apart import endpoint
from tests.benchmarks.rehearsal import rehearse, serve
from tests.faultserver.settings import FaultServerSettings

IN_FLIGHT = 64
SETTLING = 5.0
"""Seconds from the first reply that are not counted."""

BACKOFF_SECONDS, MOST_BACKOFF_SECONDS = 0.5, 30.0
OK, REFUSED = 200, frozenset({429, 503})
MESSAGES = [{"role": "system", "content": "Choose: games, sound, mail."}]


@dataclass(frozen=True)
class Case:
    """An endpoint: what it does, and the least share of the best fixed rate that is wanted."""

    what: str
    wanted: float
    settings: dict[str, Any] = field(default_factory=dict)
    most: int = 700
    """Rows a second that nobody reaches there: the table must not end before the clock."""


def refused(
    status: Any, share: float, retry_after: float | None = None, seconds: float = 0.1
) -> dict[str, Any]:
    """Return the settings of a server that refuses so much at random."""
    return {
        "latency": Lognormal(seconds, 0.3),
        "refusals": (Refusal(status, share, retry_after),) if share else (),
    }


CASES = {
    "none": Case("refuses nothing", 0.9, refused(429, 0.0)),
    "1%": Case("1 % 429", 0.9, refused(429, 0.01)),
    "3%": Case("3 % 429", 0.9, refused(429, 0.03)),
    "5%": Case("5 % 429", 0.9, refused(429, 0.05)),
    "10%": Case("10 % 429", 0.8, refused(429, 0.1)),
    "1%wait": Case("1 % 429, Retry-After: 2", 0.9, refused(429, 0.01, 2)),
    "5%wait": Case("5 % 429, Retry-After: 2", 0.9, refused(429, 0.05, 2)),
    "10%wait": Case("10 % 429, Retry-After: 2", 0.8, refused(429, 0.1, 2)),
    "503": Case("5 % 503, Retry-After: 1", 0.9, refused(503, 0.05, 1)),
    "mixed": Case(
        "30 % broken in nine ways",
        0.8,
        {
            "latency": Lognormal(0.02, 0.3),
            "refusals": (Refusal(429, 0.03), Refusal(503, 0.03, 1)),
            "faults": {
                "http_500": 0.06, "http_502": 0.04, "cut_json": 0.03, "empty_200": 0.03,
                "reset_mid_body": 0.03, "html_502": 0.03, "unknown_label": 0.02,
            },
        },
        most=3_200,
    ),
}  # fmt: skip


async def loop(base_url: str, seconds: float, done: list[float]) -> None:
    """Ask with IN_FLIGHT requests at a time; who was refused waits without a place."""
    dice = random.Random(1)
    waiting: asyncio.PriorityQueue[tuple[float, int, int]] = asyncio.PriorityQueue()
    fresh = iter(range(10**9))
    until = time.monotonic() + seconds

    def next_row() -> tuple[int, int]:
        if not waiting.empty():
            at, row, failures = waiting.get_nowait()
            if at <= time.monotonic():
                return row, failures
            waiting.put_nowait((at, row, failures))
        return next(fresh), 0

    async def work(session: aiohttp.ClientSession) -> None:
        while time.monotonic() < until:
            row, failures = next_row()
            told = 0.0
            try:
                async with session.post(f"{base_url}/chat/completions", data=_body(row)) as reply:
                    told = float(reply.headers.get("Retry-After", 0))
                    if reply.status == OK:
                        orjson.loads(await reply.read())["choices"][0]["message"]["content"]
                        done.append(time.monotonic())
                        continue
            except (aiohttp.ClientError, ValueError, KeyError):
                pass
            wait = dice.random() * min(MOST_BACKOFF_SECONDS, BACKOFF_SECONDS * 2.0**failures)
            waiting.put_nowait((time.monotonic() + max(told, wait), row, failures + 1))

    headers = {"Content-Type": "application/json"}
    connector = aiohttp.TCPConnector(limit=0)
    async with (
        aiohttp.ClientSession(connector=connector, headers=headers) as session,
        asyncio.TaskGroup() as group,
    ):
        for _ in range(IN_FLIGHT):
            group.create_task(work(session))


def _body(row: int) -> bytes:
    messages = [*MESSAGES, {"role": "user", "content": f"text {row}"}]
    return orjson.dumps({"model": "m", "messages": messages, "max_tokens": 16})


async def library(base_url: str, seconds: float, done: list[float]) -> None:
    """Ask with IN_FLIGHT tasks of OpenAI's library, which tries again by itself."""
    fresh = iter(range(10**9))
    until = time.monotonic() + seconds
    async with openai.AsyncOpenAI(base_url=base_url, api_key="none", max_retries=10) as client:

        async def work() -> None:
            while time.monotonic() < until:
                messages: Any = [*MESSAGES, {"role": "user", "content": f"text {next(fresh)}"}]
                try:
                    await client.chat.completions.create(model="m", messages=messages, max_tokens=16)
                except (openai.APIError, ValueError):
                    continue
                done.append(time.monotonic())

        async with asyncio.TaskGroup() as group:
            for _ in range(IN_FLIGHT):
                group.create_task(work())


def rate_of(client: Callable[[str, float, list[float]], Any], case: Case, seconds: float) -> float:
    """Return the replies a second of *client*, after it has settled."""
    settings = FaultServerSettings(keep_entries=False, count_repeats=False, **{"faults": {}, **case.settings})
    done: list[float] = []
    with endpoint(serve, settings) as base_url:
        asyncio.run(client(base_url, seconds + SETTLING, done))
    return _rate(done, seconds)


def rate_of_ours(case: Case, seconds: float) -> tuple[float, float]:
    """Return the rows a second of this program, and the share of the requests that was refused."""
    texts = [f"text {row}" for row in range(int(case.most * (seconds + SETTLING + 3)))]
    entries = rehearse(texts, {"max_concurrency": IN_FLIGHT}, seconds + SETTLING + 3, **case.settings)
    share = sum(entry.status in REFUSED for entry in entries) / len(entries)
    return _rate([entry.at + entry.latency_seconds for entry in entries if entry.billed], seconds), share


def _rate(ends: Sequence[float], seconds: float) -> float:
    begun = min(ends) + SETTLING
    return sum(begun <= end < begun + seconds for end in ends) / seconds


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cases", nargs="*", help=f"of {', '.join(CASES)}; all by default")
    parser.add_argument("--seconds", type=float, default=20.0)
    chosen = parser.parse_args()
    print("endpoint                       ours  loop   OpenAI's   ours/loop   refused")
    for name in chosen.cases or CASES:
        case = CASES[name]
        ours, share = rate_of_ours(case, chosen.seconds)
        plain, theirs = rate_of(loop, case, chosen.seconds), rate_of(library, case, chosen.seconds)
        sys.stdout.write(
            f"{case.what:28} {ours:6.0f} {plain:6.0f} {theirs:8.0f} {ours / plain:10.2f}x (wanted {case.wanted}) {share:7.2%}\n"
        )
        sys.stdout.flush()


if __name__ == "__main__":
    main()
