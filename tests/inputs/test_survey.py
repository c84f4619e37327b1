"""Which files are read, in which order, and when they count as the same as before."""

import json
import os
import shutil

import pyarrow as pa
import pytest

from pipeline.errors import InputDataError
from pipeline.inputs.source import ensure_unchanged

TABLE = "id,text\n1,a\n2,b\n"


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
        put(f"d/{name}", TABLE.replace(",", "\t") if ".tsv" in name else TABLE)
    (tmp_path / "d" / "folder.csv").mkdir()
    source = look(tmp_path / "d")
    assert names(source) == ["D.CSV", "a.tsv", "b.csv", "c.csv.gz"]
    assert [file.first_row for file in source.files] == [0, 2, 4, 6]
    assert not source.single


def test_a_glob_names_files_from_its_fixed_folder_on(put, look, tmp_path):
    for name in ("x/1.csv", "y/1.csv", "y/2.csv", "y/2.txt"):
        put(f"d/{name}", TABLE)
    assert names(look(tmp_path / "d" / "*" / "1.csv")) == ["x/1.csv", "y/1.csv"]
    assert names(look(tmp_path / "d" / "**" / "*")) == ["x/1.csv", "y/1.csv", "y/2.csv"]
    assert names(look(tmp_path / "d" / "y" / "[12].*")) == ["1.csv", "2.csv"]


def test_a_file_whose_name_looks_like_a_glob_is_that_file(put, look):
    source = look(put("a[1]*.csv", TABLE))
    assert source.single
    assert names(source) == ["a[1]*.csv"]


def test_the_fingerprint_follows_the_bytes_and_not_the_name(put, look, tmp_path):
    path = put("a.csv", TABLE)
    first = look(path)
    path.rename(tmp_path / "b.csv")
    assert look(tmp_path / "b.csv").fingerprint == first.fingerprint
    (tmp_path / "b.csv").write_text(TABLE + "3,c\n")
    assert look(tmp_path / "b.csv").fingerprint != first.fingerprint


def test_the_fingerprint_follows_how_a_csv_is_read(put, look):
    path = put("a.csv", "text\n1\n")
    assert look(path, delimiter=";").fingerprint != look(path).fingerprint


def test_a_new_footer_is_a_new_fingerprint_at_the_same_size_and_time(put, look):
    path = put("a.parquet", pa.table({"text": ["a"]}))
    first, times = look(path), path.stat()
    path.write_bytes(put("b.parquet", pa.table({"text": ["b"]})).read_bytes())
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert path.stat().st_size == times.st_size
    assert look(path).fingerprint != first.fingerprint


def grown(path):
    with path.open("a") as file:
        file.write("3,c\n")


def cut(path):
    os.truncate(path, 9)


def replaced(path):
    shutil.copy2(path, path.with_name("copy"))
    path.with_name("copy").replace(path)


@pytest.mark.parametrize("change", [grown, cut, replaced, os.remove, os.utime])
def test_any_change_of_a_file_is_noticed(put, look, tmp_path, change):
    put("d/a.csv", TABLE)
    path = put("d/b.csv", TABLE)
    source = look(tmp_path / "d")
    ensure_unchanged(source)
    change(path)
    with pytest.raises(InputDataError) as caught:
        ensure_unchanged(source)
    assert [problem.split(":")[0] for problem in caught.value.problems] == [str(path)]


def test_a_remembered_csv_is_not_passed_over_again(put, look, tmp_path):
    path, cache = put("a.csv", TABLE), tmp_path / "state" / "survey.json"
    first = look(path, cache=cache)
    times = path.stat()
    # A byte that a pass would refuse, under the stamp of before: only a survey that reads the file can know.
    path.write_bytes(TABLE.replace("b", "\xff").encode("latin-1"))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert look(path, cache=cache) == first
    with pytest.raises(InputDataError, match="0xFF"):
        look(path)


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"settings": 1}', "null", "wrong"])
def test_a_damaged_memory_only_costs_the_pass(put, look, tmp_path, damage):
    path, cache = put("a.csv", TABLE), tmp_path / "survey.json"
    first = look(path, cache=cache)
    kept = cache.read_text()
    if damage == "wrong":
        kept = json.loads(kept)
        kept["files"][str(path)]["blocks"] = [[1]]
        damage = json.dumps(kept)
    cache.write_text(damage)
    assert look(path, cache=cache) == first


def test_a_memory_serves_only_the_settings_and_the_bytes_it_was_made_for(put, look, tmp_path):
    path, cache = put("a.csv", "text\n1;2\n"), tmp_path / "survey.json"
    assert look(path, cache=cache).schema.names == ["text"]
    with pytest.raises(InputDataError):
        look(path, cache=cache, delimiter=";")
    path.write_text("text\n1\n2\n")
    assert look(path, cache=cache).rows == 2
