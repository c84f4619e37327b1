"""Make a value that a JSON schema accepts, so that a schema of any shape gets an answer that fits it."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.servers.protocol.errors import BadRequestError

WORD = "unknown"
"""What a string says that may say anything."""

FORMATS: Mapping[str, str] = {
    "date": "2026-01-01",
    "time": "12:00:00Z",
    "date-time": "2026-01-01T12:00:00Z",
    "duration": "P1D",
    "email": "name@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}
"""A string of each format."""

OPTIONAL_DEPTH = 3
"""Down to this depth a value has what it could leave out; deeper, schemas that refer to themselves would never end."""

MOST_PARTS = 10_000
"""Parts of one value, and characters of one string."""

_EXPLANATIONS = frozenset(
    [
        "$comment",
        "$defs",
        "$id",
        "$schema",
        "default",
        "definitions",
        "deprecated",
        "description",
        "examples",
        "title",
    ]
)
_BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
_OF_A_TYPE: Mapping[str, frozenset[str]] = {
    "object": frozenset(("properties", "required", "additionalProperties")),
    "array": frozenset(("items", "minItems", "maxItems", "uniqueItems")),
    "string": frozenset(("minLength", "maxLength", "format")),
    "integer": frozenset((*_BOUNDS, "multipleOf")),
    "number": frozenset((*_BOUNDS, "multipleOf")),
    "boolean": frozenset(),
    "null": frozenset(),
}
"""The keywords that are understood, by the type of value that they bind; they do not bind values of other types."""

_LISTS = frozenset(("enum", "anyOf"))
"""The keywords whose value is a list that must not be empty."""

_KEYWORDS = frozenset({"type"}).union(*_OF_A_TYPE.values())


def value_for(schema: Mapping[str, Any], number: int) -> Any:
    """Return a value that *schema* accepts; *number* chooses among several.

    Raises:
        BadRequestError: It holds what is not understood, or accepts nothing.
    """
    try:
        return _Maker(schema, number).value(schema, 0)
    except BadRequestError:
        raise
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError):
        raise _refused("is no JSON schema") from None


def _refused(why: str) -> BadRequestError:
    return BadRequestError(
        f"the schema of response_format {why}", param="response_format", code="unsupported_value"
    )


class _Maker:
    """Makes one value."""

    def __init__(self, root: Mapping[str, Any], number: int) -> None:
        self._root, self._number, self._parts = root, number, 0

    def value(self, schema: Any, depth: int) -> Any:
        self._parts += 1
        if self._parts > MOST_PARTS:
            raise _refused(f"asks for more than {MOST_PARTS:,} parts")
        if schema is True:
            return WORD
        if schema is False:
            raise _refused("accepts nothing")
        rest = {name: value for name, value in schema.items() if name not in _EXPLANATIONS}
        if "const" in rest and "enum" not in rest:
            rest["enum"] = [rest.pop("const")]
        for keyword, read in (("$ref", self._referred), ("anyOf", self._any_of), ("enum", self._one_of)):
            if keyword in rest:
                return read(_alone(keyword, rest), depth)
        return self._typed(rest, depth)

    def _typed(self, rest: dict[str, Any], depth: int) -> Any:
        kind = _kind(rest)
        if kind not in _OF_A_TYPE:
            raise _refused(f"holds the type {kind!r}, which is none")
        unknown = rest.keys() - _KEYWORDS
        if unknown:
            raise _refused(f"holds '{min(unknown)}', which this endpoint cannot follow")
        if kind == "object":
            return self._object(rest, depth)
        if kind == "array":
            return self._array(rest, depth)
        if kind in {"boolean", "null"}:
            return None if kind == "null" else self._number % 2 == 0
        return _string(rest) if kind == "string" else _amount(rest, whole=kind == "integer")

    def _referred(self, reference: str, depth: int) -> Any:
        found: Any = self._root
        start, *names = reference.split("/")
        if start != "#":
            raise _refused(f"refers to {reference[:80]!r}, which is not in it")
        for name in names:
            found = found[name.replace("~1", "/").replace("~0", "~")]
        return self.value(found, depth + 1)

    def _any_of(self, schemas: list[Any], depth: int) -> Any:
        # Those that refer elsewhere come last: a schema that refers to itself must end somewhere.
        for schema in sorted(schemas, key=lambda each: isinstance(each, dict) and "$ref" in each):
            try:
                return self.value(schema, depth)
            except BadRequestError as error:
                refused = error
        raise refused

    def _one_of(self, values: list[Any], _depth: int) -> Any:
        return values[self._number % len(values)]

    def _object(self, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        told, required = schema.get("properties", {}), schema.get("required", ())
        others = schema.get("additionalProperties", True)
        optional = () if depth >= OPTIONAL_DEPTH else [name for name in told if told[name] is not False]
        names = dict.fromkeys([*optional, *required])
        return {name: self.value(told.get(name, others), depth + 1) for name in names}

    def _array(self, schema: dict[str, Any], depth: int) -> list[Any]:
        usual = 1 if depth < OPTIONAL_DEPTH and schema.get("items") is not False else 0
        count = max(schema.get("minItems", 0), min(usual, schema.get("maxItems", usual)))
        if count > schema.get("maxItems", count):
            raise _refused("has an array with more items at least than at most")
        made: list[Any] = []
        for _ in range(count):
            made.append(self.value(schema.get("items", True), depth + 1))
            self._number += 1
        if schema.get("uniqueItems") and any(made[at] in made[:at] for at in range(len(made))):
            raise _refused("asks for more different items than this endpoint can think of")
        return made


def _alone(keyword: str, rest: dict[str, Any]) -> Any:
    """Return the value of a *keyword* that must not be bound further by those beside it."""
    if keyword in _LISTS and not (isinstance(rest[keyword], list) and rest[keyword]):
        raise _refused(f"holds '{keyword}' with something else than a list of at least one entry")
    kinds = rest.get("type", ())
    if keyword == "enum" and rest.keys() == {"enum", "type"}:
        return [each for each in rest["enum"] if _is_one_of(each, kinds)]
    if len(rest) > 1:
        raise _refused(f"holds '{keyword}' beside other keywords, which this endpoint cannot follow")
    return rest[keyword]


def _is_one_of(value: Any, kinds: str | list[str]) -> bool:
    types = {
        "string": (str,), "integer": (int,), "number": (int, float), "boolean": (bool,),
        "null": (type(None),), "array": (list,), "object": (dict,),
    }  # fmt: skip
    return any(type(value) in types[kind] for kind in ([kinds] if isinstance(kinds, str) else kinds))


def _kind(schema: dict[str, Any]) -> str:
    """Return the type of value to make; where none is told, the one that most is said about."""
    kinds = schema.get("type")
    if isinstance(kinds, str):
        return kinds
    if kinds is not None:
        return next((kind for kind in kinds if kind != "null"), "null")
    return max(_OF_A_TYPE, key=lambda kind: len(_OF_A_TYPE[kind] & schema.keys())) if schema else "string"


def _string(schema: dict[str, Any]) -> str:
    least, most = schema.get("minLength", 0), schema.get("maxLength", MOST_PARTS)
    form = schema.get("format")
    if form is not None and form not in FORMATS:
        raise _refused(f"holds the format {form!r}, which this endpoint cannot follow")
    text = FORMATS[form] if form else (WORD * (least // len(WORD) + 1))[: max(least, min(most, len(WORD)))]
    if not least <= len(text) <= min(most, MOST_PARTS):
        raise _refused("has a string with a length that this endpoint cannot meet")
    return text


def _amount(schema: dict[str, Any], *, whole: bool) -> int | float:
    """Return the first number of some likely ones that keeps within all bounds."""
    for number in _likely(schema, whole=whole):
        if (not whole or number == int(number)) and _is_within(number, schema):
            return number
    raise _refused("has a number within bounds that this endpoint cannot meet")


def _likely(schema: dict[str, Any], *, whole: bool) -> Iterator[int | float]:
    yield 0
    bounds = [schema[name] for name in _BOUNDS if name in schema]
    step = schema.get("multipleOf", 1)
    for bound in bounds:
        nearest = math.floor(bound / step)
        yield from (nearest * step, (nearest + 1) * step, (nearest - 1) * step)
    if not whole:
        yield from bounds
        yield sum(bounds) / max(1, len(bounds))


def _is_within(number: float, schema: dict[str, Any]) -> bool:
    step = schema.get("multipleOf")
    return (
        schema.get("minimum", -math.inf) <= number <= schema.get("maximum", math.inf)
        and schema.get("exclusiveMinimum", -math.inf) < number < schema.get("exclusiveMaximum", math.inf)
        and (step is None or number / step == int(number / step))
    )
