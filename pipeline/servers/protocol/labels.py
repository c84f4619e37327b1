"""The labels that a request lets its answer choose from: in its schema, or listed in its prompt."""

from functools import lru_cache
from itertools import takewhile
from typing import Any, NamedTuple

MAX_LABELS = 3
"""The most labels in a made-up list."""


class Wanted(NamedTuple):
    """Labels to choose from, whether a list of them is due, and the most that it may hold."""

    labels: tuple[str, ...]
    multi: bool
    most: int = MAX_LABELS


def labels_in(schema: dict[str, Any]) -> Wanted | None:
    """Return the labels in a *schema* of the shape that this program sends; None for one of another shape."""
    properties: Any = schema.get("properties")
    name = next(iter(properties), "") if isinstance(properties, dict) and len(properties) == 1 else ""
    if name not in {"label", "labels"}:
        return None
    value, most, multi = properties[name], MAX_LABELS, name == "labels"
    if multi and isinstance(value, dict) and value.keys() <= {"type", "items", "maxItems"}:
        most, value = value.get("maxItems", most), value.get("items")
    labels = value.get("enum") if isinstance(value, dict) and value.keys() <= {"type", "enum"} else None
    if type(most) is not int or most < 0 or not isinstance(labels, list) or set(map(type, labels)) != {str}:
        return None
    return Wanted(tuple(labels), multi, min(most, MAX_LABELS))


@lru_cache(maxsize=64)
def labels_of(prefix: str) -> tuple[tuple[str, ...], bool]:
    """Return the labels listed as `- name: description` or `- name` under a line `Labels:`, and whether a list is due."""
    _, _, below = f"\n{prefix}".partition("\nLabels:\n")
    lines = takewhile(lambda line: line.startswith("- "), below.split("\n"))
    return tuple(line[2:].partition(": ")[0] for line in lines), '"labels"' in prefix
