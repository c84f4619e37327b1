"""Substitute `${NAME}`, `${NAME:-default}` and `${now:%Y-%m-%d}` in the config's scalars."""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime

from pipeline.errors import UsageError

_FIELD = re.compile(r"\$\{([^{}]*)\}")
_VARIABLE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.DOTALL)


def fill(text: str, env: Mapping[str, str], now: datetime) -> str:
    """Substitute the fields of a scalar once; substituted values are not substituted again.

    As in a shell, the default also replaces an empty variable.

    Args:
        text: The scalar.
        env: Values of the variables by name.
        now: The time that `${now:...}` formats.

    Raises:
        ValueError: If a variable is not set, or `${` begins something else. The message never holds a
            variable's value.
    """
    if "${" in _FIELD.sub("", text):
        raise ValueError("has a ${ without its }; write ${NAME} or ${NAME:-default}")
    return _FIELD.sub(lambda field: _value(field[1], env, now), text)


def values_in(texts: Iterable[str], env: Mapping[str, str]) -> frozenset[str]:
    """Return the values in *env* of the variables that scalars name; they may be secrets."""
    fields = (field for text in texts for field in _FIELD.findall(text))
    named = filter(None, map(_VARIABLE.fullmatch, fields))
    return frozenset(filter(None, (env.get(variable[1]) for variable in named)))


def moment_of(text: str) -> datetime:
    """Parse a date or time in ISO 8601; without a time zone it is local.

    Raises:
        UsageError: If *text* is neither.
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
    if text == pattern:  # no directive in it is known to strftime
        raise ValueError("has a time format that does not work; write for example ${now:%Y-%m-%d}")
    return text
