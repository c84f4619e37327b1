"""Take a config, or settings of one, as Python values: the same tree as that of a YAML file, without lines."""

import os
from collections.abc import Mapping, Sequence
from math import isinf, isnan
from numbers import Integral, Real
from typing import Any, TypeAlias

from pipeline.config.document import Loc, Node, Problem, Scalar
from pipeline.errors import ConfigError

Overrides: TypeAlias = Mapping[str, Any] | Sequence[str]
"""Settings by their dotted names, or a list of `section.key=VALUE`."""

_MAX_DEPTH = 20


def node_of(value: object, file: str, loc: Loc = ()) -> tuple[Node, list[Problem]]:
    """Return *value* as the tree of a document called *file*, and what in it a config cannot hold.

    Texts are texts, whatever YAML would make of them; paths are texts, too.

    Raises:
        ConfigError: If it is nested too deeply, or holds itself.
    """
    problems: list[Problem] = []

    def read(value: object, loc: Loc) -> Node:
        if len(loc) > _MAX_DEPTH:
            raise ConfigError(f"{file}: is nested too deeply or refers to itself; write the values out")
        if isinstance(value, os.PathLike):
            value = os.fspath(value)
        if isinstance(value, Mapping):
            wrong = [key for key in value if not isinstance(key, str)]
            problems.extend(Problem(loc, f"has a key {key!r} that is no text; write a name") for key in wrong)
            content = {str(key): read(child, (*loc, key)) for key, child in value.items() if key not in wrong}
            return Node(content, file, 0)
        if isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray):
            return Node([read(child, (*loc, index)) for index, child in enumerate(value)], file, 0)
        scalar = _scalar(value)
        if scalar is None:
            kind = type(value).__name__
            problems.append(
                Problem(
                    loc, f"is of type {kind}; write a text, a number, True, False, None, a list or a dict"
                )
            )
        return Node(scalar or Scalar("", plain=True), file, 0)

    return read(value, loc), problems


def _scalar(value: object) -> Scalar | None:
    """Return the scalar that YAML would read as *value*; None if there is none."""
    if isinstance(value, str):
        return Scalar(str(value), plain=False)
    plain = _plain(value)
    return None if plain is None else Scalar(plain, plain=True)


def _plain(value: object) -> str | None:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Integral):  # numpy's, too
        return str(int(value))
    if isinstance(value, Real):
        number = float(value)
        if isnan(number):
            return ".nan"
        return repr(number) if not isinf(number) else f"{'-' * (number < 0)}.inf"
    return None
