"""How much work a row, a chunk and a run are: counted, so that a slow machine fails nothing and more work does.

Each bound is a fifth above what was measured on 2026-11-28, or exact where nothing depends on chance.
"""

import json
import subprocess
import sys

import pytest

from tests.faultserver.server import FaultServer
from tests.jobs import JobFiles, environment, right_label, texts

SMALL, CHUNK = 300, 4_096
"""Rows of a job with one chunk, and how many more one has that fills a chunk and goes on in a second one."""

Counts = dict[str, float]


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory) -> list[Counts]:
    """What a job with one chunk and then one with two chunks were, in a process that was not used before.

    Then both once more with the ledgers that they have made and other outputs, and a third time when these are
    finished.
    """
    with FaultServer(label_for=right_label) as server:
        configs, again = [], []
        for rows in (SMALL, SMALL + CHUNK):
            job = JobFiles(tmp_path_factory.mktemp("work"), server.base_url)
            job.table(texts(rows))
            configs.append(str(job.config_file()))
            job.set(output={"path": "again.parquet"})
            again.append(str(job.config_file("again.yaml")))
        done = subprocess.run(
            [sys.executable, "-m", "tests.counting", *configs, *again, *again],
            capture_output=True, text=True, env=environment(), check=True,
        )  # fmt: skip
        asked = len([entry for entry in server.entries if entry.text])
    found: list[Counts] = list(map(json.loads, done.stdout.splitlines()))
    found[1]["asked by both"] = asked
    print(*found, sep="\n")  # noqa: T201 - shown where a bound is broken
    return found


def more(counted: list[Counts], what: str, *, again: bool = False) -> float:
    """How much more of it the larger job was."""
    small, large = counted[2:4] if again else counted[:2]
    return large[what] - small[what]


def test_a_row_is_one_request(counted: list[Counts]) -> None:
    assert more(counted, "requests") == CHUNK
    assert counted[1]["asked by both"] == SMALL + SMALL + CHUNK


def test_a_row_is_so_many_calls_on_the_event_loop(counted: list[Counts]) -> None:
    large = counted[1]  # the smaller job before it has loaded the modules
    assert (
        large["calls on the loop"] / large["rows"] < 345
    )  # measured: 307 to 340, by how busy the machine is; C functions included


def test_a_row_is_so_many_calls_in_threads(counted: list[Counts]) -> None:
    large = counted[1]
    assert large["calls in threads"] / large["rows"] < 33  # measured: 27.4


def test_a_row_that_is_known_is_so_many_calls(counted: list[Counts]) -> None:
    assert counted[3]["requests"] == 0
    assert more(counted, "calls on the loop", again=True) / CHUNK < 3.8  # measured: 3.14
    assert more(counted, "calls in threads", again=True) / CHUNK < 9.3  # measured: 7.71


def test_a_finished_job_is_next_to_no_work_whatever_its_size(counted: list[Counts]) -> None:
    small, large = counted[4:]
    assert (small["requests"], large["requests"]) == (0, 0)
    assert large["calls on the loop"] - small["calls on the loop"] < 100
    assert large["calls on the loop"] < 25_000  # measured: 20,193, most of it for the config


def test_a_group_of_answers_is_one_commit(counted: list[Counts]) -> None:
    for each in counted[:2]:
        assert each["commit"] == each["ledger append"] + 1  # the one that makes the tables


def test_answers_are_committed_in_groups_of_fifty_milliseconds_or_500(counted: list[Counts]) -> None:
    for each in counted[:2]:
        by_time, by_number = each["seconds"] / 0.05, each["rows"] / 500
        assert each["ledger append"] <= by_time + by_number + 1


def test_an_answer_is_written_once(counted: list[Counts]) -> None:
    assert more(counted, "insert") == CHUNK


def test_a_chunk_is_one_look_up(counted: list[Counts]) -> None:
    assert more(counted, "ledger look_up") == 1
    assert more(counted, "select") <= 11  # measured: 9, of 512 keys each at most


def test_a_chunk_is_one_file_and_no_sync(counted: list[Counts]) -> None:
    assert more(counted, "parts") == 2  # made, and opened to be written
    assert more(counted, "syncs") == 0  # its answers are in the ledger, which is synced
    assert more(counted, "other files") == 0


def test_a_run_is_so_many_syncs_and_files_whatever_its_size(counted: list[Counts]) -> None:
    assert counted[0]["syncs"] <= 13  # measured: 11
    assert counted[0]["other files"] <= 14  # measured: 12
