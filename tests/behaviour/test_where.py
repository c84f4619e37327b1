"""`input.where`: rows that do not match are not in the job, and everything counts the others only."""

import asyncio
import json
from contextlib import suppress

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.faultserver.server import FaultServer
from tests.jobs import JobFiles, asked, command, last_line, right_label, run_job, texts

WHERE = "section = 'net' and length(text) > 20"
FRAME = pl.DataFrame(
    {"id": range(90), "text": texts(90), "section": [("net", "mail", None)[n % 3] for n in range(90)]}
)
NET = FRAME.filter(section="net")


@pytest.fixture
def filtered(job: JobFiles) -> JobFiles:
    job.table(FRAME)
    return job.set(input={"where": WHERE})


@pytest.mark.parametrize("name", ["in.parquet", "in.csv"])
async def test_only_rows_that_match_are_asked_and_published(
    filtered: JobFiles, server: FaultServer, name: str
) -> None:
    frame = FRAME.with_columns(pl.col("id").cast(pl.String)) if name == "in.csv" else FRAME
    filtered.table(frame, name)
    result = await run_job(filtered.config())

    assert sorted(asked(server)) == sorted(NET["text"])
    assert (result.rows, result.ok, result.requests) == (30, 30, 30)
    labelled = filtered.labelled()
    assert labelled.select(FRAME.columns).equals(frame.filter(section="net"))
    assert labelled["label"].to_list() == [right_label(text) for text in NET["text"]]
    assert pq.read_metadata(filtered.output).metadata[b"pipeline.rows"] == b"30"


@pytest.mark.parametrize("only", [None, ["id"]])
async def test_rows_that_do_not_match_are_kept_on_demand_and_say_so(
    filtered: JobFiles, server: FaultServer, only: list[str] | None
) -> None:
    filtered.set(output={"unmatched": "keep", "columns": {"only": only}})
    result = await run_job(filtered.config())

    assert len(asked(server)) == 30
    assert (result.rows, result.ok, result.failed, result.empty) == (30, 30, 0, 0)
    labelled = filtered.labelled()
    kept = FRAME.select(only or FRAME.columns)
    assert labelled.select(kept.columns).equals(kept)
    assert ("section" in labelled.columns) == (only is None)
    matches = [section == "net" for section in FRAME["section"]]
    assert labelled["label"].to_list() == [
        right_label(text) if wanted else None for text, wanted in zip(FRAME["text"], matches, strict=True)
    ]
    assert labelled["label_status"].to_list() == ["ok" if wanted else "skipped" for wanted in matches]
    skipped = labelled.filter(label_status="skipped")
    assert set(skipped["label_source"]) == {"none"}
    assert set(skipped["label_error"]) == {"the row does not match input.where"}
    assert skipped["prompt_tokens"].sum() == skipped["cost_usd"].sum() == 0
    report = json.loads(filtered.folder.joinpath(result.report).read_text())
    assert report["statuses"] == {"skipped": 60, "ok": 30}


async def test_another_condition_makes_a_new_output_and_asks_for_new_rows_only(filtered: JobFiles) -> None:
    await run_job(filtered.config())
    assert (await run_job(filtered.config())).again
    filtered.set(input={"where": "section = 'net' or section = 'mail'"})
    assert (await run_job(filtered.config())).requests == 30
    filtered.set(output={"unmatched": "keep"})
    result = await run_job(filtered.config())
    assert (result.again, result.requests, result.rows) == (False, 0, 60)
    assert len(filtered.labelled()) == 90


@pytest.mark.parametrize("unmatched", ["drop", "keep"])
@pytest.mark.parametrize("only", [None, ["id"]])
def test_limit_and_sample_choose_among_the_rows_that_match(
    filtered: JobFiles, unmatched: str, only: list[str] | None
) -> None:
    filtered.set(output={"unmatched": unmatched, "columns": {"only": only}})
    assert last_line(filtered.run("--limit", "4", "--quiet"))["rows"] == 4
    first = pl.read_parquet(filtered.output.with_name("labelled.limit-4.parquet"))
    assert first["id"].to_list() == NET["id"].to_list()[:4]
    assert last_line(filtered.run("--sample", "7", "--quiet"))["rows"] == 7
    some = pl.read_parquet(filtered.output.with_name("labelled.sample-7-0.parquet"))
    assert set(some["id"]) < set(NET["id"])
    assert set(some["label_status"]) == {"ok"}


