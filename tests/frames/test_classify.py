"""`classify`: labels beside the rows of a frame in memory, with the engine and the ledger of a run."""

import asyncio
import inspect
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import pipeline
from pipeline import RunResult, Stop, aclassify
from pipeline.config.simulate.latency import Fixed
from pipeline.errors import (
    CannotCreateError,
    ConfigError,
    HeldError,
    InputDataError,
    PipelineError,
    UsageError,
)
from pipeline.outputs.columns import output_names
from pipeline.system.lock import Lock
from tests.faultserver.server import FaultServer
from tests.faultserver.settings import FaultServerSettings
from tests.jobs import LABELS, JobFiles, asked, right_label, some_rows, texts

NEW = output_names("single", "")


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def model(server: FaultServer) -> dict[str, Any]:
    return {"provider": "openai-compatible", "name": "test-model", "base_url": server.base_url}


@pytest.fixture
def classify(model: dict[str, Any]) -> Any:
    return partial(pipeline.classify, labels=LABELS, model=model)


ROWS = some_rows(20)
RIGHT = [right_label(text) if text else None for text in ROWS]
FRAME = pl.DataFrame({"id": range(20), "text": ROWS, "size": pl.Series([3] * 20, dtype=pl.Int8)})
FRAMES: dict[str, Any] = {
    "polars": FRAME,
    "lazy": FRAME.lazy(),
    "pandas": pd.DataFrame(
        {"id": range(20), "text": ROWS}, index=[f"row {number % 7}" for number in range(20)]
    ),
    "arrow": FRAME.to_arrow(),
    "batch": FRAME.to_arrow().combine_chunks().to_batches()[0],
}


def labels_in(frame: Any, column: str = "label") -> list[str | None]:
    if isinstance(frame, pd.DataFrame):
        return [None if pd.isna(each) else each for each in frame[column]]
    if isinstance(frame, pa.Table | pa.RecordBatch):
        return frame.column(column).to_pylist()  # type: ignore[no-any-return]
    return frame.lazy().collect()[column].to_list()  # type: ignore[no-any-return]


@pytest.mark.parametrize("library", FRAMES)
def test_each_row_gets_its_label_in_the_same_kind_of_frame_and_a_second_call_costs_nothing(
    classify: Any, server: FaultServer, library: str
) -> None:
    frame = FRAMES[library]
    first = classify(frame)
    assert type(first) is type(frame)
    assert labels_in(first) == RIGHT
    assert sorted(asked(server)) == sorted(set(filter(None, ROWS)))  # duplicates once, empty rows never
    assert labels_in(classify(frame)) == RIGHT
    assert labels_in(classify(first)) == RIGHT  # whose labels are replaced
    assert len(asked(server)) == len(set(filter(None, ROWS)))


def test_the_columns_are_those_of_a_runs_output(classify: Any, job: JobFiles) -> None:
    job.table(FRAME)
    published = pipeline.run(job.config()).frame()
    frame = classify(FRAME)
    assert frame.schema == published.schema
    same = ["id", "text", "size", "label", "label_status", "label_truncated", "label_model"]
    assert frame.select(same).equals(published.select(same))


def test_a_list_of_texts_gives_the_list_of_its_labels(classify: Any) -> None:
    assert classify(ROWS) == RIGHT
    assert classify(ROWS, prefix="my_") == RIGHT
    assert classify([]) == []
    assert classify([None, ""]) == [None, None]


def test_a_series_gives_a_series(classify: Any) -> None:
    assert classify(pl.Series("title", ROWS)).to_list() == RIGHT
    series = classify(FRAMES["pandas"]["text"])
    assert list(series.index) == list(FRAMES["pandas"].index)
    assert [None if pd.isna(each) else each for each in series] == RIGHT


@pytest.mark.parametrize("library", ["polars", "pandas", "arrow"])
def test_a_frame_without_rows_gets_the_columns(classify: Any, library: str) -> None:
    frame = FRAMES[library][:0] if library != "arrow" else FRAMES[library].slice(0, 0)
    assert list(classify(frame).columns if library != "arrow" else classify(frame).column_names)[-12:] == NEW


def test_what_the_model_reads_is_a_template_and_other_columns_may_hold_anything(
    classify: Any, server: FaultServer
) -> None:
    frame = FRAME.head(2).with_columns(things=pl.Series([object(), {1}], dtype=pl.Object))
    after = classify(frame, text="{id}: {size}")
    assert sorted(asked(server)) == ["0: 3", "1: 3"]
    assert after["things"].to_list() == frame["things"].to_list()


def test_the_columns_may_have_names_that_are_no_texts(classify: Any) -> None:
    frame = pd.DataFrame({0: texts(2), 1: [1, 2]})
    assert list(classify(frame, text="{0}").columns) == [0, 1, *NEW]


class Topic(Enum):
    FIRST = LABELS[0]
    SECOND = LABELS[1]


