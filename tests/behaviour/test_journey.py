"""The journey of a row, end to end, against a real server that knows the right answers."""

import errno
import json
import time
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import RunOptions
from pipeline.errors import InterruptedRunError
from pipeline.job.prepare import started
from pipeline.journey import run_started
from pipeline.outputs.parts import Parts
from pipeline.records import Status
from pipeline.system.shutdown import Stop
from tests.faultserver.server import FaultServer
from tests.jobs import JobFiles, asked, last_line, right_label, run_job, texts

NEW = [
    "label", "label_status", "label_source", "label_confidence", "label_error", "label_truncated", "label_model",
    "label_run", "prompt_tokens", "cached_tokens", "completion_tokens", "cost_usd",
]  # fmt: skip


@pytest.mark.parametrize("name", ["in.parquet", "in.csv", "in.csv.gz"])
async def test_every_row_gets_its_label_and_tokens_balance(
    job: JobFiles, server: FaultServer, name: str
) -> None:
    frame = pl.DataFrame({"id": [f"{n:04}" for n in range(400)], "text": texts(400)})
    job.table(frame, name)

    result = await run_job(job.config())

    labelled = job.labelled()
    assert labelled.columns == ["id", "text", *NEW]
    assert labelled.select("id", "text").equals(frame)
    assert labelled["label"].to_list() == [right_label(text) for text in frame["text"]]
    assert (result.rows, result.ok, result.failed, result.requests) == (400, 400, 0, 400)
    assert labelled["prompt_tokens"].sum() == sum(entry.prompt_tokens for entry in server.entries)
    assert labelled["completion_tokens"].sum() == sum(entry.completion_tokens for entry in server.entries)
    assert result.prompt_tokens == labelled["prompt_tokens"].sum()
    assert server.repeats() == {}


async def test_a_finished_job_sends_nothing_and_a_removed_output_is_rebuilt_for_free(
    job: JobFiles, server: FaultServer
) -> None:
    job.table([*texts(200), "", None])
    await run_job(job.config())
    first = job.labelled()
    sent = len(asked(server))

    again = await run_job(job.config())
    assert (again.requests, again.prompt_tokens, again.cost_usd, again.again) == (0, 0, 0.0, True)
    job.output.unlink()
    rebuilt = await run_job(job.config())

    assert rebuilt.requests == 0
    assert len(asked(server)) == sent
    assert job.labelled().equals(first)


async def test_a_second_copy_of_each_row_costs_nothing(job: JobFiles, server: FaultServer) -> None:
    job.table(texts(300) * 2)

    result = await run_job(job.config())

    labelled = job.labelled()
    assert len(asked(server)) == 300
    assert result.duplicates == 300
    assert labelled["label_source"].to_list() == ["model"] * 300 + ["duplicate"] * 300
    assert labelled["prompt_tokens"][300:].sum() == 0
    assert labelled["label"][:300].to_list() == labelled["label"][300:].to_list()


async def test_the_next_night_only_changed_and_new_rows_are_asked(job: JobFiles, server: FaultServer) -> None:
    rows = texts(500)
    job.table(rows)
    first = await run_job(job.config())
    before = len(asked(server))

    rows[100:110] = texts(10, start=10_000)
    rows += texts(10, start=20_000)
    job.table(rows)
    second = await run_job(job.config())

    assert len(asked(server)) - before == 20
    assert (second.rows, second.ok, second.reused, second.requests) == (510, 510, 490, 20)
    assert second.run_id != first.run_id
    assert job.labelled()["label"].to_list() == [right_label(text) for text in rows]


async def test_a_column_that_may_have_nulls_in_one_file_of_a_folder_may_have_them_in_all(
    job: JobFiles,
) -> None:
    folder = job.folder / "days"
    folder.mkdir()
    for number, nullable in enumerate((False, True)):
        fields = [pa.field("text", pa.string()), pa.field("n", pa.int64(), nullable=nullable)]
        numbers = [None if nullable else 1] * 10
        table = pa.table([texts(10, start=number * 10), numbers], schema=pa.schema(fields))
        pq.write_table(table, folder / f"{number}.parquet")
    job.settings["input"]["path"], job.settings["output"]["path"] = "days", "out"
    await run_job(job.config())
    read = [pq.read_table(job.folder / "out" / f"{number}.parquet") for number in range(2)]
    assert [table.column("n").null_count for table in read] == [0, 10]
    assert [table.schema.field("n").nullable for table in read] == [True, True]


