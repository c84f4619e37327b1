"""How a simulator behaves: latency, limits, faults, capacity, models."""

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar, Literal, cast, get_args

from pipeline.config.faults import Fault, share_problems
from pipeline.config.latency import Fixed, Latency
from pipeline.errors import UsageError

RetryAfter = Literal["seconds", "ms", "both", "none"]
OutageKind = Literal["refuse", "503", "hang"]

PER_MILLION = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class RateSettings:
    """The rates that the server enforces.

    Attributes:
        requests_per_minute: None for no limit.
        tokens_per_minute: Counted as OpenAI does: the larger of max_tokens and the prompt's estimate.
        window_seconds: How much of a minute's allowance may be used at once.
        retry_after: The form in which a 429 says how long to wait.
    """

    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    window_seconds: float = 1.0
    retry_after: RetryAfter = "both"


@dataclass(frozen=True, slots=True)
class Outage:
    """A period in which the server is unavailable.

    Attributes:
        start: Seconds after the server's start.
        seconds: How long.
        kind: Connections are refused, requests get 503, or they are accepted and never answered.
    """

    start: float
    seconds: float
    kind: OutageKind = "refuse"


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatorSettings:
    """Everything that can be chosen about a simulator.

    Attributes:
        seed: Faults and latencies follow from it, the request's key and how often it was asked, so they
            do not depend on the order of arrival.
        port: On 127.0.0.1; 0 takes a free one.
        latency: Of every answer but refusals, which are sent at once.
        rates: Limits per minute.
        faults: Name to the share of requests that get it, 0..1.
        capacity: Requests in flight from which latency grows in proportion; None for no such point.
        outages: Planned ones.
        models: Names of the models that exist; None for every name.
        prices: US dollars per token in and out, listed in the model object; None for none.
        count_repeats: Whether keys that are billed more than once are counted, which takes 32 MB.
        log_path: File to append the log to, one JSON object a line.
    """

    known_faults: ClassVar[Collection[str]] = tuple(Fault)

    seed: int = 0
    port: int = 0
    latency: Latency = field(default_factory=Fixed)
    rates: RateSettings = field(default_factory=RateSettings)
    faults: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    capacity: int | None = None
    outages: tuple[Outage, ...] = ()
    models: tuple[str, ...] | None = None
    prices: tuple[float, float] | None = None
    count_repeats: bool = True
    log_path: Path | None = None

    def __post_init__(self) -> None:
        _check_faults(self.faults, self.known_faults)


def _check_faults(faults: Mapping[str, float], known: Collection[str]) -> None:
    """Check names, which must be among the *known*, and shares.

    Raises:
        UsageError: A fault does not exist, or a share or their sum is not within 0 and 1; all at once.
    """
    found = share_problems(faults, known)
    problems = [
        f"fault {name}: there is none of that name; "
        + (f"use {similar}" if similar else "`simulate --list-faults` lists them")
        for name, similar in found.unknown.items()
    ]
    problems += [
        f"fault {name}: its share is {faults[name]}; give a number from 0 to 1" for name in found.outside
    ]
    if not problems and found.excess is not None:
        problems.append(f"faults: their shares add up to {found.excess:g}; lower them to 1 or less")
    if problems:
        raise UsageError(*problems)


def parse_faults(items: Iterable[str]) -> dict[str, float]:
    """Read faults from `name=share` words, as a command line gives them.

    Raises:
        UsageError: A word is not of that form.
    """
    faults = {}
    for item in items:
        name, _, share = item.partition("=")
        try:
            faults[name] = float(share)
        except ValueError:
            raise UsageError(
                f"fault {item!r}: no share; write it as name=share, for instance http_500=0.1"
            ) from None
    return faults


def parse_outage(text: str) -> Outage:
    """Read `60:30` or `60:30:503`: seconds after the start, seconds that it lasts, and the kind.

    Raises:
        UsageError: If it is not of that form.
    """
    start, _, rest = text.partition(":")
    seconds, _, kind = rest.partition(":")
    try:
        outage = Outage(float(start), float(seconds), cast("OutageKind", kind or "refuse"))
    except ValueError:
        outage = Outage(-1, 0)
    if not (0 <= outage.start < math.inf and 0 < outage.seconds < math.inf):
        raise UsageError(
            f"outage {text!r}: not understood; write START:SECONDS or START:SECONDS:KIND, such as 60:30:503"
        )
    if outage.kind not in get_args(OutageKind):
        raise UsageError(
            f"outage {text!r}: there is no kind {kind!r}; write {', '.join(get_args(OutageKind))}"
        )
    return outage


def parse_prices(text: str) -> tuple[float, float]:
    """Read `0.10,0.40`: US dollars per million tokens in and out; returns US dollars per token.

    Raises:
        UsageError: If it is not two prices.
    """
    try:
        price_in, price_out = (float(word) for word in text.split(","))
    except ValueError:
        price_in = price_out = -1
    if not (0 <= price_in < PER_MILLION and 0 <= price_out < PER_MILLION):
        raise UsageError(
            f"price {text!r}: not understood; write IN,OUT in US dollars per million tokens, such as 0.10,0.40"
        )
    return price_in / PER_MILLION, price_out / PER_MILLION
