"""Right labels: what a cell says, and how many rows have theirs."""

import ast
import json
import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any

from pipeline.config import TaskSettings
from pipeline.errors import InputDataError
from pipeline.tasks.spelling import fold

SEPARATORS = re.compile("[;|,]")


class GoldReader:
    """Reads the right labels of a row from what a cell says."""

    def __init__(self, task: TaskSettings, null_words: Sequence[str] = ()) -> None:
        self.names = frozenset(label.name for label in task.labels)
        self._single, self._null_words = task.kind == "single", frozenset(null_words)
        alike = Counter(map(fold, self.names))
        self._known = {fold(name): name for name in self.names if alike[fold(name)] == 1}

    def labels(self, cell: Any) -> frozenset[str] | None:
        """Return the labels that a cell names, in the task's spelling; None for a cell without any.

        Raises:
            InputDataError: If it names several where a row has one.
        """
        if cell is None:
            return None
        if isinstance(cell, str):
            if not cell.strip() or (cell in self._null_words and self._name(cell) not in self.names):
                return None
            named = [cell] if self._single else self._split(cell.strip())
        else:
            named = [str(each) for each in cell if each is not None]
        found = frozenset(map(self._name, named))
        if self._single and len(found) != 1:
            raise InputDataError(
                f"names {len(found)} right labels where kind single has one: {', '.join(named)}"
            )
        return found

    def _name(self, text: str) -> str:
        text = text.strip()
        return text if text in self.names else self._known.get(fold(text), text)

    def _split(self, text: str) -> list[str]:
        """Split the names of several labels: a JSON list, one as pandas writes it, or between `;`, `|` and `,`."""
        if text.startswith("["):
            for read in (json.loads, ast.literal_eval):
                with suppress(ValueError, SyntaxError, RecursionError):
                    if isinstance(found := read(text), list):
                        return [str(each) for each in found if each is not None]
        edges = [(0, 0), *(match.span() for match in SEPARATORS.finditer(text)), (len(text), len(text))]
        named, first = [], 0
        while first < len(edges) - 1:
            # The longest run that is a label is one: its name may have a comma.
            runs = (
                (last, text[edges[first][1] : edges[last][0]].strip())
                for last in range(len(edges) - 1, first, -1)
            )
            last, name = next(
                ((last, run) for last, run in runs if self._name(run) in self.names),
                (first + 1, text[edges[first][1] : edges[first + 1][0]].strip()),
            )
            named += [name] if name else []
            first = last
        return named


class Agreement:
    """Counts the rows that have their right labels.

    Attributes:
        rows: Rows whose right labels are known.
        right: Those of them that have exactly these.
    """

    def __init__(self, reader: GoldReader) -> None:
        self._names = reader.names
        self._read = lru_cache(maxsize=4096)(reader.labels)
        self.rows = self.right = 0

    def add(self, rows: Iterable[tuple[Collection[str] | None, Any]]) -> None:
        """Count *rows*: the labels of each that count, None for none, and the cell with its right ones.

        A cell that cannot be understood has a label that the row has not.
        """
        for labels, cell in rows:
            try:
                right = self._read(tuple(cell) if isinstance(cell, list) else cell)
            except InputDataError:
                right = frozenset({"?"})
            if right is not None:
                self.rows += 1
                self.right += labels is not None and frozenset(labels) == right