async def test_each_file_of_a_folder_keeps_its_own_metadata(job: JobFiles) -> None:
    folder = job.folder / "days"
    folder.mkdir()
    for name in ("a", "b"):
        schema = pa.schema(
            [pa.field("text", pa.string(), metadata={"of": f"text of {name}"})], {"rows": f"of {name}"}
        )
        pq.write_table(pa.Table.from_pydict({"text": [name]}, schema), folder / f"{name}.parquet")
    job.set(input={"path": "days"}, output={"path": "out"})
    await run_job(job.config())
    for name in ("a", "b"):
        written = pq.read_schema(job.folder / "out" / f"{name}.parquet")
        assert written.metadata[b"rows"] == f"of {name}".encode()
        assert written.field("text").metadata == {b"of": f"text of {name}".encode()}


async def test_a_folder_in_gives_a_folder_out_with_the_same_names(job: JobFiles) -> None:
    folder = job.folder / "days"
    folder.mkdir()
    for n in range(3):
        pl.DataFrame({"text": texts(50, start=n * 50)}).write_parquet(folder / f"day-{n}.parquet")
    job.set(input={"path": "days"}, output={"path": "out/days"})

    for _ in range(2):  # the second time it replaces a folder
        result = await run_job(job.config(), RunOptions())
        assert result.rows == 150
        assert sorted(path.name for path in job.output.iterdir()) == [f"day-{n}.parquet" for n in range(3)]
        labelled = pl.concat([pl.read_parquet(path) for path in sorted(job.output.iterdir())])
        assert labelled["label"].to_list() == [right_label(text) for text in texts(150)]
        (job.output / "day-1.parquet").unlink()


async def test_types_order_and_metadata_of_the_input_are_kept(job: JobFiles) -> None:
    table = pa.table(
        {
            "text": pa.array(texts(100), pa.large_string()),
            "kind": pa.array(["a", "b"] * 50).dictionary_encode(),
            "amount": pa.array([f"{n}.10" for n in range(100)]).cast(pa.decimal128(10, 2)),
            "at": pa.array(range(100), pa.timestamp("us", "UTC")),
            "tags": pa.array([["x", None]] * 100, pa.list_(pa.string())),
            "view": pa.array(texts(100), pa.string_view()),
        },
    ).replace_schema_metadata({"owner": "somebody"})
    pq.write_table(table, job.folder / "in.parquet")

    await run_job(job.config())

    read = pq.read_table(job.output)
    assert read.select(table.column_names).cast(table.schema).equals(table)
    assert [read.schema.field(name).type for name in ("text", "kind", "amount", "at", "tags")] == [
        table.schema.field(name).type for name in ("text", "kind", "amount", "at", "tags")
    ]
    assert read.schema.metadata[b"owner"] == b"somebody"
    assert b"pipeline.run" in read.schema.metadata


async def test_several_labels_come_as_a_list(tmp_path: Path) -> None:
    with FaultServer(label_for=lambda text: ["games", "sound"] if "1" in text else []) as server:
        job = JobFiles(tmp_path, server.base_url).set(task={"kind": "multi", "max_labels": 3})
        job.table(["one 1", "two 2"])
        result = await run_job(job.config())
    assert job.labelled()["labels"].to_list() == [["games", "sound"], []]
    assert result.ok == 2


async def test_a_thin_output_has_the_named_columns_and_the_prefix(job: JobFiles) -> None:
    job.table(texts(10))
    job.set(output={"columns": {"only": ["id"], "prefix": "tag_"}})
    await run_job(job.config())
    assert job.labelled().columns == ["id", *(f"tag_{name}" for name in NEW)]


async def test_numbers_and_dates_reach_the_prompt_as_they_stand_in_the_file(
    job: JobFiles, server: FaultServer
) -> None:
    pq.write_table(
        pa.table(
            {
                "n": [7],
                "price": pa.array(["1.10"]).cast(pa.decimal128(5, 2)),
                "day": pa.array([0], pa.date32()),
            }
        ),
        job.folder / "in.parquet",
    )
    job.set(task={"text": "{n} {price} {day}"})
    await run_job(job.config())
    assert asked(server) == ["7 1.10 1970-01-01"]


async def test_rows_without_text_are_empty_and_cost_nothing(job: JobFiles, server: FaultServer) -> None:
    job.table(["", None, "   ", "real"])
    result = await run_job(job.config())
    assert job.labelled()["label_status"].to_list() == ["empty", "empty", "empty", "ok"]
    assert job.labelled()["label_source"].to_list() == ["none", "none", "none", "model"]
    assert (len(asked(server)), result.failed) == (1, 0)


async def test_long_text_is_cut_and_the_row_says_so(job: JobFiles, server: FaultServer) -> None:
    job.table(["é" * 1000, "short"])
    job.set(task={"max_text_tokens": 10})
    await run_job(job.config())
    assert job.labelled()["label_truncated"].to_list() == [True, False]
    assert set(asked(server)) == {"é" * 20, "short"}


