"""The new columns of a row, from its prompt, its answer and what the answer means."""

from collections.abc import Mapping, Sequence
from itertools import repeat
from typing import Any

import pyarrow as pa

from pipeline.records import Answer, Outcome, Prompt, Status

KEY = "key"
"""The one column of a part that is not published: it finds a row's duplicates."""

SOURCE = "label_source"
MODEL, DUPLICATE, NONE = "model", "duplicate", "none"

BILLED = ("prompt_tokens", "cached_tokens", "completion_tokens", "cost_usd")
"""The columns that only the first row with its key has; they are 0 for the others."""

Answered = Mapping[bytes, tuple[Answer, Outcome]]


def part_schema(kind: str) -> pa.Schema:
    """Return the schema of a part: for *kind* `single` with `label`, for `multi` with `labels`."""
    label = pa.field("label", pa.string()) if kind == "single" else pa.field("labels", pa.list_(pa.string()))
    return pa.schema(
        [
            pa.field(KEY, pa.binary(16)),
            label,
            pa.field("label_status", pa.string()),
            pa.field("label_confidence", pa.float64()),
            pa.field("label_error", pa.string()),
            pa.field("label_truncated", pa.bool_()),
            pa.field("label_model", pa.string()),
            pa.field("label_run", pa.string()),
            pa.field("prompt_tokens", pa.int64()),
            pa.field("cached_tokens", pa.int64()),
            pa.field("completion_tokens", pa.int64()),
            pa.field("cost_usd", pa.float64()),
        ]
    )


def output_names(kind: str, prefix: str) -> list[str]:
    """Return the names of the published new columns, in order."""
    names = [name for name in part_schema(kind).names if name != KEY]
    names.insert(names.index("label_status") + 1, SOURCE)
    return [prefix + name for name in names]


def part_batch(kind: str, prompts: Sequence[Prompt | None], answered: Answered) -> pa.RecordBatch:
    """Return the part of a chunk: one row for each of *prompts*; None stands for a row without text."""
    schema = part_schema(kind)
    found = [_EMPTY if prompt is None else answered[prompt.key] for prompt in prompts]
    answers, outcomes = zip(*found, strict=True) if found else ((), ())
    told = _columns(Answer._fields, answers)
    meant = _columns(Outcome._fields, outcomes)
    labels = [
        each if status is Status.OK else None
        for each, status in zip(meant["labels"], meant["status"], strict=True)
    ]
    columns = {
        KEY: [prompt and prompt.key for prompt in prompts],
        "label": [each[0] if each else None for each in labels],
        "labels": labels,
        "label_status": meant["status"],
        "label_confidence": meant["confidence"],
        "label_error": meant["error"],
        "label_truncated": [prompt is not None and prompt.truncated for prompt in prompts],
        "label_model": told["model"],
        "label_run": told["run"],
        **{name: told[name] for name in BILLED},
    }
    arrays = [pa.array(columns[field.name], field.type) for field in schema]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _columns(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> dict[str, Sequence[Any]]:
    """Turn *rows* into columns with *names*."""
    return dict(zip(names, zip(*rows, strict=True) if rows else repeat(()), strict=False))


_NO_ANSWER = Answer(b"", None, None, None, None, None, None, 0, 0, 0, 0.0, None, None, 0, 0, 0.0)  # type: ignore[arg-type]
_EMPTY = (_NO_ANSWER, Outcome(Status.EMPTY, error="the row has no text"))


def failed_rows(part: pa.RecordBatch) -> int:
    """Return how many rows of a part have text and no labels."""
    statuses: list[str] = part.column("label_status").to_pylist()
    return len(statuses) - statuses.count(Status.OK.value) - statuses.count(Status.EMPTY.value)


def published(part: pa.RecordBatch, duplicates: pa.BooleanArray, prefix: str) -> dict[str, pa.Array]:
    """Return the new columns as they are published.

    Args:
        part: Rows of a part.
        duplicates: For each row, whether an earlier row of the input has the same key.
        prefix: Put before each name.
    """
    import pyarrow.compute as pc  # noqa: PLC0415 - 50 ms that only publishing needs

    columns: dict[str, pa.Array] = {}
    for field in part.schema:
        if field.name == KEY:
            continue
        values = part.column(field.name)
        if field.name in BILLED:
            values = pc.if_else(duplicates, pa.scalar(0, field.type), values)
        columns[prefix + field.name] = values
        if field.name == "label_status":
            asked = pc.if_else(duplicates, DUPLICATE, MODEL)
            columns[prefix + SOURCE] = pc.if_else(pc.is_null(part.column(KEY)), NONE, asked)
    return columns
