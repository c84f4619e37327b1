"""`${NAME}`, `${NAME:-default}` and `${now:%Y-%m-%d}` in the config's scalars."""

import re
from collections.abc import Mapping
from datetime import datetime

from pipeline.errors import UsageError

_FIELD = re.compile(r"\$\{([^{}]*)\}")
_VARIABLE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.DOTALL)


def fill(text: str, env: Mapping[str, str], now: datetime) -> str:
    """Fill in a scalar, once: what comes out of the environment is not filled in again.

    As in a shell, the default also stands in for a variable that is empty.

    Raises:
        ValueError: A variable is not set, or `${` begins something else. The sentence never holds a
            variable's value.
    """
    if "${" in _FIELD.sub("", text):
        raise ValueError("has a ${ without its }; write ${NAME} or ${NAME:-default}")
    return _FIELD.sub(lambda field: _value(field[1], env, now), text)


def moment_of(text: str) -> datetime:
    """Return the moment that *text* names in ISO 8601, in the local time unless it says another.

    Raises:
        UsageError: If it names none.
    """
    try:
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError):
        raise UsageError(f"{text!r} is no date; write one such as 2026-01-31 or 2026-01-31T02:00") from None


def _value(field: str, env: Mapping[str, str], now: datetime) -> str:
    if field.startswith("now:"):
        return _time(field.removeprefix("now:"), now)
    variable = _VARIABLE.fullmatch(field)
    if variable is None:
        raise ValueError("has a ${...} that is no name; write ${NAME}, ${NAME:-default} or ${now:%Y-%m-%d}")
    name, default = variable.groups()
    value = env.get(name)
    if value is None and default is None:
        raise ValueError(
            f"needs the environment variable {name}, which is not set; set it, or write ${{{name}:-default}}"
        )
    return value or default or ""


def _time(pattern: str, now: datetime) -> str:
    try:
        text = now.strftime(pattern)
    except ValueError:
        text = pattern
    if text == pattern:  # as it is where it names no time, or one that is unknown
        raise ValueError("has a time format that does not work; write for example ${now:%Y-%m-%d}")
    return text
