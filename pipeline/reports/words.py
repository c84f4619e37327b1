"""Numbers, times and texts as a page shows them."""

import re
import time

UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufffe\uffff\ud800-\udfff]"
)
"""Characters that a page must not have, or that turn the direction of what stands around them."""

NONE, MINUS = "\N{EN DASH}", "\N{MINUS SIGN}"

MINUTE, HOUR, DAY = 60, 3_600, 86_400


def clean(text: object, most: int | None = None) -> str:
    """Return *text* with visible stand-ins for unsafe characters, cut to *most* characters."""
    shown = UNSAFE.sub("\ufffd", ", ".join(map(str, text)) if isinstance(text, list | tuple) else str(text))
    return shown if most is None or len(shown) <= most else shown[: most - 1].rstrip() + "…"


def number(value: float | None) -> str:
    """Return a number such as 1,234; a dash if there is none."""
    if value is None:
        return NONE
    return f"{value:,.0f}" if value == int(value) else f"{value:,.1f}"


def percent(share: float | None, digits: int = 1) -> str:
    """Return a share such as 99.7 %: never 0 or 100 where some are missing."""
    if share is None:
        return NONE
    least = 10.0**-digits
    if 0 < 100 * share < least / 2:
        return f"<{least:g} %"
    if 100 - least / 2 < 100 * share < 100:  # noqa: PLR2004 - all of them
        return f">{100 - least:g} %"
    return f"{100 * share:.{digits}f} %".replace(".0 %", " %")


def points(difference: float) -> str:
    """Return a difference of two shares, such as +1.2."""
    text = f"{100 * difference:+.1f}"
    return "0" if text in {"+0.0", "-0.0"} else text.replace("-", MINUS)


def usd(value: float | None) -> str:
    """Return US dollars such as $0.0143 or $1,234."""
    if value is None:
        return "unknown"
    if value <= 0:
        return "$0"
    if value < 0.0001:  # noqa: PLR2004 - what four digits can show
        return "<$0.0001"
    digits = 4 if value < 1 else 2 if value < 1_000 else 0  # noqa: PLR2004 - as many as one cares for
    return f"${value:,.{digits}f}"


def duration(seconds: float | None) -> str:
    """Return a time such as 250 ms, 2.4 s, 2 min 5 s or 3 h 12 min."""
    if seconds is None:
        return NONE
    if seconds < 1:
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


def moment(unix: float | None) -> str:
    """Return a time of the local clock, such as 30 Nov 2026, 09:41 UTC."""
    if unix is None:
        return NONE
    at = time.localtime(unix)
    return f"{at.tm_mday} {time.strftime('%b %Y, %H:%M %Z', at)}"


def count(value: int, one: str, several: str | None = None) -> str:
    """Return *value* with its noun: 1 row, 2 rows."""
    return f"{number(value)} {one if value == 1 else several or one + 's'}"
