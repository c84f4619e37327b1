"""The cache of surveyed CSV files: it saves a pass, and never changes a result."""

import json
import os

import pytest

from pipeline.errors import InputDataError
from tests.inputs.samples import GOOD_CSV


def test_a_cached_csv_is_not_read_again(put, look, tmp_path):
    path, cache = put("a.csv", GOOD_CSV), tmp_path / "state" / "survey.json"
    first = look(path, cache=cache)
    times = path.stat()
    # A byte that a pass would refuse, under the stamp of before: only a survey that reads the file can know.
    path.write_bytes(GOOD_CSV.replace("two", "tw\xff").encode("latin-1"))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert look(path, cache=cache) == first
    with pytest.raises(InputDataError, match="0xFF"):
        look(path)


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"a": 1}', "null", "wrong"])
def test_a_damaged_cache_only_costs_the_pass(put, look, tmp_path, damage):
    path, cache = put("a.csv", GOOD_CSV), tmp_path / "survey.json"
    first = look(path, cache=cache)
    kept = cache.read_text()
    if damage == "wrong":
        kept = json.loads(kept)
        for entry in kept.values():
            entry["blocks"] = [[1]]
        damage = json.dumps(kept)
    cache.write_text(damage)
    assert look(path, cache=cache) == first


def test_a_cache_serves_only_the_settings_and_the_bytes_it_was_made_for(put, look, tmp_path):
    path, cache = put("a.csv", "text\n1;2\n"), tmp_path / "survey.json"
    assert look(path, cache=cache).schema.names == ["text"]
    with pytest.raises(InputDataError):
        look(path, cache=cache, delimiter=";")
    path.write_text("text\n1\n2\n")
    assert look(path, cache=cache).rows == 2


def test_surveys_that_share_a_cache_forget_nothing_of_each_other(put, look, tmp_path):
    cache = tmp_path / "survey.json"
    first, second = put("a.csv", GOOD_CSV), put("b.csv", "id;text\n1;one\n")
    look(first, cache=cache)
    look(second, cache=cache, delimiter=";")
    kept = cache.read_bytes()
    look(first, cache=cache)
    look(second, cache=cache, delimiter=";")
    assert cache.read_bytes() == kept
    assert b"a.csv" in kept
    assert b"b.csv" in kept


def test_a_cache_does_not_grow_by_files_that_have_gone(put, look, tmp_path):
    cache = tmp_path / "survey.json"
    for day in range(4):
        path = put(f"{day}.csv", GOOD_CSV)
        look(path, cache=cache)
        path.unlink()
    assert [name for name in ("0.csv", "1.csv", "2.csv", "3.csv") if name in cache.read_text()] == ["3.csv"]
