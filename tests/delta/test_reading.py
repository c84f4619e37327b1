"""A Delta table as input: the live rows of one version, as the table has them."""

from collections.abc import Callable
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from deltalake import DeltaTable

from pipeline.config import InputSettings
from pipeline.errors import ConfigError, InputDataError, NoInputError
from pipeline.inputs.delta import snapshot
from pipeline.inputs.read import read_batches, read_chunks
from pipeline.inputs.source import GoneError, Source, all_spans
from pipeline.inputs.survey import survey
from pipeline.inputs.where.matching import matching_rows
from tests.delta.tables import (
    commit,
    delete_by_vector,
    last,
    rename_column,
    table,
    with_features,
    written,
)

TEN = [f"text {n}" for n in range(10)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "a table"  # its URI is written otherwise


def look(folder: Path, version: int | None = None, used: tuple[str, ...] = ("text",)) -> Source:
    return survey(InputSettings(path=str(folder), version=version), used, copies=folder.parent / "copies")


def rows(source: Source) -> list[dict[str, object]]:
    batches = [batch for file in source.files for batch in read_batches(source, file)]
    return pa.Table.from_batches(batches, source.schema).sort_by("id").to_pylist()


def ids(source: Source) -> list[object]:
    return [row["id"] for row in rows(source)]


def cells(source: Source, *names: str) -> list[list[str | None]]:
    chunks = list(read_chunks(source, names, all_spans(source)))
    return [[cell for chunk in chunks for cell in chunk.columns[name]] for name in names]


def test_rows_that_were_deleted_or_replaced_are_not_read(folder: Path) -> None:
    made = written(folder, table(TEN), partition_by="half")
    made.delete("id = 3")
    made.update({"text": "'new'"}, predicate="id = 4")
    assert len(list(folder.rglob("*.parquet"))) == 4
    found = look(folder)
    assert (found.rows, found.version) == (9, 2)
    assert rows(found) == [
        {"id": n, "text": "new" if n == 4 else f"text {n}", "half": n % 2} for n in range(10) if n != 3
    ]


def test_a_version_is_read_as_it_was(folder: Path) -> None:
    made = written(folder, table(TEN))
    made.delete("id < 5")
    assert ids(look(folder, 0)) == list(range(10))
    assert ids(look(folder)) == ids(look(folder, 1)) == [5, 6, 7, 8, 9]


def test_partition_columns_have_their_type_and_place(folder: Path) -> None:
    days = pa.table({"day": pa.array([19000, None], pa.date32()), "text": ["a", "b"], "id": [1, 2]})
    written(folder, days, partition_by=["day"])
    found = look(folder, used=("day", "text"))
    assert found.schema.types == [pa.date32(), pa.string(), pa.int64()]
    assert sorted(zip(*cells(found, "day", "text"), strict=True), key=str) == [
        ("2022-01-08", "a"),
        (None, "b"),
    ]


def test_files_of_two_partitions_may_have_one_name(folder: Path) -> None:
    written(folder, table(TEN), partition_by="half")
    assert len({file.name for file in look(folder).files}) == 2
    assert not [file.name for file in look(folder).files if "/" in file.name]


@pytest.mark.parametrize("deleted", [[0], [9], [0, 1, 2, 7], list(range(10))])
@pytest.mark.parametrize("group", [3, 100])
def test_rows_that_a_deletion_vector_names_are_not_read(folder: Path, deleted: list[int], group: int) -> None:
    from deltalake import WriterProperties  # noqa: PLC0415 - for this test

    properties = WriterProperties(max_row_group_size=group)
    written(folder, table(TEN), writer_properties=properties)
    before = look(folder).fingerprint
    delete_by_vector(folder, deleted)
    found = look(folder)
    kept = [n for n in range(10) if n not in deleted]
    assert found.fingerprint != before
    assert found.rows == len(kept)
    assert ids(found) == kept
    assert cells(found, "text") == [[f"text {n}" for n in kept]]
    assert len(DeltaTable(folder).file_uris()) == 1


def test_a_deletion_vector_and_a_condition_go_together(folder: Path) -> None:
    written(folder, table(TEN))
    delete_by_vector(folder, [2, 5])
    whole = look(folder)
    found = matching_rows(whole, "id > 1 AND half = 0", folder.parent / "kept.json", folder.parent)
    assert found.rows == 3
    assert cells(found, "text") == [["text 4", "text 6", "text 8"]]


def test_a_table_that_is_reached_through_a_link_keeps_its_deleted_rows_deleted(folder: Path) -> None:
    written(folder, table(TEN))
    delete_by_vector(folder, [2, 5])
    link = folder.with_name("link")
    link.symlink_to(folder)
    assert look(link).rows == 8


def test_deleted_rows_of_a_file_that_is_not_there_are_an_error_and_not_ignored(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(folder, table(TEN))
    monkeypatch.setattr(snapshot, "_deleted", lambda _: {"another.parquet": [0]})
    with pytest.raises(InputDataError, match="deleted rows of files that it does not have"):
        look(folder)


def test_a_renamed_column_has_its_new_name_and_its_old_values(folder: Path) -> None:
    nested = pa.array(
        [[{"a": 1, "b": "x"}], [], None], pa.list_(pa.struct([("a", "int64"), ("b", "string")]))
    )
    written(folder, pa.table({"id": [1, 2, 3], "body": ["a", "b", "c"], "more": nested}))
    rename_column(folder, "body", "text")
    assert rows(look(folder)) == [
        {"id": 1, "text": "a", "more": [{"a": 1, "b": "x"}]},
        {"id": 2, "text": "b", "more": []},
        {"id": 3, "text": "c", "more": None},
    ]


@pytest.mark.parametrize("wrap", [lambda kind: kind, pa.list_, lambda kind: pa.map_(pa.string(), kind)])
def test_a_renamed_field_inside_a_column_has_its_new_name_and_its_old_values(
    folder: Path, wrap: Callable[[pa.DataType], pa.DataType]
) -> None:
    kind = wrap(pa.struct([("a", pa.int64()), ("b", pa.string())]))
    some = {"a": 1, "b": "x"}
    value = [some] if pa.types.is_list(kind) else {"k": some} if pa.types.is_map(kind) else some
    more = pa.array([value, None], kind)
    written(folder, pa.table({"id": [1, 2], "text": ["a", "b"], "more": more}))
    rename_column(folder, "b", "c")
    assert str([row["more"] for row in rows(look(folder))]) == str(more.to_pylist()).replace("'b'", "'c'")


def test_a_column_that_came_later_is_null_in_older_files(folder: Path) -> None:
    written(folder, table(TEN[:2]))
    later = table(["new"], start=2).append_column("more", pa.array(["m"]))
    written(folder, later, mode="append", schema_mode="merge")
    found = look(folder, used=("text", "more"))
    assert [row["more"] for row in rows(found)] == [None, None, "m"]
    assert sorted(cells(found, "more")[0], key=str) == [None, None, "m"]


@pytest.mark.parametrize("feature", ["variantType", "somethingNew"])
def test_a_table_with_a_feature_that_could_be_misread_is_refused(folder: Path, feature: str) -> None:
    written(folder, table(TEN))
    commit(folder, with_features(feature))
    with pytest.raises(InputDataError, match=f"(?s)a table.*{feature}.*;"):
        look(folder)


def test_columns_that_are_mapped_by_id_are_refused(folder: Path) -> None:
    written(folder, table(TEN))
    rename_column(folder, "text", "text")
    metadata = last(folder, "metaData")[-1]
    mode = {**metadata["configuration"], "delta.columnMapping.mode": "id"}
    commit(folder, {"metaData": {**metadata, "configuration": mode}})
    with pytest.raises(InputDataError, match="by id"):
        look(folder)


def test_a_version_that_is_not_there_and_one_of_no_table_are_errors(folder: Path) -> None:
    written(folder, table(TEN))
    with pytest.raises(InputDataError, match="no version 7 any more or yet; its newest is 0"):
        look(folder, 7)
    plain = folder.with_suffix(".parquet")
    pa.parquet.write_table(table(TEN), plain)
    with pytest.raises(ConfigError, match=r"input\.version: .* is no Delta table"):
        look(plain, 7)


def test_a_table_without_rows_and_a_log_that_is_none_are_errors(folder: Path) -> None:
    written(folder, table([]))
    with pytest.raises(NoInputError, match="without rows"):
        look(folder)
    other = folder.with_name("other")
    (other / "_delta_log").mkdir(parents=True)
    (other / "_delta_log" / f"{0:020}.json").write_text("{}")
    with pytest.raises(InputDataError, match="Delta table that cannot be read"):
        look(other)


def test_a_file_that_vacuum_took_is_named_with_the_version_that_needs_it(folder: Path) -> None:
    made = written(folder, table(TEN))
    made.delete("id = 3")
    made.vacuum(0, dry_run=False, enforce_retention_duration=False)
    assert look(folder).rows == 9
    with pytest.raises(GoneError, match="version 0 of its Delta table"):
        look(folder, 0)


def test_duckdb_reads_the_same_bytes_of_a_live_file(folder: Path) -> None:
    written(folder, table(TEN))
    (file,) = look(folder).files
    assert duckdb.sql(f"SELECT count(*) FROM '{file.path}'").fetchall() == [(10,)]
