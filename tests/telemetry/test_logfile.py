"""The log file of all runs: rotated, private, and no reason to fail."""

import json
import logging
import os
from pathlib import Path

import pytest

from pipeline.telemetry.logfile import BACKUPS, MAX_BYTES, log_file


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_file_that_has_grown_is_rotated_and_so_many_old_ones_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    for night in range(BACKUPS + 3):
        with log_file(path, night=night) as log:
            log.info("begins")
        first_line = path.read_text()
        os.truncate(path, MAX_BYTES)  # a hole, which takes no room
        assert json.loads(first_line)["night"] == night
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == ["log.jsonl", *(f"log.jsonl.{n + 1}" for n in range(BACKUPS))]
    nights = [json.loads(file.read_bytes().partition(b"\n")[0])["night"] for file in files]
    assert nights == [7, 6, 5, 4, 3, 2]


def test_lines_that_come_before_there_is_a_folder_are_written_once_there_is_one(tmp_path: Path) -> None:
    path = tmp_path / "state" / "log.jsonl"
    with log_file(path, job="tags") as log:
        log.info("one")
        path.parent.mkdir()
        log.info("two")
    assert [(line["message"], line["job"]) for line in lines(path)] == [("one", "tags"), ("two", "tags")]
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_disk_that_is_full_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    with log_file(Path("/dev/full")) as log:
        log.info("one")
        log.info("two")
    assert capsys.readouterr().err.count("No space left on device") == 1


def test_the_handlers_of_others_are_left_as_they_were(tmp_path: Path) -> None:
    before = list(logging.getLogger("pipeline").handlers)
    with log_file(tmp_path / "log.jsonl"):
        assert logging.getLogger("pipeline").handlers != before
    assert logging.getLogger("pipeline").handlers == before
