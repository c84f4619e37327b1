"""The batch lane: rows that are handed in as files get their labels for half the money, and nothing is paid twice."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pipeline.config import ModelSettings
from pipeline.config.simulate.faults import BatchFault
from pipeline.errors import (
    BudgetSpentError,
    ConfigError,
    InterruptedRunError,
    ProviderUnavailableError,
    WaitingError,
)
from pipeline.job.options import RunOptions
from pipeline.llm.batch import lines as batch_lines
from pipeline.llm.billing import Billing
from tests.batching import PRICE, Peer, Quick, batch_job, bills, labels, peer, under_way
from tests.jobs import JobFiles, command, last_line, run_job, some_rows, texts
from tests.test_layout import modules_after

ROWS = 60
NO_WAIT = RunOptions(wait=False)


@pytest.fixture
def provider() -> Iterator[Peer]:
    """A provider whose batches end at the first look."""
    with peer() as running:
        yield running


@pytest.fixture
def job(tmp_path: Path, provider: Peer) -> JobFiles:
    return batch_job(tmp_path, provider.base_url, some_rows(ROWS))


async def finish(job: JobFiles, options: RunOptions = RunOptions()) -> Any:  # noqa: B008 - frozen
    return await run_job(job.config(), options, clock=Quick().clock)


async def live_labels(job: JobFiles, folder: Path) -> list[str | None]:
    """The labels that the same rows get one by one."""
    other = JobFiles(folder, job.settings["model"]["base_url"])
    other.settings["input"]["path"] = str(job.folder / "in.parquet")
    os.makedirs(folder)  # noqa: PTH103
    await run_job(other.config())
    return labels(other)


async def test_rows_that_are_handed_in_get_the_labels_that_they_get_one_by_one(
    job: JobFiles, provider: Peer, tmp_path: Path
) -> None:
    result = await finish(job)
    distinct = len(set(filter(None, some_rows(ROWS))))
    assert (result.status, result.ok, result.reused) == ("done", result.rows - result.empty, 0)
    assert (provider.billed, provider.paid_twice, provider.made) == (distinct, 0, 1)
    assert result.requests == distinct
    assert under_way(job) == []
    assert labels(job) == await live_labels(job, tmp_path / "live")


@pytest.mark.slow
async def test_a_batch_costs_its_price_and_the_books_balance(job: JobFiles, provider: Peer) -> None:
    result = await finish(job)
    frame = pl.read_parquet(job.output)
    paid = bills(job)
    assert paid["prompt_tokens"] == result.prompt_tokens == provider.server.log.prompt_tokens
    assert paid["completion_tokens"] == result.completion_tokens == provider.server.log.completion_tokens
    full = [p + 4 * c for p, c in zip(frame["prompt_tokens"], frame["completion_tokens"], strict=True)]
    ratios = [cost * 1e6 / whole for cost, whole in zip(frame["cost_usd"], full, strict=True) if whole]
    assert sorted({round(ratio, 9) for ratio in ratios}) == [0.5, 1.0]
    assert ratios.count(pytest.approx(1.0)) == 1, (
        "one row is asked by itself, to see that the endpoint takes it"
    )
    assert result.cost_usd == pytest.approx(paid["cost_usd"])


@pytest.mark.slow
async def test_what_a_batch_has_answered_costs_nothing_later_and_the_other_way_round(
    job: JobFiles, provider: Peer
) -> None:
    await finish(job)
    billed = provider.billed
    job.set(model={"lane": "live"}, output={"path": "out/live.parquet"})
    assert (await finish(job)).requests == 0
    job.table(texts(80))
    live = await finish(job)
    assert live.reused > 0
    assert provider.billed == billed + live.requests
    job.set(model={"lane": "batch"}, output={"path": "out/again.parquet"})
    again = await finish(job)
    assert (again.requests, provider.made) == (0, 1)
    assert provider.paid_twice == 0


@pytest.mark.slow
async def test_tonight_it_is_handed_in_and_tomorrow_it_is_fetched(tmp_path: Path) -> None:
    with peer(batch_seconds=3600) as provider:
        job = batch_job(tmp_path, provider.base_url, some_rows(ROWS))
        tonight = job.run("--no-wait", "--quiet")
        assert (tonight.returncode, tonight.stderr) == (75, ""), "nothing for cron to mail"
        told = last_line(tonight)
        assert told["status"] == "waiting"
        assert told["error"].startswith("1 batch of ")
        again = job.run("--no-wait")
        assert (again.returncode, provider.made, provider.billed) == (75, 1, 1)
        listed = last_line(command("batch", "list", str(job.config_file())))["batches"]
        assert [(each["status"], each["done"]) for each in listed] == [("in_progress", 0)]
        provider.finish()
        tomorrow = job.run("--no-wait")
        assert (tomorrow.returncode, last_line(tomorrow)["status"]) == (0, "done")
        assert (provider.made, provider.paid_twice) == (1, 0)
        assert last_line(command("batch", "list", str(job.config_file()))) == {"batches": []}
        assert last_line(job.run("--no-wait"))["requests"] == 0


async def test_neither_lane_asks_what_is_being_asked(tmp_path: Path) -> None:
    with peer(batch_seconds=3600) as provider:
        job = batch_job(tmp_path, provider.base_url, some_rows(ROWS))
        with pytest.raises(WaitingError):
            await finish(job, NO_WAIT)
        billed = provider.billed
        for lane in ("live", "batch"):
            job.set(model={"lane": lane}, output={"path": f"out/{lane}.parquet"})
            with pytest.raises(WaitingError):
                await finish(job, NO_WAIT)
        assert (provider.billed, provider.made) == (billed, 1)
        provider.finish()
        await finish(job)
        assert (provider.made, provider.paid_twice) == (1, 0)


@pytest.mark.slow
async def test_another_night_asks_about_the_new_rows_only(tmp_path: Path) -> None:
    with peer(batch_seconds=3600) as provider:
        job = batch_job(tmp_path, provider.base_url, texts(30))
        with pytest.raises(WaitingError):
            await finish(job, NO_WAIT)
        job.table(texts(50))
        with pytest.raises(WaitingError):
            await finish(job, NO_WAIT)
        assert sorted(each.lines for each in under_way(job)) == [19, 29]
        provider.finish()
        result = await finish(job, NO_WAIT)
        assert (result.ok, provider.billed, provider.paid_twice) == (50, 50, 0)


SURVIVED = [
    BatchFault.LOST_REPLY,
    BatchFault.EXPIRED,
    BatchFault.QUEUE_FULL,
    BatchFault.EMPTY_IDS,
    BatchFault.SHUFFLED,
    BatchFault.DUPLICATED,
    BatchFault.CUT_DOWNLOAD,
]


@pytest.mark.slow
@pytest.mark.parametrize("fault", SURVIVED)
async def test_a_batch_that_goes_wrong_costs_nothing_twice_and_loses_nothing(
    job: JobFiles, provider: Peer, tmp_path: Path, fault: BatchFault
) -> None:
    provider.plan(fault)
    result = await finish(job)
    distinct = len(set(filter(None, some_rows(ROWS))))
    assert (result.failed, result.pending) == (0, 0)
    assert (provider.billed, provider.paid_twice) == (distinct, 0)
    assert provider.made == (2 if fault in {BatchFault.EXPIRED, BatchFault.QUEUE_FULL} else 1)
    assert bills(job)["prompt_tokens"] == provider.server.log.prompt_tokens
    assert (under_way(job), provider.files) == ([], 0)
    assert labels(job) == await live_labels(job, tmp_path / "live")


@pytest.mark.slow
async def test_a_line_that_is_in_no_file_is_asked_again(job: JobFiles, provider: Peer) -> None:
    provider.plan(BatchFault.MISSING)
    result = await finish(job)
    assert (result.failed, provider.made, provider.paid_twice) == (0, 2, 1), "the provider billed for nothing"


@pytest.mark.slow
async def test_a_line_that_never_comes_is_asked_by_itself_and_not_handed_in_for_ever(
    job: JobFiles, provider: Peer
) -> None:
    provider.plan(*[BatchFault.MISSING] * 9)
    result = await finish(job)
    assert (result.failed, provider.made) == (0, 2)


@pytest.mark.slow
async def test_a_batch_whose_answers_cannot_be_read_is_handed_in_again_only_on_request(
    job: JobFiles, provider: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = provider.server.batches._results
    with monkeypatch.context() as patch:
        patch.setattr(
            provider.server.batches, "_results",
            lambda batch, what, lines: whole(batch, what, [line[: len(line) // 2] + b"\n" for line in lines]),
        )  # fmt: skip
        for _ in range(2):
            with pytest.raises(ProviderUnavailableError, match="none of its 49 answers that can be read"):
                await finish(job)
    assert provider.made == 1
    assert command("batch", "cancel", str(job.config_file())).returncode == 0
    assert len(under_way(job)) == 1
    assert command("batch", "cancel", str(job.config_file()), "--forget").returncode == 0
    result = await finish(job)
    assert (result.failed, provider.made) == (0, 2)


@pytest.mark.slow
async def test_what_can_still_be_fetched_is_not_forgotten(job: JobFiles, provider: Peer) -> None:
    with pytest.raises(WaitingError):
        await finish(job, NO_WAIT)
    assert command("batch", "cancel", str(job.config_file()), "--forget").returncode == 0
    result = await finish(job)
    assert (result.failed, provider.made, provider.paid_twice) == (0, 1, 0)


@pytest.mark.slow
async def test_a_batch_that_is_refused_as_a_whole_ends_the_run_and_costs_nothing(
    job: JobFiles, provider: Peer
) -> None:
    provider.plan(BatchFault.ALL_REFUSED)
    with pytest.raises(ProviderUnavailableError, match="all of its lines were refused: 400: This request"):
        await finish(job)
    assert provider.billed == 1
    result = await run_job(job.set(model={"lane": "live"}).config())
    assert (result.failed, under_way(job)) == (0, []), "the way out that the message names"


@pytest.mark.slow
async def test_lines_that_are_refused_are_asked_one_by_one(tmp_path: Path) -> None:
    with peer(faults={"http_500": 0.2}) as provider:
        job = batch_job(tmp_path, provider.base_url, texts(ROWS))
        result = await finish(job)
        assert (result.ok, provider.made, provider.paid_twice) == (ROWS, 1, 0)


@pytest.mark.slow
async def test_invalid_replies_are_asked_again_one_by_one_in_a_stricter_wording(tmp_path: Path) -> None:
    with peer(faults={"prose": 0.3}) as provider:
        job = batch_job(tmp_path, provider.base_url, texts(ROWS))
        result = await finish(job)
        assert provider.made == 1
        assert provider.billed > ROWS
        assert bills(job)["prompt_tokens"] == provider.server.log.prompt_tokens == result.prompt_tokens


@pytest.mark.slow
async def test_a_batch_that_is_not_found_any_more_is_given_up_only_on_request(tmp_path: Path) -> None:
    with peer() as provider:
        job = batch_job(tmp_path, provider.base_url, texts(ROWS))
        provider.plan(BatchFault.GONE)
        for _ in range(2):
            with pytest.raises(ConfigError, match="is not known to the endpoint"):
                await finish(job)
        assert provider.made == 1
        assert command("batch", "cancel", str(job.config_file())).returncode == 0
        assert len(under_way(job)) == 1
        assert command("batch", "cancel", str(job.config_file()), "--forget").returncode == 0
        assert (await finish(job)).ok == ROWS


@pytest.mark.slow
async def test_a_cancelled_batch_leaves_what_it_has_answered_and_hands_the_rest_in_again(
    tmp_path: Path,
) -> None:
    with peer(batch_seconds=3600) as provider:
        job = batch_job(tmp_path, provider.base_url, texts(ROWS))
        with pytest.raises(WaitingError):
            await finish(job, NO_WAIT)
        told = last_line(command("batch", "cancel", str(job.config_file())))
        assert [each["status"] for each in told["batches"]] == ["cancelling"]
        provider.finish()
        assert (await finish(job)).ok == ROWS
        assert (provider.made, provider.paid_twice) == (2, 0)


@pytest.mark.slow
async def test_a_batch_whose_making_was_never_confirmed_is_looked_for_ten_minutes(
    provider: Peer, job: JobFiles
) -> None:
    create = provider.server.batches.create
    calls = []

    def vanish(body: bytes) -> Any:
        """Make nothing, and say nothing."""
        calls.append(json.loads(body)["metadata"]["intent"])
        if len(calls) > 1:
            return create(body)
        found = create(b"{}")
        provider.server.batches._batches.clear()
        from pipeline.servers.simulator.response import NoReply  # noqa: PLC0415 - for this test

        return NoReply(hangs=False, delay=0) if found else found

    provider.server.batches.create = vanish  # type: ignore[method-assign]
    quick = Quick()
    await run_job(job.config(), clock=quick.clock)
    assert len(set(calls)) == 2
    assert quick.waited > 600
    assert provider.paid_twice == 0


@pytest.mark.slow
async def test_many_rows_go_into_several_files(
    job: JobFiles, provider: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.engine.batches.cutting.MOST_LINES", 20)
    assert batch_lines.MOST_LINES == 50_000
    assert batch_lines.MOST_BYTES == 95_000_000
    await finish(job)
    distinct = len(set(filter(None, some_rows(ROWS))))
    assert provider.made == -(-(distinct - 1) // 20)
    assert provider.paid_twice == 0


@pytest.mark.slow
async def test_a_file_has_at_most_so_many_bytes(
    job: JobFiles, provider: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.engine.batches.cutting.MOST_BYTES", 20_000)
    sizes = []
    upload = provider.server.batches.upload
    provider.server.batches.upload = lambda name, purpose, content: (  # type: ignore[method-assign]
        sizes.append(len(content)) or upload(name, purpose, content)  # type: ignore[func-returns-value]
    )
    await finish(job)
    assert len(sizes) > 2
    assert max(sizes) <= 20_000


@pytest.mark.slow
async def test_a_budget_is_kept_and_a_batch_beyond_it_is_not_handed_in(job: JobFiles, provider: Peer) -> None:
    job.set(limits={"max_cost_usd": 0.002})
    with pytest.raises(BudgetSpentError):
        await finish(job)
    assert provider.made >= 1
    assert provider.billed > 1
    tokens = provider.server.log
    assert tokens.prompt_tokens * PRICE["input"] / 2e6 < 0.002  # type: ignore[operator]
    job.set(limits={"max_cost_usd": 1})
    assert (await finish(job)).failed == 0
    assert provider.paid_twice == 0


@pytest.mark.slow
async def test_a_budget_is_used_up_in_a_few_batches_one_after_the_other(
    tmp_path: Path, provider: Peer
) -> None:
    job = batch_job(tmp_path, provider.base_url, list(texts(1_500)))
    job.set(limits={"max_cost_usd": 0.06})  # of about 0.11
    with pytest.raises(BudgetSpentError):
        await finish(job)
    spent = provider.server.log.prompt_tokens * 0.5e-6 + provider.server.log.completion_tokens * 2e-6
    assert 0.9 * 0.06 < spent <= 0.06
    assert provider.made <= 6
    job.set(limits={"max_cost_usd": 1})
    assert (await finish(job)).failed == 0
    assert provider.paid_twice == 0


@pytest.mark.slow
async def test_what_most_of_a_budget_is_set_aside_for_is_waited_for_before_more_is_handed_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.engine.batches.cutting.MOST_LINES", 100)
    with peer(batch_seconds=3_600) as provider:
        job = batch_job(tmp_path, provider.base_url, list(texts(1_500)))
        job.set(limits={"max_cost_usd": 0.06})
        with pytest.raises(WaitingError):
            await finish(job, NO_WAIT)
        made = provider.made
        assert made > 1
        # One of them ends: what it set aside and did not cost would be enough for a few rows.
        first = next(iter(provider.server.batches._batches.values()))
        first.created = 0
        with pytest.raises(WaitingError):
            await finish(job, NO_WAIT)
        assert len(under_way(job)) == made - 1
        assert provider.made == made


async def test_a_budget_needs_a_price_of_a_batch(job: JobFiles, provider: Peer) -> None:
    job.set(model={"price": {"input": 1, "output": 1}}, limits={"max_cost_usd": 1})
    with pytest.raises(ConfigError, match=r"set model\.price\.batch"):
        await finish(job)
    assert "set model.price.batch" in command("check", str(job.config_file())).stderr
    assert provider.billed == 0


@pytest.mark.slow
async def test_without_a_price_of_a_batch_its_cost_is_unknown(job: JobFiles) -> None:
    job.set(model={"price": {"input": 1, "output": 1}})
    await finish(job)
    costs = pl.read_parquet(job.output).filter(pl.col("label_source") == "model")["cost_usd"]
    assert costs.null_count() == len(costs) - 1


@pytest.mark.slow
async def test_a_batch_at_another_endpoint_is_not_asked_about_here(provider: Peer, job: JobFiles) -> None:
    with peer(batch_seconds=3600) as other:
        job.set(model={"base_url": other.base_url})
        with pytest.raises(WaitingError):
            await finish(job, NO_WAIT)
        job.set(model={"base_url": provider.base_url})
        with pytest.raises(ConfigError, match="fetch it with the config that it was handed in with"):
            await finish(job)
        assert provider.billed == 0


@pytest.mark.slow
async def test_a_stopped_run_cancels_nothing(tmp_path: Path) -> None:
    with peer(batch_seconds=3600) as provider:
        job = batch_job(tmp_path, provider.base_url, texts(ROWS)).set(limits={"max_runtime": "1s"})
        with pytest.raises(InterruptedRunError):
            await run_job(job.config())
        assert [each["status"] for each in map(json.loads, [_status(provider)])] == ["in_progress"]
        provider.finish()
        assert (await finish(job)).ok == ROWS
        assert (provider.made, provider.paid_twice) == (1, 0)


def _status(provider: Peer) -> bytes:
    name = next(iter(provider.server.batches._batches))
    sent: Any = provider.server.batches.batch(name)
    body: bytes = sent.body
    return body


@pytest.mark.slow
def test_a_rehearsal_of_a_batch_needs_no_server(tmp_path: Path) -> None:
    job = JobFiles(tmp_path, "http://unused")
    job.table(texts(20))
    job.settings["model"] = {"provider": "simulate", "lane": "batch"}
    job.set(simulate={"latency": 0, "batch_seconds": 0.1})
    assert last_line(job.run())["ok"] == 20
    refused = job.run("--no-wait", "--overwrite", "--retry", "all")
    assert refused.returncode == 2
    assert "the simulated endpoint ends with the run" in refused.stderr


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"provider": "oxen", "base_url": None}, "is not what provider oxen takes; write live"),
        (
            {"endpoints": [{"base_url": "https://h/v1"}], "base_url": None},
            "asks one endpoint; leave model.endpoints out",
        ),
    ],
)
def test_a_lane_that_is_not_there_is_refused(job: JobFiles, changes: dict[str, Any], words: str) -> None:
    job.set(model=changes)
    job.settings["model"].pop("price")
    done = command("check", str(job.config_file()))
    assert done.returncode == 78
    assert words in done.stderr


@pytest.mark.slow
def test_slices_and_batches_do_not_mix(tmp_path: Path) -> None:
    with peer(batch_seconds=3600) as provider:
        job = batch_job(tmp_path, provider.base_url, texts(20))
        assert "leave --slice and --engine out" in job.run("--slice", "0/2").stderr
        assert job.run("--no-wait").returncode == 75
        job.set(model={"lane": "live"})
        refused = job.run("--slice", "0/2")
        assert (refused.returncode, provider.billed) == (2, 1)
        assert "a batch is under way" in refused.stderr


@pytest.mark.slow
def test_a_batch_keeps_the_ledger_from_being_cut(tmp_path: Path) -> None:
    with peer(batch_seconds=3600) as provider:
        job = batch_job(tmp_path, provider.base_url, texts(20))
        assert job.run("--no-wait").returncode == 75
        refused = command("ledger", "reslice", str(job.config_file()), "2")
        assert (refused.returncode, "a batch is under way" in refused.stderr) == (2, True)


@pytest.mark.slow
def test_waiting_is_no_failure_to_a_health_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pings: list[str] = []
    monkeypatch.setattr("pipeline.telemetry.healthcheck._send", lambda url, _: pings.append(url))
    with peer(batch_seconds=3600) as provider:
        job = batch_job(tmp_path, provider.base_url, texts(20))
        job.set(notify={"healthcheck_url": "https://check.example/x"})
        assert job.run("--no-wait").returncode == 75
        provider.finish()
        assert job.run("--no-wait").returncode == 0
    assert [url.removeprefix("https://check.example/x") for url in pings] == ["/start", "/log", "/start", ""]


@pytest.mark.slow
def test_a_plan_tells_both_prices_and_that_a_batch_takes_its_time(job: JobFiles, provider: Peer) -> None:
    batch = command("plan", str(job.config_file()))
    told = last_line(batch)
    assert (told["lane"], told["bound"], told["seconds"]) == ("batch", "batch", 86_400)
    assert told["cost_usd"] == told["batch_cost_usd"] == pytest.approx(told["live_cost_usd"] / 2)
    assert "which take up to 24 h" in batch.stderr
    job.set(model={"lane": "live"})
    live = command("plan", str(job.config_file()))
    assert last_line(live)["cost_usd"] == last_line(live)["live_cost_usd"] == told["live_cost_usd"]
    assert "(model.lane: batch)" in live.stderr
    assert provider.billed == 0


@pytest.mark.slow
def test_a_job_without_batches_loads_nothing_of_them(job: JobFiles) -> None:
    job.set(model={"lane": "live"})
    loaded = modules_after("run", str(job.config_file()))
    assert [
        name for name in loaded if name.startswith(("pipeline.llm.batch", "pipeline.engine.batches"))
    ] == []
    assert not (job.folder / "state" / "batches.sqlite").exists()


@pytest.mark.slow
def test_half_the_price_is_believed_only_where_it_is_sold() -> None:
    def price(**model: Any) -> float | None:
        found = Billing(ModelSettings(name="gpt-4.1-nano", **model), capped=False).batch_price
        return found and round(found.input * 1e6, 6)

    usual = {"price": {"input": 1, "output": 4}}
    assert price(provider="openai", **usual) == 0.5
    assert price(provider="openai", base_url="https://api.openai.com/v1", **usual) == 0.5
    assert price(provider="openai", base_url="https://gateway.example/v1", **usual) is None
    assert price(provider="openai-compatible", base_url="https://host.example/v1", **usual) is None
    assert price(provider="oxen", **usual) is None
    assert price(provider="openai") == pytest.approx(0.05)
    told = {"price": {**usual["price"], "batch": {"input": 0.7, "output": 1}}}
    assert price(provider="openai", **told) == 0.7


async def test_what_is_being_asked_in_a_batch_is_not_asked_in_packs_either(tmp_path: Path) -> None:
    with peer(batch_seconds=3600) as provider:
        job = batch_job(tmp_path, provider.base_url, some_rows(ROWS))
        with pytest.raises(WaitingError):
            await finish(job, NO_WAIT)
        billed = provider.billed
        job.set(model={"lane": "live", "rows_per_request": 10})
        with pytest.raises(WaitingError):
            await finish(job, NO_WAIT)
        assert provider.billed == billed


async def test_a_book_of_batches_keeps_no_job_from_several_endpoints(job: JobFiles, provider: Peer) -> None:
    await finish(job)
    settings = {
        key: value for key, value in job.settings["model"].items() if key not in {"base_url", "lane", "price"}
    }
    addresses = [provider.base_url, provider.base_url.replace("127.0.0.1", "localhost")]
    job.settings["model"] = {**settings, "endpoints": [{"base_url": each} for each in addresses]}
    assert (await finish(job)).requests == 0
