"""Substitute `${NAME}`, `${NAME:-default}` and `${now:%Y-%m-%d}` in the config's scalars."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias

from pipeline.config.document import Loc, Node, Problem, Scalar, Value
from pipeline.errors import UsageError

Filler: TypeAlias = Callable[[str], str]
Plain: TypeAlias = "dict[str, Plain] | list[Plain] | Value"

_FIELD = re.compile(r"\$\{([^{}]*)\}")
_VARIABLE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.DOTALL)


@dataclass(slots=True)
class Substitution:
    """Converts a tree to plain values, with `${...}` substituted outside the section `task`.

    Attributes:
        filler: Substitutes the fields of a scalar.
        as_written: Locations of scalars to keep as they are written.
        problems: What could not be substituted.
    """

    filler: Filler
    as_written: Sequence[Loc] = ()
    problems: list[Problem] = field(default_factory=list)

    def sections(self, root: Node) -> dict[str, Plain]:
        """Convert a whole document."""
        content = root.content
        return (
            {key: self.apply(child, (key,)) for key, child in content.items()}
            if isinstance(content, dict)
            else {}
        )

    def apply(self, node: Node, loc: Loc) -> Plain:
        """Convert the tree at a location; a scalar that cannot be substituted is kept as it is written."""
        content = node.content
        if isinstance(content, dict):
            return {key: self.apply(child, (*loc, key)) for key, child in content.items()}
        if isinstance(content, list):
            return [self.apply(child, (*loc, index)) for index, child in enumerate(content)]
        return content.source if loc in self.as_written else self._scalar(content, loc)

    def _scalar(self, scalar: Scalar, loc: Loc) -> Value:
        value = scalar.value
        if not isinstance(value, str):
            return value
        try:
            filled = value if loc[:1] == ("task",) or "${" not in value else self.filler(value)
            filled.encode()
        except UnicodeEncodeError:
            self.problems.append(
                Problem(loc, "holds half a character (a lone surrogate); write the whole one")
            )
        except ValueError as error:
            self.problems.append(Problem(loc, str(error)))
        else:
            return filled
        return value


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
    return _FIELD.sub(lambda found: _value(found[1], env, now), text)


def values_in(texts: Iterable[str], env: Mapping[str, str]) -> frozenset[str]:
    """Return the values in *env* of the variables that scalars name; they may be secrets."""
    fields = (found for text in texts for found in _FIELD.findall(text))
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


def _value(written: str, env: Mapping[str, str], now: datetime) -> str:
    if written.startswith("now:"):
        return _time(written.removeprefix("now:"), now)
    variable = _VARIABLE.fullmatch(written)
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
