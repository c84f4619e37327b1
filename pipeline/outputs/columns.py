"""The new columns of the output, built from prompts, answers and outcomes."""

from collections import Counter
from collections.abc import Mapping
from functools import cache
from itertools import chain, repeat
from types import MappingProxyType
from typing import Any

import pyarrow as pa

from pipeline.records import (
    KEY_BYTES,
    LABELLED,
    NOT_FAILED,
    Answer,
    Answers,
    Outcome,
    Outcomes,
    Prompts,
    Status,
    columns_by_name,
    columns_of,
)

KEY = "key"
"""The prompt's key: the only column of a part that is not published, since it only serves to find duplicates."""

SOURCE = "label_source"
MODEL, DUPLICATE, NONE, STUDENT, CARRIED, ESCALATED = "model", "duplicate", "none", "student", "carried", "escalated"  # fmt: skip
CHANGED, SAME, MENDED = "escalated: another label", "escalated: the same label", "escalated: a label at last"
LOST, STANDS = "escalated: no label", "model: none of the second model"
"""Sources of rows that were put to a second model, as parts have them. What stands after the colon is counted, and not published."""

ASKED = (MODEL, ESCALATED)  # as they are published

BILLED = ("prompt_tokens", "cached_tokens", "completion_tokens", "cost_usd")
"""Columns that are billed to the first row with a key; its duplicates have 0."""

COPIED = ("run", *BILLED, "model")
"""Answer fields that are copied to the output unchanged."""


class Answered:
    """The answers to a chunk's prompts and their outcomes, stored as columns because they are written as columns.

    Attributes:
        sources: Whose the answers to some keys are, where it is not the model.
    """

    def __init__(self) -> None:
        self._batches: list[tuple[Answers, Outcomes]] = []
        self._singles: list[tuple[Answer, Outcome]] = []
        self.sources: dict[bytes, str] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, answer: Answer, outcome: Outcome, source: str | None = None) -> None:
        """Add one answer; *source* says whose it is if it is not the model's."""
        if source is not None:
            self.sources[answer.key] = source
        self._singles.append((answer, outcome))
        self._count += 1

    def add_all(self, answers: Answers, outcomes: Outcomes, source: str | None = None) -> None:
        """Add a batch of answers; *source* says whose they are if they are not the model's."""
        if source is not None:
            self.sources.update(zip(answers, repeat(source)))
        self._batches.append((answers, outcomes))
        self._count += len(answers)

    @property
    def batches(self) -> list[tuple[Answers, Outcomes]]:
        """The answers with what they mean, as batches."""
        answers, outcomes = columns_of(2, self._singles)
        return [*self._batches, (Answers.of(answers), columns_by_name(Outcome._fields, outcomes))]

    def statuses(self) -> dict[bytes, Status]:
        """Return what each answer means, by its key."""
        found = {answer.key: outcome.status for answer, outcome in self._singles}
        for answers, outcomes in self._batches:
            found.update(zip(answers, outcomes["status"], strict=True))
        return found

    def columns(self) -> dict[str, list[Any]]:
        """Return the values of `KEY`, of `SOURCE`, of each name in `COPIED` and of each field of `Outcome`, by name."""
        # Answers and outcomes both have `status` and `error`; those of the outcome are the row's.
        batches = [{**known.columns, **meant} for known, meant in self.batches]
        names = (KEY, *COPIED, *Outcome._fields)
        found = {name: list(chain.from_iterable(batch[name] for batch in batches)) for name in names}
        found[SOURCE] = list(map(self.sources.get, found[KEY])) if self.sources else []
        return found