def test_check_plan_explain_and_status_see_the_rows_that_match(filtered: JobFiles) -> None:
    config = str(filtered.config_file())
    assert last_line(command("check", config))["rows"] == 30
    plan = last_line(command("plan", config))
    assert (plan["rows"], plan["requests"]) == (30, 30)
    assert last_line(command("plan", config, "--limit", "4"))["rows"] == 4
    filtered.run("--quiet")
    assert last_line(command("status", config))["rows"] == 30
    assert last_line(command("explain", config, "1"))["text"] == NET["text"][1]


@pytest.mark.parametrize("unmatched", ["drop", "keep"])
async def test_a_folder_keeps_its_files_and_a_run_that_was_stopped_continues(
    filtered: JobFiles, server: FaultServer, unmatched: str
) -> None:
    (filtered.folder / "in").mkdir()
    for number in range(9):
        pq.write_table(FRAME.slice(number * 10, 10).to_arrow(), filtered.folder / "in" / f"{number}.parquet")
    other = pa.table({"id": [1], "text": ["no match"], "section": ["mail"]})
    pq.write_table(other.cast(FRAME.to_arrow().schema), filtered.folder / "in" / "none.parquet")
    filtered.set(
        input={"path": "in"}, output={"path": "out", "unmatched": unmatched}, limits={"max_concurrency": 2}
    )
    task = asyncio.ensure_future(run_job(filtered.config()))
    while len(asked(server)) < 10:  # noqa: ASYNC110 - the server is in another thread
        await asyncio.sleep(0.001)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    before = len(asked(server))

    result = await run_job(filtered.config())

    assert (result.rows, result.ok) == (30, 30)
    assert len(asked(server)) - before < 30
    names = sorted(path.name for path in filtered.output.iterdir())
    assert names == [*(f"{number}.parquet" for number in range(9)), "none.parquet"]
    labelled = pl.concat([pl.read_parquet(filtered.output / name) for name in names[:-1]])
    assert labelled["id"].to_list() == (NET if unmatched == "drop" else FRAME)["id"].to_list()
    net = labelled.filter(section="net")
    assert net["label"].to_list() == [right_label(text) for text in NET["text"]]
    assert len(pl.read_parquet(filtered.output / "none.parquet")) == (unmatched == "keep")
    assert set(asked(server)) <= set(NET["text"])


async def test_duplicates_are_found_among_the_rows_that_match(
    filtered: JobFiles, server: FaultServer
) -> None:
    filtered.table(FRAME.with_columns(text=pl.lit("one text for all of the rows")))
    filtered.set(output={"unmatched": "keep"})
    result = await run_job(filtered.config())
    assert (len(asked(server)), result.duplicates) == (1, 29)
    sources = filtered.labelled()["label_source"].to_list()
    assert sources == ["model" if not n else "none" if n % 3 else "duplicate" for n in range(90)]


def test_a_condition_that_does_not_fit_is_refused_before_anything_is_asked(
    filtered: JobFiles, server: FaultServer
) -> None:
    filtered.set(input={"where": "secton = 'net'"})
    done = filtered.run("--quiet")
    assert done.returncode == 78
    assert "input.where: the input has no column 'secton'; did you mean 'section'?" in done.stderr
    assert server.entries == []


def test_rows_that_were_skipped_cannot_be_retried(filtered: JobFiles) -> None:
    done = filtered.run("--retry", "skipped")
    assert (done.returncode, "never asked" in done.stderr) == (2, True)


def test_a_condition_that_nothing_matches_gives_an_empty_output(
    filtered: JobFiles, server: FaultServer
) -> None:
    filtered.set(input={"where": "section = 'games'"})
    done = filtered.run()
    assert (done.returncode, last_line(done)["rows"]) == (0, 0)
    assert "input.where: 0 of 90 rows match" in done.stderr
    assert filtered.labelled().columns[:3] == FRAME.columns
    assert server.entries == []
