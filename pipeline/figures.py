"""Figures as people read them, on the terminal, in messages and in reports alike: counts, shares, dollars, times."""

import time
from math import floor

NONE, MINUS = "\N{EN DASH}", "\N{MINUS SIGN}"

MINUTE, HOUR, DAY = 60, 3_600, 86_400


def number(value: float | None) -> str:
    """Return a number such as 1,234; a dash if there is none."""
    if value is None:
        return NONE
    return f"{value:,.0f}" if value == int(value) else f"{value:,.1f}"


def count(value: int, one: str, several: str | None = None) -> str:
    """Return *value* with its noun: 1 row, 2 rows."""
    return f"{number(value)} {one if value == 1 else several or one + 's'}"


def percent(share: float | None, digits: int = 1) -> str:
    """Return a share such as 99.7 %: never 0 or 100 where some are missing; a dash if there is none."""
    if share is None:
        return NONE
    least = 10.0**-digits
    if 0 < 100 * share < least / 2:
        return f"<{least:g} %"
    if 100 - least / 2 < 100 * share < 100:  # noqa: PLR2004 - all of them
        return f">{100 - least:g} %"
    return f"{_percentage(share, digits)} %"


def interval(low: float | None, high: float | None) -> str:
    """Return the ends of an interval of shares, such as 79.0 to 83.2 %; a dash if there is none."""
    if low is None or high is None:
        return NONE
    return f"{_percentage(low)} to {_percentage(high)} %"


def limit(share: float) -> str:
    """Return a share that somebody has set, such as 2 % or 0.25 %: all its digits, and no more."""
    return f"{round(100 * share, 9):g} %"


def reached(share: float) -> str:
    """Return how far something is that ends at 1, rounded down: 100 % is said when all is done."""
    return f"{floor(round(100 * share, 9))} %"


def _percentage(share: float, digits: int = 1) -> str:
    return f"{100 * share:.{0 if share in {0, 1} else digits}f}"


def points(difference: float) -> str:
    """Return a difference of two shares in points of a hundred, such as +1.2."""
    text = f"{100 * difference:+.1f}"
    return "0" if text in {"+0.0", "-0.0"} else text.replace("-", MINUS)


def p_value(p: float) -> str:
    """Return a p-value with its sign, such as = 0.031: what is all but impossible is not said to be so."""
    return f"= {p:.3f}" if p >= 0.001 else "< 0.001"  # noqa: PLR2004 - what three digits can show


def usd(value: float | None, unknown: str = "unknown") -> str:
    """Return US dollars such as $0.0143 or $1,234; what is said for *unknown* ones if there are none."""
    if value is None:
        return unknown
    if value <= 0:
        return "$0"
    if value < 0.0001:  # noqa: PLR2004 - what four digits can show
        return "<$0.0001"
    digits = 4 if value < 1 else 2 if value < 1_000 else 0  # noqa: PLR2004 - as many as one cares for
    return f"${value:,.{digits}f}"


def budget(value: float) -> str:
    """Return US dollars that somebody has set, such as $5 or $0.005: all their digits, and no more."""
    return f"${value:,.10f}".rstrip("0").rstrip(".")


def duration(seconds: float | None) -> str:
    """Return a time such as 250 ms, 2.4 s, 2 min 5 s or 3 h 12 min; a dash if there is none."""
    if seconds is None:
        return NONE
    if 0 < seconds < 1:
        return f"{1000 * seconds:.0f} ms"
    if seconds < 10:  # noqa: PLR2004 - where tenths matter
        return f"{seconds:.1f} s".replace(".0 s", " s")
    whole = round(seconds)
    for size, name, smaller, part in (
        (DAY, "d", HOUR, "h"),
        (HOUR, "h", MINUTE, "min"),
        (MINUTE, "min", 1, "s"),
    ):
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size} {name}" + (f" {rest} {part}" if rest else "")
    return f"{whole} s"


def clock(seconds: float | None) -> str:
    """Return a time that runs down as a clock shows it, `1:02:33`; from two days on as days and hours."""
    if seconds is None:
        return "-:--"
    whole = round(seconds)
    if whole >= 2 * DAY:
        return f"{whole // DAY} d {whole % DAY // HOUR} h"
    minutes = f"{whole % HOUR // MINUTE}"
    hours = f"{whole // HOUR}:{minutes:>02}" if whole >= HOUR else minutes
    return f"{hours}:{whole % MINUTE:02}"


def rate(value: float | None) -> str:
    """Return rows a second with as many digits as say something."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 1 else f"{value:.2f}"  # noqa: PLR2004


def moment(unix: float | None) -> str:
    """Return a time of the local clock, such as 30 Nov 2026, 09:41 UTC."""
    if unix is None:
        return NONE
    at = time.localtime(unix)
    return f"{at.tm_mday} {time.strftime('%b %Y, %H:%M %Z', at)}"
