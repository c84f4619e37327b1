"""The types of values in a config, each strict and each with the sentence that refuses other values.

Numbers are accepted as text, because YAML 1.2 reads `200_000` as text and because `${NAME}` yields text.
Every sentence continues the value: `"10 000" is not a whole number above 0; ...`.
"""

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from pipeline.figures import limit

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
"""Line breaks, control characters and lone surrogates, but not the joiners that some scripts need inside words."""

Within: TypeAlias = tuple[str | int, ...]
"""A path of keys and indexes from a value to a part of it."""

_NUMBER = re.compile(r"[-+]?(?:[0-9][0-9_]{0,17}(?:\.[0-9]{0,17})?|\.[0-9]{1,17})")
_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)([smhd])")
_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_PERCENT = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,9})?) ?%")
_HOTTEST = 2
_LARGEST_COUNT = 10**12
_LONGEST_SECONDS = 10 * 366 * 86_400


def wrong(sentence: str, *within: str | int) -> PydanticCustomError:
    """Make the error of a value; *within* is the path from the value to the part of it that is wrong."""
    return all_wrong([(within, sentence)])


def all_wrong(problems: Iterable[tuple[Within, str]]) -> PydanticCustomError:
    """Make the error of a value with several problems: pairs of a path within it and a sentence."""
    found = tuple(problems)
    words = " and ".join(sentence for _, sentence in found)
    return PydanticCustomError("wrong", "{words}", {"words": words, "problems": found})


def number(value: object) -> float | None:
    """Parse a finite number, whole ones as int; None for anything else, including booleans."""
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        digits = value.replace("_", "")
        return float(digits) if "." in digits else int(digits)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return value


MOST_ROWS = 100
"""In one request; more than 20 save next to nothing."""

MAX_WHOLE = 2**63 - 1
"""The largest integer that every JSON reader with 64-bit integers accepts."""


def _count(value: object) -> int:
    found = number(value)
    if not isinstance(found, int) or not 1 <= found <= _LARGEST_COUNT:
        raise wrong("is not a whole number above 0; write digits only, such as 500 or 200_000")
    return found


def _whole(value: object) -> int:
    found = number(value)
    if not isinstance(found, int):
        raise wrong("is not a whole number; write digits only, such as 7")
    if not -MAX_WHOLE <= found <= MAX_WHOLE:
        raise wrong("is too large for the 64 bits of a JSON integer; write a smaller number")
    return found


def _rows(value: object) -> int:
    found = number(value)
    if not isinstance(found, int) or not 1 <= found <= MOST_ROWS:
        raise wrong(f"is not a number of rows; write 1 to {MOST_ROWS}, or auto")
    return found


def _numbers(accepts: Callable[[float], bool], sentence: str) -> Callable[[object], float]:
    def check(value: object) -> float:
        found = number(value)
        if found is None or not accepts(found):
            raise wrong(sentence)
        return float(found)

    return check


def _seconds(value: object) -> float:
    found = number(value)
    if isinstance(value, str) and (written := _DURATION.fullmatch(value)):
        found = float(written[1]) * _UNIT_SECONDS[written[2]]
    if found is None or not 0 < found <= _LONGEST_SECONDS:
        raise wrong("is not a duration above 0; write one such as 90s, 30m, 6h or 1d, or a number of seconds")
    return float(found)


def _flag(value: object) -> bool:
    if isinstance(value, bool) or value in ("true", "false"):
        return value in (True, "true")
    raise wrong("is not true or false; write one of them")


def _or_auto(check: Callable[[object], object]) -> Callable[[object], object]:
    return lambda value: value if value == "auto" else check(value)


def _line(value: str) -> str:
    if not value.strip():
        raise wrong("is empty; write something or leave the key out")
    if CONTROL.search(value):
        raise wrong("has a line break or a control character; write it on one line")
    return value


def _text(value: str) -> str:
    if not value.strip():
        raise wrong("is empty; write a text")
    return value


@dataclass(frozen=True, slots=True)
class FailureAllowance:
    """How many rows may fail before a finished run counts as failed.

    Attributes:
        limit: A number of rows, or a percentage of the rows.
        is_percent: Whether it is a percentage.
    """

    limit: Fraction
    is_percent: bool

    def allows(self, failed: int, rows: int) -> bool:
        """Return whether *failed* of *rows* is within the allowance; exact, without rounding."""
        return failed * 100 <= self.limit * rows if self.is_percent else failed <= self.limit

    def __str__(self) -> str:
        return limit(float(self.limit) / 100) if self.is_percent else str(self.limit)


