"""Parts: a cache whose files are either correct to the bit or removed."""

from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.outputs.columns import part_schema
from pipeline.outputs.parts import DamagedPartError, Parts, gaps, is_sealed, seal
from pipeline.records import Span
from tests.answers import part

FIRST, SECOND = Span(0, 100), Span(100, 150)


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    parts = Parts(tmp_path, "run-1", part_schema("single"))
    parts.write(FIRST, part(range(100)))
    parts.write(SECOND, part(range(100, 150)))
    return parts


def file_of(parts: Parts, number: int) -> Path:
    return sorted(parts.folder.iterdir())[number]


@pytest.mark.parametrize("kind", ["single", "multi"])
def test_a_part_is_read_as_it_was_written(tmp_path: Path, kind: str) -> None:
    parts = Parts(tmp_path, "run-1", part_schema(kind))
    batch = part([1, None, 1, 2], kind)
    parts.write(Span(0, 4), batch)
    assert parts.read(Span(0, 4)).equals(batch)


def test_a_part_is_an_arrow_file_that_only_its_owner_may_read(parts: Parts) -> None:
    assert pa.ipc.open_file(file_of(parts, 0)).read_all().num_rows == 100
    assert file_of(parts, 0).stat().st_mode & 0o777 == 0o600


def test_the_spans_of_all_parts_are_found_in_row_order(parts: Parts) -> None:
    assert parts.spans(150) == [FIRST, SECOND]


def test_a_flip_of_any_byte_of_a_part_is_noticed(parts: Parts) -> None:
    path = file_of(parts, 0)
    good = path.read_bytes()
    for position in range(len(good)):
        bad = bytearray(good)
        bad[position] ^= 1 << position % 8
        assert not is_sealed(bytes(bad)), position
    assert is_sealed(good)


@pytest.mark.parametrize("damage", ["flip", "cut", "zeros", "empty", "gone"])
def test_a_damaged_part_is_reported_removed_and_counts_as_not_done(parts: Parts, damage: str) -> None:
    path = file_of(parts, 0)
    good = path.read_bytes()
    bad = {
        "flip": good[:50] + bytes([good[50] ^ 4]) + good[51:],
        "cut": good[:-100],
        "zeros": good[:-100] + bytes(100),
        "empty": b"",
    }
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(bad[damage])
    with pytest.raises(DamagedPartError):
        parts.read(FIRST)
    assert not path.exists()
    assert parts.spans(150) == [SECOND]


def test_the_spans_omit_a_damaged_part_before_it_is_read(parts: Parts) -> None:
    path = file_of(parts, 1)
    path.write_bytes(path.read_bytes().replace(b"label_run", b"label_ran", 1))
    assert parts.spans(150) == [FIRST]
    assert not path.exists()


def test_files_that_are_no_part_of_this_run_are_removed(parts: Parts) -> None:
    other = Parts(parts.folder, "run-2", part_schema("single"))
    other.write(SECOND, part(range(100, 150)))
    (parts.folder / ".r000000000000000-000000000000100.arrow.123.tmp").write_bytes(b"left by a kill")
    assert parts.spans(150) == [FIRST]
    assert len(list(parts.folder.iterdir())) == 1


def test_parts_that_do_not_fit_the_input_are_removed(parts: Parts) -> None:
    assert parts.spans(120) == [FIRST]


def test_of_two_parts_that_overlap_one_is_kept(parts: Parts) -> None:
    parts.write(Span(50, 120), part(range(70)))
    assert parts.spans(150) == [FIRST, SECOND]


def test_a_part_whose_rows_are_not_those_of_its_name_is_removed(parts: Parts) -> None:
    file_of(parts, 1).rename(parts.folder / "r000000000000100-000000000000149.arrow")
    assert parts.spans(150) == [FIRST]


def test_redoing_a_chunk_overwrites_its_part(parts: Parts) -> None:
    parts.write(FIRST, part(range(200, 300)))
    assert parts.read(FIRST).equals(part(range(200, 300)))


def test_removing_leaves_an_empty_folder(parts: Parts) -> None:
    parts.remove()
    assert list(parts.folder.iterdir()) == []


def test_the_seal_is_found_although_a_row_holds_the_same_text(tmp_path: Path) -> None:
    parts = Parts(tmp_path, "run-1", part_schema("single"))
    batch = part([1]).set_column(5, "label_error", pa.array(["crc32:00000000"]))
    parts.write(Span(0, 1), batch)
    assert parts.read(Span(0, 1)).equals(batch)


@given(before=st.binary(max_size=50), after=st.binary(max_size=50))
@example(before=b"", after=b"crc32:")
def test_a_sealed_file_is_as_long_as_before_and_is_recognised(before: bytes, after: bytes) -> None:
    content = before + b"crc32:00000000" + after
    assert is_sealed(seal(content))
    assert len(seal(content)) == len(content)


@given(
    cuts=st.lists(st.integers(0, 40), unique=True), taken=st.lists(st.booleans(), min_size=41, max_size=41)
)
def test_gaps_and_what_is_done_make_up_the_whole(cuts: list[int], taken: list[bool]) -> None:
    pieces = [Span(start, stop) for start, stop in pairwise(sorted({0, 40, *cuts}))]
    done = [piece for number, piece in enumerate(pieces) if taken[number]]
    rows = sorted(row for span in [*done, *gaps(40, done)] for row in range(span.start, span.stop))
    assert rows == list(range(40))