async def test_an_input_without_rows_gives_an_empty_output_of_the_right_schema(
    job: JobFiles, server: FaultServer
) -> None:
    job.table(pl.DataFrame({"text": []}, schema={"text": pl.String}))
    result = await run_job(job.config())
    assert (result.rows, result.status, len(asked(server))) == (0, "done", 0)
    assert job.labelled().columns == ["text", *NEW]


async def test_a_sample_has_its_own_output_and_its_answers_are_used_later(
    job: JobFiles, server: FaultServer
) -> None:
    job.table(texts(100))
    sampled = await run_job(job.config(), RunOptions(sample=10, seed=3))
    limited = await run_job(job.config(), RunOptions(limit=5))
    assert (sampled.rows, limited.rows) == (10, 5)
    assert (await run_job(job.config(), RunOptions(limit=5))).again
    assert sampled.output.endswith("labelled.sample-10-3.parquet")
    assert not job.output.exists()
    whole = await run_job(job.config())
    assert len(asked(server)) == 100
    assert whole.reused == 100 - whole.requests


async def test_rows_that_failed_are_asked_again_only_on_request(tmp_path: Path) -> None:
    with FaultServer(label_for=right_label) as server:
        job = JobFiles(tmp_path, server.base_url)
        job.table(texts(30))
        server.when(lambda text: text == texts(30)[7], "content_filter")
        first = await run_job(job.config())
        assert (first.failed, first.status) == (1, "failed")
        assert (await run_job(job.config())).requests == 0
        again = await run_job(job.config(), RunOptions(retry=frozenset({Status.FILTERED})))
        assert again.requests == 1


async def test_confidence_comes_from_logprobs_and_is_null_without(job: JobFiles) -> None:
    job.table(texts(5))
    await run_job(job.config())
    with_logprobs = job.labelled()["label_confidence"]
    assert with_logprobs.null_count() == 0
    assert with_logprobs.is_between(0, 1).all()
    job.set(model={"logprobs": False}, state={"dir": "other"}, output={"path": "other.parquet"})
    await run_job(job.config())
    assert job.labelled()["label_confidence"].null_count() == 5


def test_the_command_prints_people_text_on_stderr_and_one_json_line_on_stdout(job: JobFiles) -> None:
    job.table(texts(20))
    done = job.run()
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 1
    result = last_line(done)
    assert {"run_id", "status", "rows", "ok", "failed", "cost_usd", "output", "report"} <= set(result)
    assert result["cost_usd"] is None
    assert "20 rows: 20 labelled" in done.stderr
    assert json.loads(Path(result["report"]).read_text())["labels"]


def test_quiet_prints_nothing_but_the_json_line(job: JobFiles) -> None:
    job.table(texts(20))
    done = job.run("--quiet")
    assert (done.returncode, done.stderr) == (0, "")


async def test_nothing_that_happens_after_publishing_makes_a_run_fail(
    job: JobFiles, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def remove(_: Parts) -> None:
        raise OSError(errno.EIO, "I/O error")

    job.table(texts(10))
    monkeypatch.setattr(Parts, "remove", remove)
    first = await run_job(job.config())
    assert first.status == "done"
    assert "after the output was published" in caplog.text
    again = await run_job(job.config())
    assert (again.run_id, again.again) == (first.run_id, True)


async def test_a_run_that_is_asked_to_stop_while_it_publishes_and_publishes_is_done(
    job: JobFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop = Stop()

    def remove(_: Parts) -> None:
        stop.ask(InterruptedRunError("stopped"))
        time.sleep(0.05)

    job.table(texts(10))
    monkeypatch.setattr(Parts, "remove", remove)
    with started(job.config(), RunOptions()) as start:
        assert (await run_started(start, stop=stop)).status == "done"


@pytest.mark.parametrize("name", ["in.parquet", "in.csv"])
@pytest.mark.parametrize(
    "column", ["a.b", "0", "x!r", "Q1: why?", "text[en]", " blank ", "two\nlines", "'\""]
)
async def test_a_column_is_usable_whatever_its_name(job: JobFiles, name: str, column: str) -> None:
    job.table(pl.DataFrame({column: texts(3), "other": texts(3, 10)}), name)
    job.set(input={"id": column}, task={"text": f"{{{column}}}"}, output={"columns": {"only": [column]}})

    await run_job(job.config())

    assert job.labelled()[column].to_list() == texts(3)
    assert job.labelled()["label"].to_list() == [right_label(text) for text in texts(3)]
