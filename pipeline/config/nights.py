"""The sections for runs that nobody watches: `gates` and `notify`; and the time by which they are to be done."""

import os
import re
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Annotated, TypeAlias
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, WithJsonSchema, field_validator

from pipeline.config.base import Settings
from pipeline.config.values import CONTROL, Allowance, Share, wrong


class GateSettings(Settings):
    """The gates of a job; each that is set must hold, or nothing is published and the run ends with exit status 76."""

    failed: Allowance | None = Field(
        default=None, description="Share (2%) or number of rows that may fail before the output is held back."
    )
    invalid: Allowance | None = Field(
        default=None, description="The same for rows whose reply was none of the labels."
    )
    unsure: Allowance | None = Field(default=None, description="The same for rows below task.unsure_below.")
    label_shift: Share | None = Field(
        default=None,
        description="Share of the rows, 0 to 1, that may have moved to other labels since the last runs.",
    )
    gold_accuracy: Share | None = Field(
        default=None, description="Share of the rows with a label in task.gold that must be right, 0 to 1."
    )
    canary_flips: Allowance | None = Field(
        default=None,
        description="Share or number of the 100 rows that each run asks anew, and pays for, that may get another label.",
    )


class NotifySettings(Settings):
    """Who is told that a run began and how it ended."""

    healthcheck_url: str | None = Field(
        default=None,
        repr=False,
        description="Pinged as healthchecks.io wants it: URL/start, then URL or URL/fail with the end of the log. "
        "Whoever knows the URL can ping it, so write it as ${NAME}. Empty pings nobody.",
    )

    @field_validator("healthcheck_url")
    @classmethod
    def _is_a_url(cls, url: str | None) -> str | None:
        if not url:  # ${HEALTHCHECK_URL:-} with the variable unset
            return None
        try:
            parts = urlsplit(url)
            sound = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
            sound = sound and "@" not in parts.netloc and url.isascii()
        except ValueError:
            sound = False
        if not sound or parts.query or parts.fragment or CONTROL.search(url) or " " in url:
            raise wrong(
                "is no address to ping: it has no login, no query, no blank and plain ASCII; "
                "write one such as https://hc-ping.com/<uuid>"
            )
        return url.rstrip("/")


_WRITTEN = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])")


def _daytime(value: object) -> str:
    if isinstance(value, str) and (found := _WRITTEN.fullmatch(value.strip())):
        return f"{found[1]:>02}:{found[2]}"
    raise wrong(
        'is no time of the day; write hours and minutes in quotes, from "00:00" to "23:59", such as "06:00"'
    )


Daytime: TypeAlias = Annotated[
    str,
    BeforeValidator(_daytime),
    WithJsonSchema({"type": "string", "pattern": r"^([01]?[0-9]|2[0-3]):[0-5][0-9]$"}),
]


def next_time(daytime: str, after: float) -> float:
    """Return when it is *daytime* next, by the clock of this machine, after the Unix time *after*; a Unix time, too.

    In the hour that a clock shows twice, that is the earlier of both, and the later one once the earlier is past. A time that
    it leaves out is as long after midnight as on other days.
    """
    began, hour_and_minute = datetime.fromtimestamp(after).astimezone().date(), time.fromisoformat(daytime)
    found = 0.0
    for day in (began, began + timedelta(days=1)):
        # Without a zone: each day has its own, where clocks change in between.
        earlier, other = (
            datetime.combine(day, hour_and_minute.replace(fold=fold)).timestamp() for fold in (0, 1)
        )
        # What is left out has a second reading, too, which is before the first one: the clock shows something else then.
        for found in (earlier, max(earlier, other)):
            if found > after:
                return found
    return found


_RULE = re.compile(
    r"([A-Za-z]{3,}|<[A-Za-z0-9+-]{3,}>)[+-]?[0-9]{1,3}(:[0-9]{2}){0,2}([A-Za-z<,].*)?", re.DOTALL
)
"""What TZ may say in place of a name, such as `CET-1CEST,M3.5.0,M10.5.0/3`."""

_UTC = frozenset({"UTC", "GMT", "UCT", "Zulu", "Universal", "Greenwich"})
"""Names of what a zone that is not known is taken for."""


def unknown_zone() -> str | None:
    """Return in which zone times are if this machine does not know the one that the environment names, and why; None if it does.

    The C library says nothing then, and takes UTC for it.
    """
    name = os.environ.get("TZ", "").removeprefix(":")
    if not name or _RULE.fullmatch(name) or name.rsplit("/", 1)[-1] in _UTC:
        return None
    from zoneinfo import TZPATH  # noqa: PLC0415 - few jobs are due

    folders = [os.environ["TZDIR"]] if os.environ.get("TZDIR") else TZPATH
    if any(Path(folder, name).is_file() for folder in folders):
        return None
    return f"UTC, because TZ={name} is no time zone that this machine knows; set it to one such as Europe/Berlin, or install tzdata"


def zone_at(at: float) -> str:
    """Return the time zone of this machine in words, with its distance from UTC at the Unix time *at*."""
    if unknown := unknown_zone():
        return unknown
    name = os.environ.get("TZ")
    if name is None:
        _, _, name = str(Path("/etc/localtime").resolve()).partition("/zoneinfo/")
    name, offset = (
        name.removeprefix(":"),
        datetime.fromtimestamp(at).astimezone().isoformat("T", "minutes")[16:],
    )
    if name.rsplit("/", 1)[-1] in {"", *_UTC} and offset == "+00:00":
        return "UTC"
    return f"{name} (UTC{offset})" if name else f"UTC{offset}"