def _allowance(value: object) -> FailureAllowance:
    if isinstance(value, FailureAllowance):
        return value
    if isinstance(value, str) and (written := _PERCENT.fullmatch(value)):
        percent = Fraction(written[1])
        if percent <= 100:  # noqa: PLR2004 - a percentage
            return FailureAllowance(percent, is_percent=True)
    found = number(value)
    if isinstance(found, int) and 0 <= found <= _LARGEST_COUNT:
        return FailureAllowance(Fraction(found), is_percent=False)
    raise wrong("is not an allowance; write a share such as 1% or a whole number of rows")


_DIGITS = {"type": "string", "pattern": "^[0-9][0-9_]*$"}
_DURATION_SCHEMA = [
    {"type": "number", "exclusiveMinimum": 0},
    {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?[smhd]$"},
]

Count: TypeAlias = Annotated[
    int,
    BeforeValidator(_count),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 1}, _DIGITS]}),
]
RowsOrAuto: TypeAlias = Annotated[
    Literal["auto"] | int,
    BeforeValidator(_or_auto(_rows)),
    WithJsonSchema(
        {"anyOf": [{"const": "auto"}, {"type": "integer", "minimum": 1, "maximum": MOST_ROWS}, _DIGITS]}
    ),
]
Whole: TypeAlias = Annotated[int, BeforeValidator(_whole), WithJsonSchema({"type": "integer"})]
Usd: TypeAlias = Annotated[
    float,
    BeforeValidator(
        _numbers(lambda found: found > 0, "is not an amount above 0; write US dollars such as 5 or 0.50")
    ),
    WithJsonSchema({"type": "number", "exclusiveMinimum": 0}),
]
Weight: TypeAlias = Annotated[
    float,
    BeforeValidator(_numbers(lambda found: found > 0, "is not a weight; write a number above 0, such as 2")),
    WithJsonSchema({"type": "number", "exclusiveMinimum": 0}),
]
UsdPerMillion: TypeAlias = Annotated[
    float,
    BeforeValidator(
        _numbers(
            lambda found: found >= 0, "is not a price; write US dollars per million tokens such as 0.10, or 0"
        )
    ),
    WithJsonSchema({"type": "number", "minimum": 0}),
]
Temperature: TypeAlias = Annotated[
    float,
    BeforeValidator(
        _numbers(lambda found: 0 <= found <= _HOTTEST, "is not a temperature; write a number from 0 to 2")
    ),
    WithJsonSchema({"type": "number", "minimum": 0, "maximum": _HOTTEST}),
]
Probability: TypeAlias = Annotated[
    float,
    BeforeValidator(
        _numbers(lambda found: 0 < found <= 1, "is not a probability; write a number above 0, at most 1")
    ),
    WithJsonSchema({"type": "number", "exclusiveMinimum": 0, "maximum": 1}),
]
Share: TypeAlias = Annotated[
    float,
    BeforeValidator(
        _numbers(lambda found: 0 <= found <= 1, "is not a share; write a number from 0 to 1, such as 0.1")
    ),
    WithJsonSchema({"type": "number", "minimum": 0, "maximum": 1}),
]
Seconds: TypeAlias = Annotated[float, BeforeValidator(_seconds), WithJsonSchema({"anyOf": _DURATION_SCHEMA})]
SecondsOrAuto: TypeAlias = Annotated[
    Literal["auto"] | float,
    BeforeValidator(_or_auto(_seconds)),
    WithJsonSchema({"anyOf": [{"const": "auto"}, *_DURATION_SCHEMA]}),
]
Flag: TypeAlias = Annotated[bool, BeforeValidator(_flag), WithJsonSchema({"type": "boolean"})]
FlagOrAuto: TypeAlias = Annotated[
    Literal["auto"] | bool,
    BeforeValidator(_or_auto(_flag)),
    WithJsonSchema({"anyOf": [{"const": "auto"}, {"type": "boolean"}]}),
]
Allowance: TypeAlias = Annotated[
    FailureAllowance,
    BeforeValidator(_allowance),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 0},
                {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)? ?%$"},
            ]
        }
    ),
]
Line: TypeAlias = Annotated[str, AfterValidator(_line)]
Text: TypeAlias = Annotated[str, AfterValidator(_text)]
"""Any text but blanks; also the name of a column, which is looked up in the table and may hold whatever a header holds."""