@cache
def part_schema(kind: str) -> pa.Schema:
    """Return the schema of a part; *kind* `single` has `label`, a string, and `multi` has `labels`, a list."""
    label = pa.field("label", pa.string()) if kind == "single" else pa.field("labels", pa.list_(pa.string()))
    return pa.schema(
        [
            pa.field(KEY, pa.binary(KEY_BYTES)),
            label,
            pa.field("label_status", pa.string()),
            pa.field(SOURCE, pa.string()),
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
    """Return the names of the new columns, in the order in which they are published."""
    return [field.name for field in _new_fields(kind, prefix)]


@cache
def _new_fields(kind: str, prefix: str) -> list[pa.Field]:
    """Return the new columns; the thousands of files of a folder have the same."""
    return [field.with_name(prefix + field.name) for field in part_schema(kind) if field.name != KEY]


def output_schema(
    kept: pa.Schema, kind: str, prefix: str, metadata: Mapping[bytes, bytes] = MappingProxyType({})
) -> pa.Schema:
    """Return the schema of an output file: the columns *kept* of the input, then the new ones."""
    new = _new_fields(kind, prefix)
    names = {field.name for field in new}
    fields = [*(field for field in kept if field.name not in names), *new]
    return pa.schema(fields, {**(kept.metadata or {}), **metadata})


def part_batch(kind: str, prompts: Prompts, answered: Answered) -> pa.RecordBatch:
    """Return the part of a chunk: one row for each of *prompts*, including rows without text."""
    schema = part_schema(kind)
    found = answered.columns()
    for row in (_PENDING, _EMPTY):
        for name, value in row.items():
            found[name].append(value)
    labels = [
        each if status in LABELLED else None
        for each, status in zip(found["labels"], found["status"], strict=True)
    ]
    # Null where the model has answered, which is everywhere as a rule.
    sources = [*found[SOURCE], None, None] if found[SOURCE] else [None] * len(labels)
    columns = {
        "label": [each[0] if each else None for each in labels],
        "labels": labels,
        "label_status": found["status"],
        SOURCE: sources,
        "label_confidence": found["confidence"],
        "label_error": found["error"],
        "label_model": found["model"],
        "label_run": found["run"],
        **{name: found[name] for name in BILLED},
    }
    positions = _Positions({key: position for position, key in enumerate(found[KEY])})
    rows = pa.array(map(positions.__getitem__, prompts.keys), pa.int32(), size=len(prompts))
    keys = prompts.keys
    if positions.missed:  # rows that are pending are no duplicates of anything
        keys = [key if key in positions else None for key in keys]
    by_row = {KEY: keys, "label_truncated": prompts.truncated}
    arrays = [
        pa.array(by_row[field.name], field.type)
        if field.name in by_row
        else pa.array(columns[field.name], field.type).take(rows)
        for field in schema
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


class _Positions(dict[bytes | None, int]):
    """Where the answer to each key is; for a key without one that of `_PENDING`, which costs the others nothing."""

    missed = False

    def __missing__(self, key: bytes | None) -> int:
        self.missed = True
        return self[_PENDING[KEY]]


_EMPTY: dict[str, Any] = {
    KEY: None, "run": None, "model": None, "prompt_tokens": 0, "cached_tokens": 0, "completion_tokens": 0,
    "cost_usd": 0.0, "status": Status.EMPTY, "labels": (), "confidence": None, "error": "the row has no text",
}  # fmt: skip

_PENDING = {**_EMPTY, KEY: b"", "status": Status.PENDING, "error": "the row has no answer yet"}


@cache
def skipped_row(schema: pa.Schema) -> pa.RecordBatch:
    """Return the row of a part, whose *schema* is given, for a row that `input.where` excludes."""
    row = {
        **dict.fromkeys(BILLED, 0),
        "label_status": Status.SKIPPED.value,
        "label_error": "the row does not match input.where",
        "label_truncated": False,
    }
    return pa.RecordBatch.from_pylist([row], schema=schema)


def failed_rows(part: pa.RecordBatch) -> int:
    """Count the rows of a part that have text but no labels."""
    counts = Counter(part.column("label_status").to_pylist())
    return sum(count for status, count in counts.items() if status not in NOT_FAILED)


def pending_rows(part: pa.RecordBatch) -> int:
    """Count the rows of a part that wait for their answer."""
    return Counter(part.column("label_status").to_pylist())[Status.PENDING]


def published(part: pa.RecordBatch, duplicates: pa.BooleanArray) -> pa.RecordBatch:
    """Return the new columns as they are published, but for the prefix of their names.

    Args:
        part: Rows of a part.
        duplicates: One boolean for each row: whether an earlier row of the input has the same key.
    """
    import pyarrow.compute as pc  # noqa: PLC0415 - slow to import, and `check` does not need it

    columns: dict[str, pa.Array] = {}
    for field in part.schema:
        if field.name == KEY:
            continue
        values = part.column(field.name)
        if field.name in BILLED:
            values = pc.if_else(duplicates, pa.scalar(0, field.type), values)
        elif field.name == SOURCE:
            who = _word(MODEL)
            if values.null_count < len(values):
                who = pc.list_element(pc.split_pattern(pc.fill_null(values, who), ":"), 0)
            asked = pc.if_else(duplicates, _word(DUPLICATE), who)
            values = pc.if_else(pc.is_null(part.column(KEY)), _word(NONE), asked)
        columns[field.name] = values
    return pa.RecordBatch.from_pydict(columns)


@cache
def _word(word: str) -> pa.StringScalar:
    """Return *word* as pyarrow has it, which takes a third of a millisecond to find the type of a bare value."""
    return pa.scalar(word, pa.string())
