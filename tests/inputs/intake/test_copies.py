"""Copies of the input: each file comes in once, whole or not at all, and its copy never changes a result."""

import logging
import os
import resource
import stat
from itertools import count

import pytest

from pipeline.errors import DiskError, InputDataError
from pipeline.inputs.intake import compression
from pipeline.inputs.intake.copies import bring_in, drop, tidy
from pipeline.inputs.read import read_chunks
from pipeline.inputs.source import all_spans
from pipeline.system.interruption import Interruption
from tests.inputs.conftest import texts
from tests.inputs.samples import GOOD_CSV

THREE_TABLES = "id,text\n" + "1,x\n" * (3 << 19)


def names(folder):
    return sorted(path.suffix for path in folder.iterdir())


def unseen_damage(path):
    """Put a byte into a file that a pass would refuse, under the stamp of before."""
    times = path.stat()
    path.write_bytes(path.read_bytes().replace(b"two", b"tw\xff"))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def test_a_file_that_came_in_is_not_read_again(put, look, tmp_path):
    path, folder = put("a.csv", GOOD_CSV), tmp_path / "state" / "input"
    first = look(path, copies=folder)
    unseen_damage(path)
    assert look(path, copies=folder) == first
    assert texts(first, ["text"]) == {"text": ["one", "two"]}
    with pytest.raises(InputDataError, match="0xFF"):
        look(path, copies=tmp_path / "other")


def test_a_copy_that_is_no_longer_needed_goes_and_what_is_known_of_the_file_stays(put, look, tmp_path):
    path, folder = put("a.csv", GOOD_CSV), tmp_path / "input"
    first = look(path, copies=folder)
    assert names(folder) == [".footer", ".parquet"]
    drop(first)
    assert names(folder) == [".footer"]
    again = look(path, copies=folder)
    assert again == first
    assert names(folder) == [".footer"]  # a survey needs no copy
    back = bring_in(again)
    assert back == first
    assert texts(back, ["text"]) == {"text": ["one", "two"]}


def test_a_copy_is_made_again_elsewhere_where_the_state_is_not_to_be_written(put, look, tmp_path):
    source = look(put("a.csv", GOOD_CSV), copies=tmp_path / "input")
    drop(source)
    elsewhere = bring_in(source, tmp_path / "spare")
    assert texts(elsewhere, ["text"]) == {"text": ["one", "two"]}
    assert (names(tmp_path / "input"), names(tmp_path / "spare")) == ([".footer"], [".footer", ".parquet"])
    assert elsewhere.fingerprint == source.fingerprint


def test_only_the_owner_can_read_a_copy_and_a_footer_holds_no_text(put, look, tmp_path):
    source = look(put("a.csv", "id,text\n1,secret words\n"), copies=tmp_path / "input")
    (copy,) = [file.path for file in source.files]
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert stat.S_IMODE(copy.parent.stat().st_mode) == 0o700
    footer = copy.with_suffix(".footer")
    assert stat.S_IMODE(footer.stat().st_mode) == 0o600
    assert b"secret" not in footer.read_bytes()


@pytest.mark.parametrize("damage", [b"", b"PAR1", b"wrong" * 9])
def test_a_damaged_footer_only_costs_the_pass(put, look, tmp_path, damage):
    path = put("a.csv", GOOD_CSV)
    first = look(path, copies=tmp_path)
    (footer,) = tmp_path.glob("*.footer")
    footer.write_bytes(damage)
    assert look(path, copies=tmp_path) == first


def test_a_copy_that_was_damaged_is_told_and_made_again(put, look, tmp_path):
    path = put("a.csv", GOOD_CSV)
    source = look(path, copies=tmp_path / "input")
    copy = source.files[0].path
    copy.write_bytes(copy.read_bytes()[:20])
    with pytest.raises(InputDataError, match=r"a.csv: rows 0 to 1 .* its copy .* was damaged; run again"):
        list(read_chunks(source, ["text"], all_spans(source)))
    assert texts(bring_in(source), ["text"]) == {"text": ["one", "two"]}


def test_a_copy_serves_only_the_settings_and_the_bytes_it_was_made_for(put, look, tmp_path):
    path = put("a.csv", "text\n1;2\n")
    assert look(path, copies=tmp_path / "input").schema.names == ["text"]
    with pytest.raises(InputDataError):
        look(path, copies=tmp_path / "input", delimiter=";")
    path.write_text("text\n1\n2\n")
    assert look(path, copies=tmp_path / "input").rows == 2


def test_what_is_no_longer_used_is_tidied_away_and_what_another_process_writes_is_not(put, look, tmp_path):
    folder = tmp_path / "input"
    path = put("a.csv", GOOD_CSV)
    look(path, copies=folder)
    path.write_text(GOOD_CSV + "3,three\n")
    source = look(path, copies=folder)
    dead, alive = folder / f".x.parquet.{1 << 22}.tmp", folder / f".x.parquet.{os.getpid()}.tmp"
    dead.touch()
    alive.touch()
    assert len(names(folder)) == 6
    tidy(folder, source)
    assert names(folder) == [".footer", ".parquet", ".tmp"]
    assert alive.exists()
    assert texts(source, ["text"])["text"] == ["one", "two", "three"]


def raising(error):
    """Return a clock that raises *error* once the file is half in."""
    calls = count()

    def now():
        if next(calls) > 2:
            raise error
        return 0.0

    return now


def test_an_interruption_while_a_file_comes_in_leaves_nothing_behind(put, look, tmp_path, monkeypatch):
    path = put("a.csv", THREE_TABLES)
    monkeypatch.setattr(compression, "monotonic", raising(Interruption("SIGTERM")))
    with pytest.raises(Interruption):
        look(path, copies=tmp_path / "input")
    assert list((tmp_path / "input").iterdir()) == []


def test_a_disk_without_room_is_told_as_such(put, look, tmp_path):
    path = put("a.csv", "id,text\n" + "".join(f"{n},{n * n}\n" for n in range(300_000)))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 18, hard))
    try:
        with pytest.raises(DiskError, match=r"a.csv: no copy of it can be written to .*; make room there"):
            look(path, copies=tmp_path / "input")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list((tmp_path / "input").iterdir()) == []


def test_a_file_that_changes_while_it_comes_in_is_refused(put, look, tmp_path, monkeypatch):
    path = put("a.csv", THREE_TABLES)
    ticks = count()

    def now():
        if next(ticks) == 2:
            with path.open("a") as file:
                file.write("4,four\n")
        return 0.0

    monkeypatch.setattr(compression, "monotonic", now)
    with pytest.raises(InputDataError, match=r"a.csv: changed while it was read; run again"):
        look(path, copies=tmp_path / "input")


def test_a_large_file_tells_how_far_it_has_come_in(put, look, caplog, monkeypatch):
    caplog.set_level(logging.INFO)
    ticks = count(0, 6)
    monkeypatch.setattr(compression, "monotonic", lambda: next(ticks))
    look(put("a.csv", THREE_TABLES))
    shares = [record.args[1] for record in caplog.records]
    assert shares == sorted(shares)
    assert len(shares) > 2
