"""The text template of a task: literal text with {column} names.

What stands between two braces is the name of a column, whatever characters it has: never an attribute, an index or a
format.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

_TOKEN = re.compile(r"\{\{|\}\}|\{[^{}]*\}|[{}]")


@dataclass(frozen=True, slots=True)
class Column:
    """A placeholder for the row's cell of a column.

    Attributes:
        name: The column's name.
    """

    name: str


Parts: TypeAlias = tuple[str | Column, ...]
"""A parsed template: literal texts and placeholders, in order."""


def parse_template(text: str) -> Parts:
    """Split a template into its literal texts and its columns, in order.

    `{{` and `}}` stand for one brace. No literal is empty, and no two literals are adjacent.

    Raises:
        ValueError: If a brace is unpaired, a name is blank, or there is no column at all. The message continues
            the sentence "the template ...".
    """
    parts: list[str | Column] = []
    literal: list[str] = []
    end = 0
    for token in _TOKEN.finditer(text):
        literal.append(text[end : token.start()])
        end = token.end()
        if token[0] in {"{{", "}}"}:
            literal.append(token[0][0])
            continue
        column = Column(_column_name(token[0], token.start() + 1))
        parts += [*_joined(literal), column]
        literal = []
    parts += _joined([*literal, text[end:]])
    if not any(isinstance(part, Column) for part in parts):
        raise ValueError("names no column; write {column} where the row's text belongs")
    return tuple(parts)


def column_names(parts: Parts) -> tuple[str, ...]:
    """Return the columns of a template, without repetitions, in the order of their first use."""
    return tuple(dict.fromkeys(part.name for part in parts if isinstance(part, Column)))


def render_rows(text: str, columns: Mapping[str, Sequence[str | None]]) -> list[str | None]:
    """Render a template for each row; None for a row whose cells are all null or blank.

    A null among other cells is rendered as an empty string.

    Args:
        text: The template.
        columns: The cells of at least the template's columns, in equal numbers.

    Raises:
        ValueError: If the template is invalid, or the columns differ in length.
        KeyError: If a column of the template is missing.
    """
    parts = parse_template(text)
    names = column_names(parts)
    # One call of str.format per row is several times as fast as a loop over the parts.
    layout = "".join(
        part.replace("{", "{{").replace("}", "}}")
        if isinstance(part, str)
        else f"{{{names.index(part.name)}}}"
        for part in parts
    )
    if len(names) == 1:  # nearly always
        fill = str if layout == "{0}" else layout.format
        return [fill(cell) if cell and not cell.isspace() else None for cell in columns[names[0]]]
    return [
        layout.format(*[cell or "" for cell in cells])
        if any(cell and not cell.isspace() for cell in cells)
        else None
        for cells in zip(*(columns[name] for name in names), strict=True)
    ]


def _joined(literal: list[str]) -> list[str]:
    text = "".join(literal)
    return [text] if text else []


def _column_name(token: str, position: int) -> str:
    name = token[1:-1]
    if token in {"{", "}"}:
        raise ValueError(
            f"has a single {token} at character {position}; write {token * 2} for a brace, "
            "and rename a column whose name holds one"
        )
    if not name.strip():
        raise ValueError(f"has empty braces at character {position}; put a column's name between them")
    return name
