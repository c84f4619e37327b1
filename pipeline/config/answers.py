"""A task's labels and the answers of its examples, judged in the document.

The models judge them, too, but stop at the first part that is wrong: here all mistakes are found at once.
"""

import difflib
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

from pipeline.config.document import Node, Problem, Scalar
from pipeline.config.values import Within, number


class Answer(Protocol):
    """The answer of an example."""

    @property
    def label(self) -> str | None:
        """Its label, for kind single."""

    @property
    def labels(self) -> Sequence[str] | None:
        """Its labels, for kind multi."""


class _Written(NamedTuple):
    """The answer of an example, as it stands in the document."""

    label: str | None
    labels: tuple[str, ...] | None


def wrong_answers(root: Node) -> list[Problem]:
    """Find labels that are the same, and examples whose answers do not fit the task, whatever else is wrong with them."""
    section, there = root.at(("task",))
    task = section.content if there and isinstance(section.content, dict) else {}
    kind = _text(task.get("kind")) or "single"
    names = [(_name(label) or "").strip() for label in _items(task.get("labels"))]
    if kind not in {"single", "multi"} or not any(names):
        return []
    bound = number(_text(task.get("max_labels")))
    most = bound if isinstance(bound, int) and bound > 0 else len(names)
    found = [Problem(("task", "labels", *within), text, shown=True) for within, text in repeated_names(names)]
    for index, node in enumerate(_items(task.get("examples"))):
        if isinstance(node.content, dict):
            for within, text in example_problems(_example(node.content), kind, names, most):
                found.append(Problem(("task", "examples", index, *within), text, shown=True))
    return found


def _example(content: dict[str, Node]) -> _Written:
    labels = content.get("labels")
    many = labels is not None and isinstance(labels.content, list)
    names = tuple(_text(each) or "" for each in _items(labels)) if many else None
    return _Written(_text(content.get("label")), names)


def _name(label: Node) -> str | None:
    return _text(label.content.get("name") if isinstance(label.content, dict) else label)


def _text(node: Node | None) -> str | None:
    """Return a scalar as it is written; None for what is none, and for null."""
    if node is None or not isinstance(node.content, Scalar) or node.content.value is None:
        return None
    return node.content.source


def _items(node: Node | None) -> Iterable[Node]:
    return node.content if node is not None and isinstance(node.content, list) else ()


def example_problems(
    example: Answer, kind: str, names: Sequence[str], most: int
) -> Iterable[tuple[Within, str]]:
    """Yield what is wrong with the answer of *example* to a task of this *kind* with at most *most* labels a row."""
    yield from (_single_problems if kind == "single" else _multi_problems)(example, names)
    if example.labels is not None and len(example.labels) > most:
        yield ("labels",), "has more labels than max_labels; take some away"


def _single_problems(example: Answer, names: Sequence[str]) -> Iterable[tuple[Within, str]]:
    if example.labels is not None:
        yield ("labels",), "is for kind multi; write label: with one label"
    elif example.label is None:
        yield (), "has no label; add label: with one label"
    elif example.label not in names:
        yield ("label",), _unknown(example.label, names)


def _multi_problems(example: Answer, names: Sequence[str]) -> Iterable[tuple[Within, str]]:
    if example.label is not None:
        yield ("label",), "is for kind single; write labels: with a list"
    elif example.labels is None:
        yield (), "has no labels; add labels: with a list, which may be empty"
    for index, name in enumerate(example.labels or ()):
        if name not in names:
            yield ("labels", index), _unknown(name, names)
        elif name in (example.labels or ())[:index]:
            yield ("labels", index), "is there twice; keep one of them"


def _unknown(name: str, names: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, names, n=1)
    hint = f'did you mean "{close[0]}"?' if close else "write one of them"
    return f"is not one of task.labels; {hint}"


def _folded(name: str) -> str:
    return "".join(unicodedata.normalize("NFKC", name).casefold().split())


def repeated_names(names: Iterable[str]) -> Iterable[tuple[Within, str]]:
    """Yield which of *names* repeat others, capitals and blanks apart."""
    first: dict[str, str] = {}
    for index, name in enumerate(names):
        folded = _folded(name)
        if folded and folded in first:
            yield (
                (index, "name"),
                f'is the same as "{first[folded]}", capitals and blanks apart; keep one of them',
            )
        first.setdefault(folded, name)


def wrong_pasts(labels: Sequence[tuple[str, Sequence[str]]]) -> Iterable[tuple[Within, str]]:
    """Yield what is wrong with what *labels*, pairs of a name and earlier ones, were: twice the same, or each other."""
    for index, (_, was) in enumerate(labels):
        folded = list(map(_folded, was))
        for place, name in enumerate(folded):
            if name in folded[:place]:
                yield (index, "was", place), "is there twice; keep one of them"
    past = {name: [each for each in was if each != name] for name, was in labels}
    for index, (name, _) in enumerate(labels):
        if circle := _circle(name, past):
            trade = " and ".join(f'"{each}"' for each in circle)
            sentence = f"goes in a circle: {trade} take each other's names; call one of them otherwise"
            yield (index, "was"), sentence
            return


def _circle(name: str, past: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the labels from *name* back to itself, each of which was the next one; none if that leads elsewhere."""
    ways = [[name]]
    seen = {name}
    while ways:
        way = ways.pop()
        for before in past.get(way[-1], ()):
            if before == name:
                return way
            if before not in seen:
                seen.add(before)
                ways.append([*way, before])
    return []
