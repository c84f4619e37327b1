"""The log counts what matters without keeping the entries, and says when its file fails."""

from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.servers.simulator.log import Entry, Log, read_log, repeats

ANSWERED = Entry(1.0, "0a" * 16, "a text", False, 200, None, True, 10, 2, 0.1)  # noqa: FBT003
FAILED = replace(ANSWERED, status=500, fault="http_500", billed=False, prompt_tokens=0, completion_tokens=0)
MODEL = replace(ANSWERED, key="", text="", billed=False, prompt_tokens=0, completion_tokens=0)
OTHER = replace(ANSWERED, key="0b" * 16)


def test_sums_repeats_and_reasons_are_counted_without_the_entries():
    log = Log(None, keep=False)
    for entry in (ANSWERED, FAILED, ANSWERED, OTHER, MODEL, FAILED):
        log.add(entry)
    assert (log.requests, log.chats, log.billed, log.prompt_tokens) == (6, 5, 3, 30)
    assert log.repeats() == {"0a" * 16: 2}
    assert log.reasons == {"http_500": 2}
    assert log.entries == []


def test_repeats_are_the_same_counted_or_from_the_entries():
    log = Log(None, keep=True)
    for entry in (ANSWERED, OTHER, FAILED, OTHER, OTHER):
        log.add(entry)
    assert log.repeats() == repeats(log.entries) == {"0b" * 16: 3}


def test_repeats_that_were_not_counted_are_not_said_to_be_none():
    log = Log(None, keep=False, count_repeats=False)
    log.add(ANSWERED)
    assert log.repeats() is None


def test_a_file_that_fails_is_told_once_and_the_counting_goes_on():
    log, failures = Log(Path("/dev/full"), keep=False), []
    log.on_failure = failures.append
    log.add(ANSWERED)
    log.add(ANSWERED)
    assert [failure.strerror for failure in failures] == ["No space left on device"]
    assert log.requests == 2
    silent = Log(Path("/dev/full"), keep=False)
    with pytest.raises(OSError, match="No space left"):
        silent.add(ANSWERED)
    silent.close()


def test_a_log_is_appended_to(tmp_path: Path):
    path = tmp_path / "log.jsonl"
    for _ in range(2):
        log = Log(path, keep=False)
        log.add(ANSWERED)
        log.close()
    assert read_log(path) == [ANSWERED, ANSWERED]
