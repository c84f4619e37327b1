"""Which files are read, in which order, and which are refused for not being what their names say."""

import gzip

import pyarrow as pa
import pytest

from pipeline.errors import InputDataError, NoInputError
from tests.inputs.samples import GOOD_CSV, GOOD_PARQUET


def names(source):
    return [file.name for file in source.files]


def test_a_folder_stands_for_its_own_visible_tables_in_order(put, look, tmp_path):
    for name in (
        "b.csv",
        "a.tsv",
        "c.csv.gz",
        "D.CSV",
        ".hidden.csv",
        "._b.csv",
        "_SUCCESS",
        "readme.txt",
        "sub/e.csv",
    ):
        put(f"d/{name}", GOOD_CSV.replace(",", "\t") if ".tsv" in name else GOOD_CSV)
    (tmp_path / "d" / "folder.csv").mkdir()
    source = look(tmp_path / "d")
    assert names(source) == ["D.CSV", "a.tsv", "b.csv", "c.csv.gz"]
    assert [file.first_row for file in source.files] == [0, 2, 4, 6]
    assert not source.single


def test_a_glob_names_files_from_its_fixed_folder_on(put, look, tmp_path):
    for name in ("x/1.csv", "y/1.csv", "y/2.csv", "y/2.txt"):
        put(f"d/{name}", GOOD_CSV)
    assert names(look(tmp_path / "d" / "*" / "1.csv")) == ["x/1.csv", "y/1.csv"]
    assert names(look(tmp_path / "d" / "**" / "*")) == ["x/1.csv", "y/1.csv", "y/2.csv"]
    assert names(look(tmp_path / "d" / "y" / "[12].*")) == ["1.csv", "2.csv"]


def test_a_file_whose_name_looks_like_a_glob_is_that_file(put, look):
    source = look(put("a[1]*.csv", GOOD_CSV))
    assert source.single
    assert names(source) == ["a[1]*.csv"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("absent.csv", "no such file"),
        ("absent/*.csv", "holds no"),
        (".", "holds no"),
    ],
)
def test_nothing_to_read_is_no_input(tmp_path, look, name, words):
    with pytest.raises(NoInputError, match=words):
        look(name if "://" in name else tmp_path / name)


def test_a_folder_that_mixes_formats_is_refused(put, look, tmp_path):
    put("d/a.parquet", pa.table({"text": ["a"]}))
    put("d/b.csv", GOOD_CSV)
    with pytest.raises(InputDataError, match=r"mixes formats: b.csv \(csv\), a.parquet \(parquet\)"):
        look(tmp_path / "d")


IMPOSTORS = {
    "nothing": ("a.csv", b"", ["empty (0 bytes)"]),
    "nothing, Parquet": ("a.parquet", b"", ["empty (0 bytes)"]),
    "CSV named .parquet": ("a.parquet", GOOD_CSV, ["is text, not Parquet", "name it .csv"]),
    "gzip named .csv": ("a.csv", gzip.compress(GOOD_CSV.encode()), ["is gzip, not text", ".csv.gz"]),
    "gzip named .parquet": ("a.parquet", gzip.compress(b"x"), ["is gzip, not Parquet"]),
    "Parquet named .csv": ("a.csv", GOOD_PARQUET, ["is Parquet, not text", "name it .parquet"]),
    "a workbook named .csv": ("a.csv", b"PK\x03\x04rest", ["Excel"]),
    "an encrypted footer": ("a.parquet", b"PARE" + GOOD_PARQUET[4:-4] + b"PARE", ["encrypted", "decrypt"]),
    "another suffix": ("a.json", "{}", ["suffix", ".parquet"]),
}  # fmt: skip


@pytest.mark.parametrize("case", IMPOSTORS)
def test_a_file_that_is_not_what_its_name_says_is_refused(put, refused, case):
    name, content, words = IMPOSTORS[case]
    refused(put(name, content() if callable(content) else content), *words)
