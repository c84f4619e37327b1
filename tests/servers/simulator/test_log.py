"""The log counts what matters in memory of a fixed size, and says when its file fails."""

import tracemalloc
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.servers.simulator import log as log_module
from pipeline.servers.simulator.log import Entry, Log, RepeatCounter
from tests.faultserver.log import read_log, repeats

ANSWERED = Entry(1.0, "0a" * 16, "a text", False, 200, None, True, 10, 2, 0.1)  # noqa: FBT003
FAILED = replace(ANSWERED, status=500, fault="http_500", billed=False, prompt_tokens=0, completion_tokens=0)
MODEL = replace(ANSWERED, key="", text="", billed=False, prompt_tokens=0, completion_tokens=0)
OTHER = replace(ANSWERED, key="0b" * 16)


def test_sums_repeats_and_reasons_are_counted_without_the_entries():
    log = Log()
    for entry in (ANSWERED, FAILED, ANSWERED, OTHER, MODEL, FAILED):
        log.add(entry)
    assert (log.requests, log.chats, log.billed, log.prompt_tokens) == (6, 5, 3, 30)
    assert (log.repeats, log.reasons) == (1, {"http_500": 2})


def test_repeats_are_the_same_counted_or_from_the_entries():
    log, entries = Log(), [ANSWERED, OTHER, FAILED, OTHER, OTHER]
    for entry in entries:
        log.add(entry)
    assert repeats(entries) == {"0b" * 16: 3}
    assert log.repeats == 1


def test_repeats_that_were_not_counted_are_not_said_to_be_none():
    log = Log(count_repeats=False)
    log.add(ANSWERED)
    assert log.repeats is None


@given(st.lists(st.integers(1, 20) | st.integers(1, 2**60), max_size=48))
def test_repeats_are_counted_exactly_even_where_all_keys_begin_at_one_place(numbers):
    keys = [f"{number << 65:032x}" for number in numbers]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(log_module, "SLOTS", 64)
        counter = RepeatCounter()
        for key in keys:
            counter.add(key)
    assert counter.repeats == sum(times > 1 for times in Counter(keys).values())


def test_more_keys_than_fit_are_not_counted_wrongly_but_not_at_all(monkeypatch):
    monkeypatch.setattr(log_module, "SLOTS", 16)
    monkeypatch.setattr(log_module, "MOST_KEYS", 12)
    counter = RepeatCounter()
    for number in [*range(1, 13), 3]:
        counter.add(f"{number << 70:032x}")
    assert counter.repeats == 1
    counter.add(f"{13 << 70:032x}")
    assert counter.repeats is None
    counter.add(f"{3 << 70:032x}")
    assert counter.repeats is None


def test_a_second_ask_in_other_words_is_marked_where_a_log_is_kept(tmp_path: Path):
    asks = [("a", "one"), ("a", "one"), ("a", "two"), ("b", "one")]
    log = Log(tmp_path / "log.jsonl", count_repeats=False)
    assert [log.is_again(*ask) for ask in asks] == [False, False, True, False]
    log.close()
    unkept = Log(count_repeats=False)
    assert [unkept.is_again(*ask) for ask in asks] == [False] * 4


def test_memory_does_not_grow_with_the_number_of_texts(monkeypatch):
    monkeypatch.setattr(log_module, "RECENT_TEXTS", 100)
    log = Log(Path("/dev/null"))

    def fill(numbers: range) -> None:
        for number in numbers:
            log.is_again(f"row {number}", "ask")
            log.add(replace(ANSWERED, key=f"{number * 2**70 + number:032x}", text=f"row {number}"))

    fill(range(1, 1000))
    tracemalloc.start()
    fill(range(1000, 4000))
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    log.close()
    assert grown < 32 * 1024
    assert log.repeats == 0


def test_a_file_that_fails_is_told_once_and_the_counting_goes_on():
    log, failures = Log(Path("/dev/full")), []
    log.on_failure = failures.append
    log.add(ANSWERED)
    log.add(ANSWERED)
    assert [failure.strerror for failure in failures] == ["No space left on device"]
    assert log.requests == 2
    silent = Log(Path("/dev/full"))
    with pytest.raises(OSError, match="No space left"):
        silent.add(ANSWERED)
    silent.close()


def test_a_log_is_appended_to(tmp_path: Path):
    path = tmp_path / "log.jsonl"
    for _ in range(2):
        log = Log(path)
        log.add(ANSWERED)
        log.close()
    assert read_log(path) == [ANSWERED, ANSWERED]
