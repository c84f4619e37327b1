"""What a folder stands for: hidden files, Hive folders, empty parts, and tables whose folders hold more than their rows."""

from itertools import product

import pyarrow as pa
import pytest

from pipeline.errors import InputDataError, NoInputError
from tests.inputs.conftest import texts
from tests.inputs.samples import GOOD_CSV, GOOD_PARQUET

ROW = pa.table({"text": ["a"]})


def names(source):
    return [file.name for file in source.files]


def test_nothing_in_a_hidden_folder_is_a_row(put, look, tmp_path):
    for name in (
        "x/a.csv",
        "y/a.csv",
        "_temporary/0/a.csv",
        ".b/a.csv",
        "y/_c/a.csv",
        "y/.a.csv",
        "y/_a.csv",
    ):
        put(f"d/{name}", GOOD_CSV)
    put("d/x/_SUCCESS", "")
    put("d/x/.a.csv.crc", "crc")
    assert names(look(tmp_path / "d" / "**" / "*")) == ["x/a.csv", "y/a.csv"]


def test_what_is_named_or_lies_above_is_not_hidden(put, look, tmp_path):
    put("_d/x/_new/a.csv", GOOD_CSV)
    assert names(look(tmp_path / "_d" / "*" / "_new" / "*.csv")) == ["x/_new/a.csv"]
    assert names(look(tmp_path / "_d" / "x" / "_new")) == ["a.csv"]


def test_hive_folders_are_columns_at_any_depth(put, look, tmp_path):
    for year, country in product(("2023", "2024"), ("D%20E", "%2F%", "__HIVE_DEFAULT_PARTITION__")):
        put(f"d/_year={year}/country={country}/part-0.parquet", ROW)
    put("d/_year=2023/deeper/part-0.parquet", ROW)
    source = look(tmp_path / "d", "text", "_year", "country")
    assert source.schema.names == ["text", "_year", "country"]
    assert source.stored == ["text"]
    assert texts(source, ["country", "_year"]) == {
        "country": ["/%", "D E", None] * 2,
        "_year": ["2023"] * 3 + ["2024"] * 3,
    }


def test_a_partition_alone_is_text_enough(put, look, tmp_path):
    put("d/year=2024/a.parquet", pa.table({"text": ["a", "b"]}))
    assert texts(look(tmp_path / "d", "year"), ["year"]) == {"year": ["2024", "2024"]}


def test_a_column_that_is_in_the_file_too_is_read_there(put, look, tmp_path):
    put("d/year=2024/a.parquet", pa.table({"year": [24], "text": ["a"]}))
    source = look(tmp_path / "d", "year")
    assert source.stored == ["year", "text"]
    assert texts(source, ["year"]) == {"year": ["24"]}


def test_another_value_in_the_path_is_another_input(put, look, tmp_path):
    put("d/year=2023/a.parquet", ROW)
    first = look(tmp_path / "d").fingerprint
    (tmp_path / "d" / "year=2023").rename(tmp_path / "d" / "year=2024")
    assert look(tmp_path / "d").fingerprint != first


@pytest.mark.parametrize("other", ["a.parquet", "month=1/a.parquet"])
def test_a_file_without_the_columns_of_the_paths_is_refused(put, look, tmp_path, other):
    put("d/year=2023/b.parquet", ROW)
    put(f"d/{other}", ROW)
    with pytest.raises(InputDataError, match=r"(has no|has a) column 'year'"):
        look(tmp_path / "d")


def test_parquet_without_a_suffix_is_told_by_its_first_bytes(put, look, tmp_path):
    put("d/part-00000", GOOD_PARQUET)
    put("d/000001_0", GOOD_PARQUET)
    put("d/README", "about this table")
    assert names(look(tmp_path / "d")) == ["000001_0", "part-00000"]
    assert look(tmp_path / "d" / "part-00000").single


@pytest.mark.parametrize(
    ("name", "words"), [("sub/a.csv", r"\*\*"), ("part-00000", "part-00000 has no suffix")]
)
def test_a_folder_without_tables_says_where_they_may_be(put, look, tmp_path, name, words):
    put(f"d/{name}", GOOD_CSV)
    with pytest.raises(NoInputError, match=words):
        look(tmp_path / "d")


def test_a_part_without_rows_is_no_fault_of_a_folder(put, look, tmp_path):
    for name, content in (("a.csv", b""), ("b.csv", "id,text\n"), ("c.csv", GOOD_CSV)):
        put(f"d/{name}", content)
    source = look(tmp_path / "d")
    assert [(file.name, file.rows) for file in source.files] == [("a.csv", 0), ("b.csv", 0), ("c.csv", 2)]


@pytest.mark.parametrize("name", ["a.csv", "a.parquet"])
def test_an_empty_file_is_refused_where_no_other_has_rows_or_it_was_to_have_a_footer(
    put, look, tmp_path, name
):
    put(f"d/{name}", b"")
    if name == "a.parquet":
        put("d/b.parquet", ROW)
    with pytest.raises(InputDataError, match=r"is empty \(0 bytes\)"):
        look(tmp_path / "d")


MANAGED = {
    "a Delta table": ("_delta_log/00000000000000000000.json", "delta_scan("),
    "an Iceberg table": ("metadata/00001-5f8b.metadata.json", "iceberg_scan("),
    "an Iceberg table of Hadoop": ("metadata/v1.gz.metadata.json", "iceberg_scan("),
    "a Hudi table": (".hoodie/hoodie.properties", "Spark"),
}
WAYS = (
    "",
    "data",
    "data/a=1",
    "data/a=1/part-0.parquet",
    "data/*/*.parquet",
    "../*/data/a=1/*",
    "**/*.parquet",
)


@pytest.mark.parametrize(
    ("kind", "way"),
    # The folder of a Delta table itself stands for its live rows.
    [each for each in product(MANAGED, WAYS) if each != ("a Delta table", "")],
)
def test_a_table_that_keeps_deleted_rows_is_refused_from_wherever_it_is_reached(
    put, look, tmp_path, kind, way
):
    mark, remedy = MANAGED[kind]
    put("lake/t/data/a=1/part-0.parquet", ROW)
    assert look(tmp_path / "lake/t/data").rows == 1
    put(f"lake/t/{mark}", "{}")
    with pytest.raises(InputDataError) as caught:
        look(f"{tmp_path}/lake/t/{way}")
    (problem,) = caught.value.problems
    assert f"lake/t: is {' '.join(kind.split()[:3])}" in problem
    assert remedy in problem


def test_a_link_into_such_a_table_leads_there_too(put, look, tmp_path):
    put("t/a=1/part-0.parquet", ROW)
    put("t/_delta_log/0.json", "{}")
    (tmp_path / "link").symlink_to(tmp_path / "t" / "a=1")
    with pytest.raises(InputDataError, match="Delta"):
        look(tmp_path / "link")


def test_files_beside_a_folder_of_metadata_are_plain_tables(put, look, tmp_path):
    put("t/data/a.parquet", ROW)
    put("t/metadata/dataset.metadata.json", "{}")
    assert look(tmp_path / "t" / "data").rows == 1
