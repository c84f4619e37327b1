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


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"settings": 1}', "null", "wrong"])
def test_a_damaged_cache_only_costs_the_pass(put, look, tmp_path, damage):
    path, cache = put("a.csv", GOOD_CSV), tmp_path / "survey.json"
    first = look(path, cache=cache)
    kept = cache.read_text()
    if damage == "wrong":
        kept = json.loads(kept)
        kept["files"][str(path)]["blocks"] = [[1]]
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