@pytest.mark.parametrize(
    "labels", [Topic, {"games": "about games", "sound": ""}, ["games", "sound"], ("games", "sound"),
               [{"name": "games", "description": "play"}, "sound"]],
)  # fmt: skip
def test_labels_are_names_with_or_without_descriptions_or_an_enum(labels: Any) -> None:
    label = pipeline.classify(["play"], labels, model={"provider": "local"}, examples={"a race": "games"})
    assert label[0] in {"games", "sound"}


def test_several_labels_are_lists() -> None:
    labels = pipeline.classify(["a", None], ["x", "y"], kind="multi", provider="local", examples={"b": ["x"]})
    assert isinstance(labels[0], list)
    assert labels[1] is None
    frame = pipeline.classify(pd.DataFrame({"text": ["a"]}), ["x", "y"], kind="multi", provider="local")
    assert type(frame["labels"][0]) is list


def test_paid_answers_are_below_the_working_directory_and_nothing_else_is_left(classify: Any) -> None:
    classify(ROWS)
    left = {path.name for path in Path().rglob("*") if path.is_file()}
    assert Path(".pipeline/classify/ledger.sqlite").exists()
    assert left <= {"ledger.sqlite", "ledger.sqlite-wal", "ledger.sqlite-shm", "ballast", "history.json"}
    assert [*Path(".pipeline/classify/calls").iterdir(), *Path(".pipeline/classify/runs").iterdir()] == []


def test_what_a_killed_call_has_left_is_removed_by_a_later_one(classify: Any) -> None:
    left = Path(".pipeline/classify/calls")
    for name in ("old", "old and at work", "new"):
        (left / name).mkdir(parents=True)
        (left / name / "rows.parquet").write_bytes(b"x")
    with Lock(left / "old and at work" / "lock", left, "state_dir").held():
        for name in ("old", "old and at work"):
            os.utime(left / name, (0, 0))
        classify(ROWS[:1], state_dir=Path(".pipeline/classify"))
    assert {path.name for path in left.iterdir()} == {"old and at work", "new"}


def test_the_state_may_be_elsewhere(classify: Any, tmp_path: Path) -> None:
    classify(ROWS[:1], state_dir="else/where")
    assert (tmp_path / "else/where/ledger.sqlite").exists()
    Path("file").touch()
    with pytest.raises(CannotCreateError, match="check state_dir"):
        classify(ROWS[:1], state_dir="file")


@pytest.mark.slow
def test_calls_at_once_share_a_ledger_and_do_not_disturb_each_other(
    classify: Any, server: FaultServer
) -> None:
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda _: classify(ROWS), range(8)))
    assert found == [RIGHT] * 8
    before = len(asked(server))
    assert classify(ROWS) == RIGHT
    assert len(asked(server)) == before


def test_a_closed_gate_holds_the_labels_back_and_keeps_the_answers(
    classify: Any, server: FaultServer
) -> None:
    wrong = [LABELS[(LABELS.index(right_label(text)) + 1) % len(LABELS)] for text in texts(3)]
    frame = pl.DataFrame({"text": texts(3), "right": wrong})
    gate = {"gates.gold_accuracy": 0.99}
    with pytest.raises(HeldError) as caught:
        classify(frame, gold="right", settings=gate)
    assert caught.value.problems[-1] == "the answers are kept; open the gate and call again to have them"
    assert not any("publish" in problem for problem in caught.value.problems)
    assert labels_in(classify(frame, gold="right")) == [right_label(text) for text in texts(3)]
    assert len(asked(server)) == 3


def test_the_result_of_the_run_can_be_had(classify: Any) -> None:
    results: list[RunResult] = []
    frames: list[pl.DataFrame] = []
    classify(ROWS, on_result=lambda result: (results.append(result), frames.append(result.frame())))
    assert (results[0].rows, results[0].ok, results[0].empty) == (20, 18, 2)
    assert frames[0].columns == NEW


def test_rows_without_a_label_are_told_of_and_can_be_asked_again(classify: Any, server: FaultServer) -> None:
    server.script(["content_filter"])
    with pytest.warns(UserWarning, match="1 of 3 rows have no label: 1 x filtered") as told:
        labels = classify(texts(3))
    assert told[0].filename == __file__
    assert labels.count(None) == 1
    assert classify(texts(3), retry="filtered") == [right_label(text) for text in texts(3)]


