"""Which rows are new to a table: compared with what each key has in its latest batch, in buckets."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.outputs.delta import changes as module
from pipeline.outputs.delta.changes import Changes
from pipeline.outputs.delta.columns import compared, delta_schema

SCHEMA = pa.schema([("id", pa.int64()), ("word", pa.string()), ("batch", pa.int64())])
KEYS, WORDS = st.none() | st.integers(0, 5), st.none() | st.sampled_from(["", "a", "b"])
WANTED = st.lists(st.tuples(KEYS, WORDS), max_size=20)
THERE = st.lists(st.tuples(KEYS, WORDS, st.integers(1, 3)), max_size=30)

Row = tuple[object, ...]


def tables(rows: list[Row], width: int) -> Iterator[pa.Table]:
    """The *rows* as a few tables, in their order."""
    names = SCHEMA.names[:width]
    for start in range(0, len(rows), 7):
        some = rows[start : start + 7]
        columns = [pa.array([row[n] for row in some], SCHEMA.types[n]) for n in range(width)]
        yield pa.table(columns, names=names)


def new(wanted: list[Row], there: list[Row]) -> list[Row]:
    """Those of the *wanted* rows whose key does not have just them in its latest batch."""
    found = []
    for key in {row[0] for row in wanted}:
        latest = max((batch for other, _, batch in there if other == key), default=0)  # type: ignore[type-var]
        has = Counter(word for other, word, batch in there if (other, batch) == (key, latest))
        needs = Counter(word for other, word in wanted if other == key)
        found += [(key, word) for word in needs.elements()] if has != needs else []
    return found


def told(wanted: list[Row], there: list[Row]) -> tuple[list[Row], Changes]:
    with TemporaryDirectory() as folder:
        changes = Changes(Path(folder), len(wanted), ["id"], ["word"])
        for some in tables(wanted, 2):
            changes.add(some)
        for _ in range(2):  # as after a conflict
            changes.compare(tables(there, 3), "batch")
        bits = changes.among(0, len(wanted)).to_pylist() if wanted else []
        for row, bit in enumerate(bits):
            assert changes.among(row, 1).to_pylist() == [bit]
    return [row for row, is_new in zip(wanted, bits, strict=True) if is_new], changes


@pytest.mark.slow
@given(wanted=WANTED, there=THERE)
def test_rows_are_new_unless_their_key_has_just_these_in_its_latest_batch(
    wanted: list[Row], there: list[Row]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "ROWS_PER_BUCKET", 4)
        found, changes = told(wanted, there)
    assert Counter(found) == Counter(new(wanted, there))
    assert changes.new == len(found)
    assert changes.sharing == sum(count > 1 for count in Counter(row[0] for row in wanted).values())


def test_who_has_the_bill_for_a_text_is_no_change_and_who_paid_is() -> None:
    schema = delta_schema(pa.schema([("id", pa.int64())]), "single", "x_")
    names = compared(schema, ["id"], "x_")
    assert {"x_label", "x_label_status", "x_label_confidence", "x_label_run"} < set(names)
    assert not {"id", "x_label_source", "x_cost_usd", "x_prompt_tokens", "x_label_batch"} & set(names)
