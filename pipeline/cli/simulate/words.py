"""Read the words of `simulate`'s options that hold more than one value."""

import math
from collections.abc import Iterable
from typing import cast, get_args

from pipeline.errors import UsageError
from pipeline.servers.simulator.settings import InFlightLimit, Outage, OutageKind, Refusal, RefusedWith

PER_MILLION = 1_000_000


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


def parse_refusal(text: str) -> Refusal:
    """Read `429:0.05` or `503:0.05:1`: the status, the share of the requests, and the seconds of Retry-After.

    Raises:
        UsageError: If it is not of that form.
    """
    status, _, rest = text.partition(":")
    share, _, retry_after = rest.partition(":")
    try:
        found = Refusal(_refused_with(status), float(share), float(retry_after) if retry_after else None)
    except ValueError:
        found = Refusal(429, -1)
    if not (0 <= found.share <= 1 and 0 <= (found.retry_after or 0) < math.inf):
        raise UsageError(
            f"refuse {text!r}: not understood; write STATUS:SHARE or STATUS:SHARE:SECONDS, status 429 or 503, such as 429:0.05:2"
        )
    return found


def parse_in_flight(text: str) -> InFlightLimit:
    """Read `64` or `64:503`: the most requests in flight, and the status of what comes beyond.

    Raises:
        UsageError: If it is not of that form.
    """
    most, _, status = text.partition(":")
    try:
        found = InFlightLimit(int(most), _refused_with(status or "429"))
    except ValueError:
        found = InFlightLimit(0)
    if found.most < 1:
        raise UsageError(f"max-in-flight {text!r}: not understood; write N, N:429 or N:503, such as 64:503")
    return found


def _refused_with(status: str) -> RefusedWith:
    if status == "429":
        return 429
    if status == "503":
        return 503
    raise ValueError(status)


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
