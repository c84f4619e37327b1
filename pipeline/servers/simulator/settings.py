"""How a simulator behaves: latency, limits, faults, capacity, models."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

from pipeline.config.simulate.faults import ROUNDING, BatchFault, Fault, share_problems
from pipeline.config.simulate.latency import Fixed, Latency
from pipeline.errors import UsageError

RetryAfter = Literal["seconds", "ms", "both", "none"]
OutageKind = Literal["refuse", "429", "503", "hang"]
RefusedWith = Literal[429, 503]


@dataclass(frozen=True, slots=True, kw_only=True)
class RateSettings:
    """The rates that the server enforces.

    Attributes:
        requests_per_minute: None for no limit.
        tokens_per_minute: Counted as OpenAI does: the larger of max_tokens and the prompt's estimate.
        window_seconds: How much of a minute's allowance may be used at once.
        retry_after: The form in which a 429 says how long to wait.
        hidden: Whether neither headers nor messages tell the limits.
    """

    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    window_seconds: float = 1.0
    retry_after: RetryAfter = "both"
    hidden: bool = False


@dataclass(frozen=True, slots=True)
class Outage:
    """A period in which the server is unavailable.

    Attributes:
        start: Seconds after the server's start.
        seconds: How long.
        kind: Connections are refused, requests get 429 or 503, or they are accepted and never answered.
    """

    start: float
    seconds: float
    kind: OutageKind = "refuse"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A share of the requests that is refused at once, whatever the load.

    Attributes:
        status: HTTP status.
        share: Of the requests, 0..1.
        retry_after: Seconds that Retry-After tells; None for no such header.
    """

    status: RefusedWith
    share: float
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class InFlightLimit:
    """A limit that is told nowhere.

    Attributes:
        most: Requests in flight; what comes beyond is refused at once.
        status: HTTP status of that.
    """

    most: int
    status: RefusedWith = 429


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
        refusals: What is refused at random beside the faults.
        in_flight: Limit of the requests in flight, or None.
        capacity: Requests in flight from which latency grows in proportion; None for no such point.
        outages: Planned ones.
        models: Names of the models that exist; None for every name.
        prices: US dollars per token in and out, listed in the model object; None for none.
        count_repeats: Whether keys that are billed more than once are counted, which takes 32 MB.
        log_path: File to append the log to, one JSON object a line.
        batch_seconds: How long a batch takes.
        batch_faults: Name to the share of batches that get it, 0..1.
    """

    known_faults: ClassVar[Collection[str]] = tuple(Fault)

    seed: int = 0
    port: int = 0
    latency: Latency = field(default_factory=Fixed)
    rates: RateSettings = field(default_factory=RateSettings)
    faults: Mapping[str, float] = field(default_factory=dict)
    refusals: tuple[Refusal, ...] = ()
    in_flight: InFlightLimit | None = None
    capacity: int | None = None
    outages: tuple[Outage, ...] = ()
    models: tuple[str, ...] | None = None
    prices: tuple[float, float] | None = None
    count_repeats: bool = True
    log_path: Path | None = None
    batch_seconds: float = 0.0
    batch_faults: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_faults(self.faults, self.known_faults)
        _check_faults(self.batch_faults, tuple(BatchFault))
        total = sum(self.faults.values()) + sum(refusal.share for refusal in self.refusals)
        if total > 1 + ROUNDING:
            raise UsageError(
                f"faults and refusals: their shares add up to {total:g}; lower them to 1 or less"
            )


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
