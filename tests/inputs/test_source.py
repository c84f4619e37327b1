"""Whether the files are still those of the survey."""

import os
import shutil

import pytest

from pipeline.errors import InputDataError
from pipeline.inputs.source import ensure_unchanged
from tests.inputs.samples import GOOD_CSV


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
    put("d/a.csv", GOOD_CSV)
    path = put("d/b.csv", GOOD_CSV)
    source = look(tmp_path / "d")
    ensure_unchanged(source)
    change(path)
    with pytest.raises(InputDataError) as caught:
        ensure_unchanged(source)
    assert [problem.split(":")[0] for problem in caught.value.problems] == [str(path)]
