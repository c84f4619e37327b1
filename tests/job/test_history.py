"""What each published run came to is remembered, for the comparison with later ones."""

from dataclasses import replace
from pathlib import Path

from pipeline.job.kept.history import KEPT, PublishedRun, append, history_file, load_history, shares
from pipeline.job.workspace import Workspace, workspace
from tests.jobs import JobFiles


def run_of(number: int, task: str = "t", selection: str | None = None) -> PublishedRun:
    return PublishedRun(
        run_id=f"run-{number:03d}", published_at=1000.0 + number, task=task, model="m", selection=selection, rows=10,
        statuses={"ok": 9, "error": 1}, labels={"games": 1.0}, mean_confidence=0.9, cost_usd=0.1, latency_p50=0.2,
        latency_p95=0.4, requests=10, reused=0, seconds=1.0,
    )  # fmt: skip


def place(folder: Path, name: str) -> Workspace:
    found = workspace(folder, folder / name)
    found.folder.mkdir(parents=True)
    return found


def test_what_is_added_is_found_again_the_latest_last(tmp_path: Path) -> None:
    here = place(tmp_path, "out.parquet")
    assert load_history(here) == []
    for number in (1, 2, 3):
        append(here, run_of(number))
    assert load_history(here) == [run_of(1), run_of(2), run_of(3)]


def test_a_run_that_is_published_twice_is_one_run(tmp_path: Path) -> None:
    here = place(tmp_path, "out.parquet")
    append(here, run_of(1))
    append(here, replace(run_of(1), rows=11))
    assert load_history(here) == [replace(run_of(1), rows=11)]


def test_the_history_does_not_grow_for_ever(tmp_path: Path) -> None:
    here = place(tmp_path, "out.parquet")
    for number in range(KEPT + 5):
        append(here, run_of(number))
    found = load_history(here)
    assert (len(found), found[-1]) == (KEPT, run_of(KEPT + 4))


def test_a_damaged_history_is_none_and_the_next_run_begins_a_new_one(tmp_path: Path) -> None:
    here = place(tmp_path, "out.parquet")
    for content in (b"", b"{", b"[1]", b'{"run_id": 1}', b'[{"run_id": "a"}]'):
        history_file(here.folder).write_bytes(content)
        assert load_history(here) == []
    append(here, run_of(1))
    assert load_history(here) == [run_of(1)]


def test_fields_of_a_later_version_are_left_out(tmp_path: Path) -> None:
    here = place(tmp_path, "out.parquet")
    append(here, run_of(1))
    path = history_file(here.folder)
    path.write_text(path.read_text().replace('"task"', '"new": 1, "task"'))
    assert load_history(here) == [run_of(1)]


def test_outputs_that_are_named_after_the_date_share_the_history_of_their_task(tmp_path: Path) -> None:
    monday, tuesday = place(tmp_path, "monday.parquet"), place(tmp_path, "tuesday.parquet")
    append(monday, run_of(1))
    append(place(tmp_path, "other.parquet"), run_of(2, task="another"))
    append(place(tmp_path, "part.parquet"), run_of(3, selection="limit-10"))
    assert load_history(tuesday) == []
    assert load_history(tuesday, run_of(4).task) == [run_of(1)]


def test_shares_are_of_the_most_frequent_labels() -> None:
    assert shares({"a": 1, "b": 3}, 4) == {"b": 0.75, "a": 0.25}
    assert len(shares({str(n): n for n in range(2000)}, 10)) == 1000
    assert shares({}, 0) == {}


def test_a_run_adds_itself(job: JobFiles) -> None:
    job.table(["one", "two", None])
    assert job.run().returncode == 0
    assert job.run("--retry", "all").returncode == 0
    first, second = load_history(workspace(job.folder / "state", job.output))
    assert first.published_at < second.published_at
    assert (second.rows, second.statuses, second.requests) == (3, {"ok": 2, "empty": 1}, 2)
    assert sum(second.labels.values()) == 1.0
    assert second.latency_p50 is not None
