"""How many rows have their right label, where it is known."""

import json
import re

import pyarrow as pa

_BETWEEN = re.compile(r"\s*[;|,]\s*")
"""What may stand between the labels of one cell."""


def right_labels(cell: object) -> frozenset[str] | None:
    """Return the right labels in a cell: a list, a JSON list, or names with `;`, `|` or `,` between them.

    None if nothing is known: the cell is null or blank.
    """
    if cell is None or (isinstance(cell, str) and not cell.strip()):
        return None
    if isinstance(cell, str):
        text = cell.strip()
        if text.startswith("["):
            try:
                return right_labels(json.loads(text))
            except ValueError:
                pass
        return frozenset(filter(None, _BETWEEN.split(text)))
    if isinstance(cell, list | tuple):
        return frozenset(str(name).strip() for name in cell)
    return frozenset({str(cell)})


def count_right(labels: pa.ChunkedArray, gold: pa.ChunkedArray, counts: pa.ChunkedArray) -> tuple[int, int]:
    """Return how many rows are right, and of how many rows it is known.

    Args:
        labels: The label of each row, or its list of labels; null where there is none that counts.
        gold: The right ones, as `right_labels` takes them; of single labels, their text.
        counts: Whether each row counts.
    """
    import pyarrow.compute as pc  # noqa: PLC0415 - slow to import

    if pa.types.is_list(labels.type):
        found = zip(labels.to_pylist(), gold.to_pylist(), counts.to_pylist(), strict=True)
        judged = [(has, right_labels(cell)) for has, cell, row_counts in found if row_counts]
        right_or_not = [
            has is not None and set(has) == set(right) for has, right in judged if right is not None
        ]
        return sum(right_or_not), len(right_or_not)
    text = pc.utf8_trim_whitespace(gold.cast(pa.string()))
    known = pc.and_(counts, pc.fill_null(pc.not_equal(text, ""), fill_value=False))
    right = pc.and_(known, pc.fill_null(pc.equal(text, labels), fill_value=False))
    return pc.sum(right).as_py() or 0, pc.sum(known).as_py() or 0
