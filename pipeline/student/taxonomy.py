"""What a change of a task's labels means for labels that rows have already: which stay, under which name, and which do not."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from pipeline.config import TaskSettings

RENAME, MERGE, SPLIT, REMOVE, EDIT, ADD = "rename", "merge", "split", "remove", "edit", "add"


class Change(NamedTuple):
    """One change.

    Attributes:
        kind: One of the words above.
        old: The labels that it is about, under their old names; none for a label that is new.
        new: What has become of them; nothing for labels that are gone.
    """

    kind: str
    old: tuple[str, ...] = ()
    new: tuple[str, ...] = ()

    def __str__(self) -> str:
        arrow = f" → {', '.join(self.new)}" if self.new and self.new != self.old else ""
        return f"{', '.join(self.old)}{arrow}" if self.old else ", ".join(self.new)


class Taxonomy:
    """What has become of the labels of an earlier task.

    A label stands for the earlier one of its name and for those that it `was`. What stands for two is a merge, and what
    two stand for is split; one with another description is edited.

    Attributes:
        changes: What has changed, by kind.
        settled: Labels of the new task that mean what they meant: which rows have them should not have changed.
        added: Those that nothing was before.
    """

    def __init__(self, old: TaskSettings, new: TaskSettings) -> None:
        """Compare the labels of *old* with those of *new*."""
        self._most = new.max_labels or len(new.labels)
        before = {label.name: label.description for label in old.labels}
        self._after: dict[str, list[str]] = {name: [] for name in before}
        origins: dict[str, list[str]] = {}
        for label in new.labels:
            origins[label.name] = [name for name in dict.fromkeys([label.name, *label.was]) if name in before]
            for name in origins[label.name]:
                self._after[name].append(label.name)
        about = {label.name: label.description for label in new.labels}
        self._edited = {
            name
            for name, after in self._after.items()
            if len(after) == 1 and len(origins[after[0]]) == 1 and about[after[0]] != before[name]
        }
        self._merged = {
            name for name, after in self._after.items() if len(after) == 1 and len(origins[after[0]]) > 1
        }
        self.changes = sorted(self._changes(origins), key=lambda each: ORDER.index(each.kind))
        self.added = frozenset(name for name, was in origins.items() if not was)
        self.settled = frozenset(
            after[0] for name, after in self._after.items() if len(after) == 1 and name not in self._edited
        )

    def _changes(self, origins: Mapping[str, Sequence[str]]) -> Iterable[Change]:
        for name, after in self._after.items():
            if not after:
                yield Change(REMOVE, (name,))
            elif len(after) > 1:
                yield Change(SPLIT, (name,), tuple(after))
            elif name in self._edited:
                yield Change(EDIT, (name,), tuple(after))
            elif after != [name] and name not in self._merged:
                yield Change(RENAME, (name,), tuple(after))
        for name, was in origins.items():
            if not was:
                yield Change(ADD, (), (name,))
            elif len(was) > 1:
                yield Change(MERGE, tuple(was), (name,))

    def carried(self, labels: Iterable[str]) -> tuple[str, ...] | None:
        """Return what *labels* of a row are called now; None if what has become of one of them has to be asked."""
        found = dict[str, None]()
        for label in labels:
            after = self._after.get(label, [])
            if len(after) != 1 or label in self._edited:
                return None
            found[after[0]] = None
        return tuple(found) if len(found) <= self._most else None

    def now(self, labels: Iterable[str]) -> tuple[str, ...]:
        """Return what *labels* are called now, those that are gone or split as they were: to see what changes in a row."""
        named = (after[0] if len(after := self._after.get(label, [])) == 1 else label for label in labels)
        return tuple(dict.fromkeys(named))

    def is_merged(self, labels: Iterable[str]) -> bool:
        """Return whether one of *labels* is part of another now."""
        return not self._merged.isdisjoint(labels)

    def touches(self, change: Change, labels: Iterable[str]) -> bool:
        """Return whether *change* is about a row that has these *labels*."""
        return not set(change.old).isdisjoint(labels)


ORDER = (RENAME, MERGE, SPLIT, REMOVE, EDIT, ADD)
"""The kinds, those first that ask for the least."""


def unknown_pasts(old: TaskSettings, new: TaskSettings) -> list[tuple[int, int, str]]:
    """Return where labels of *new* were something that *old* does not have: the label, its place in `was`, the name."""
    names = {label.name for label in old.labels}
    return [
        (index, place, name)
        for index, label in enumerate(new.labels)
        for place, name in enumerate(label.was)
        if name not in names
    ]


def called_as_before(old: TaskSettings, new: TaskSettings) -> TaskSettings | None:
    """Return *new* with the names that its labels had in *old*; None if they are not the same labels, one for one."""
    taxonomy = Taxonomy(old, new)
    if any(change.kind != RENAME for change in taxonomy.changes):
        return None
    before = {taxonomy.now([label.name])[0]: label.name for label in old.labels}
    labels = [label.model_copy(update={"name": before[label.name]}) for label in new.labels]
    examples = [
        each.model_copy(
            update={
                "label": each.label and before[each.label],
                "labels": each.labels and tuple(before[name] for name in each.labels),
            }
        )
        for each in new.examples
    ]
    return new.model_copy(update={"labels": tuple(labels), "examples": tuple(examples)})
