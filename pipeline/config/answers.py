"""A task's labels and the answers of its examples, judged in the document.

The models judge them, too, but stop at the first part that is wrong: here all mistakes are found at once.
"""

from collections.abc import Iterable

from pipeline.config.document import Node, Problem, Scalar
from pipeline.config.task import ExampleSettings, example_problems, repeated_names
from pipeline.config.values import number


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


def _example(content: dict[str, Node]) -> ExampleSettings:
    labels = content.get("labels")
    many = labels is not None and isinstance(labels.content, list)
    names = tuple(_text(each) or "" for each in _items(labels)) if many else None
    return ExampleSettings.model_construct(text="", label=_text(content.get("label")), labels=names)


def _name(label: Node) -> str | None:
    return _text(label.content.get("name") if isinstance(label.content, dict) else label)


def _text(node: Node | None) -> str | None:
    """Return a scalar as it is written; None for what is none, and for null."""
    if node is None or not isinstance(node.content, Scalar) or node.content.value is None:
        return None
    return node.content.source


def _items(node: Node | None) -> Iterable[Node]:
    return node.content if node is not None and isinstance(node.content, list) else ()