@pytest.mark.parametrize(
    ("settings", "error", "said"),
    [
        ({"text": "{titel}"}, ConfigError, "text: titel: the frame has no such column; its columns are id, text"),
        ({"gold": "right"}, ConfigError, "gold: right: the frame has no such column"),
        ({"labels": ["a", "A"]}, ConfigError, 'labels[1].name: is the same as "a"'),
        ({"labels": "ab"}, ConfigError, "labels: is text; write a list"),
        ({"kind": "some"}, ConfigError, 'kind: "some" is not known'),
        ({"examples": {"x": "nothing"}}, ConfigError, "examples[0].label: "),
        ({"limits": {"max_concurency": 3}}, ConfigError, "limits.max_concurency: is an unknown key"),
        ({"limits": 3}, ConfigError, "limits: is a number; write a mapping"),
        ({"settings": {"limits.max_concurency": 3}}, UsageError, "overrides: limits.max_concurency: is an unknown"),
        ({"retry": "often"}, UsageError, "there is no status 'often'"),
        ({"frame": FRAME.with_columns(label=1)}, ConfigError, "prefix: the frame already has label; set a prefix"),
        ({"frame": FRAME.drop("text")}, UsageError, "text: is missing; write what the model reads"),
        ({"frame": "a text"}, UsageError, "frame: is of type str; put it in a list"),
        ({"frame": pl.DataFrame({"text": [[1]]})}, InputDataError, "frame: column 'text' is large_list"),
        ({"frame": pd.DataFrame({"text": [1, "x"]})}, InputDataError, "frame: column 'text' cannot be read"),
        ({"frame": pd.DataFrame([["x", "y"]], columns=["text", "text"])}, ConfigError, "text: text: the frame has 2 columns of that name"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_as_the_caller_has_written_it(
    classify: Any, server: FaultServer, settings: dict[str, Any], error: type[PipelineError], said: str
) -> None:
    with pytest.raises(error) as caught:
        classify(settings.pop("frame", FRAME), **settings)
    assert any(problem.startswith(said) for problem in caught.value.problems), caught.value.problems
    assert str(caught.value) == "\n".join(caught.value.problems)
    assert server.requests == 0


async def test_it_works_inside_a_running_loop_and_can_be_awaited(classify: Any, model: Any) -> None:
    assert classify(ROWS) == RIGHT
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0)
            ticks += 1

    ticking = asyncio.create_task(tick())
    assert await aclassify(texts(50, 100), LABELS, model=model) == [*map(right_label, texts(50, 100))]
    ticking.cancel()
    assert ticks > 10


@pytest.fixture
def slow(job: JobFiles) -> Any:
    with FaultServer(FaultServerSettings(latency=Fixed(0.02)), label_for=right_label) as server:
        job.set(model={"base_url": server.base_url}, limits={"max_concurrency": 4})
        yield server, job


async def test_a_cancelled_call_ends_gently_and_pays_nothing_twice(slow: Any) -> None:
    server, job = slow
    call = partial(aclassify, texts(200), LABELS, model=job.settings["model"], limits={"max_concurrency": 4})
    await cancelled_at_work(asyncio.create_task(call()), server)
    assert 10 <= server.billed < 200
    assert await call() == [*map(right_label, texts(200))]
    assert (server.billed, server.repeats()) == (200, {})


@pytest.mark.slow
async def test_a_cancelled_run_ends_gently_and_pays_nothing_twice(slow: Any) -> None:
    server, job = slow
    job.table(texts(200))
    await cancelled_at_work(asyncio.create_task(pipeline.arun(job.config())), server)
    assert 10 <= server.billed < 200
    assert (await pipeline.arun(job.config())).ok == 200
    assert (server.billed, server.repeats()) == (200, {})


async def cancelled_at_work(task: asyncio.Task[Any], server: FaultServer) -> None:
    await asyncio.to_thread(wait_for, server, 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert server.in_flight == 0


async def test_a_time_limit_around_a_call_is_kept_as_such(slow: Any) -> None:
    server, job = slow
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await aclassify(texts(2000), LABELS, model=job.settings["model"], limits={"max_concurrency": 2})
    assert server.billed < 2000


def test_another_thread_can_stop_a_call(slow: Any) -> None:
    server, job = slow
    stop = Stop()
    timer = threading.Thread(target=lambda: (wait_for(server, 5), stop.ask(PipelineError("enough"))))
    timer.start()
    with pytest.raises(PipelineError, match="enough"):
        pipeline.classify(
            texts(200), LABELS, model=job.settings["model"], limits={"max_concurrency": 2}, stop=stop
        )
    timer.join()


def wait_for(server: FaultServer, billed: int) -> None:
    while server.billed < billed:
        time.sleep(0.001)


@pytest.mark.parametrize("shown", [True, False])
def test_a_bar_is_shown_if_asked_for(
    classify: Any, capsys: pytest.CaptureFixture[str], *, shown: bool
) -> None:
    classify(texts(5), progress=shown)
    assert ("5/5" in capsys.readouterr().err) is shown


def test_no_bar_is_shown_by_a_script(classify: Any, capsys: pytest.CaptureFixture[str]) -> None:
    classify(texts(5))
    assert capsys.readouterr().err == ""


def test_both_ways_to_call_have_one_signature() -> None:
    assert inspect.signature(pipeline.classify) == inspect.signature(aclassify)
    assert inspect.iscoroutinefunction(aclassify)
    assert aclassify.__name__ == "aclassify"
