"""Whole runs in which a second model is asked about the rows of which the first one is unsure."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from random import Random
from threading import Event
from typing import Any, NamedTuple

import polars as pl
import pyarrow.parquet as pq
import pytest

from pipeline.commands.plan.command import plan
from pipeline.commands.report.command import report
from pipeline.commands.report.job_facts import shown_config
from pipeline.config.simulate.latency import Fixed
from pipeline.job.options import RunOptions
from pipeline.ledger import opened
from pipeline.servers.simulator.settings import RateSettings
from pipeline.telemetry.pace import Look
from pipeline.telemetry.progress import Silent
from tests.batching import Quick, batch_job, peer
from tests.faultserver.server import FaultServer
from tests.faultserver.settings import FaultServerSettings
from tests.jobs import LABELS, JobFiles, asked, command, last_line, right_label, run_job, texts

PRICES = {"input": 1, "output": 4}, {"input": 10, "output": 40}
BELOW = 0.8
"""Of the simulator's labels about one in three has a confidence below this, as it says for the same row each time."""


def wrong_label(text: str) -> str:
    return LABELS[LABELS.index(right_label(text)) - 1]


class Pair(NamedTuple):
    """A job with two models: the first one is always wrong, the second one always right."""

    job: JobFiles
    one: FaultServer
    two: FaultServer

    def columns(self) -> pl.DataFrame:
        return self.job.labelled()

    def rows(self, source: str) -> pl.DataFrame:
        return self.columns().filter(pl.col("label_source") == source)

    def billed(self) -> tuple[int, int, float]:
        """Prompt tokens, completion tokens and US dollars of both servers."""
        tokens, dollars = [0, 0], 0.0
        for server, price in zip((self.one, self.two), PRICES, strict=True):
            for entry in server.entries:
                if entry.billed:
                    tokens[0] += entry.prompt_tokens
                    tokens[1] += entry.completion_tokens
                    dollars += (
                        entry.prompt_tokens * price["input"] + entry.completion_tokens * price["output"]
                    )
        return tokens[0], tokens[1], dollars / 1e6

    def ensure_balanced(self) -> None:
        """Ensure that the rows, and the ledger, have what both servers billed, in tokens and dollars."""
        found, (prompt, completion, dollars) = self.columns(), self.billed()
        assert (found["prompt_tokens"].sum(), found["completion_tokens"].sum()) == (prompt, completion)
        assert found["cost_usd"].sum() == pytest.approx(dollars)
        assert self.ledger() == (prompt, completion)
        with opened(self.job.folder / "state") as store:
            totals = store.totals() if store else []
        assert sum(run.cost_usd or 0 for run in totals) == pytest.approx(dollars)

    def ledger(self) -> tuple[int, int]:
        """Prompt tokens and completion tokens of all answers in the ledger."""
        with opened(self.job.folder / "state") as store:
            totals = store.totals() if store else []
        return sum(run.prompt_tokens for run in totals), sum(run.completion_tokens for run in totals)


@contextmanager
def a_pair(
    folder: Path,
    one: FaultServerSettings | None = None,
    two: FaultServerSettings | None = None,
    label: Callable[[str], Any] = wrong_label,
    second: Callable[[str], Any] = right_label,
    **escalate: Any,
) -> Iterator[Pair]:
    with FaultServer(one, label_for=label) as first, FaultServer(two, label_for=second) as other:
        job = JobFiles(folder, first.base_url)
        model = {
            "provider": "openai-compatible", "name": "big", "base_url": other.base_url, "price": PRICES[1],
        }  # fmt: skip
        job.set(model={"price": PRICES[0]}, escalate={"model": model, "below": BELOW, **escalate})
        yield Pair(job, first, other)


def test_unsure_rows_get_the_second_models_label_and_the_books_balance(tmp_path: Path) -> None:
    with a_pair(tmp_path) as pair:
        pair.job.table(texts(40))
        result = last_line(pair.job.run())
        found, own, second = pair.columns(), pair.rows("model"), pair.rows("escalated")
        assert 0 < len(second) < len(own)
        assert len(own) + len(second) == len(found) == 40
        assert own["label"].to_list() == list(map(wrong_label, own["text"]))
        assert own["label_confidence"].min() >= BELOW
        assert second["label"].to_list() == list(map(right_label, second["text"]))
        assert set(second["label_model"]) == {"big"}
        assert sorted(asked(pair.one)) == sorted(texts(40))
        assert sorted(asked(pair.two)) == sorted(second["text"])
        pair.ensure_balanced()
        assert (result["escalated"], result["requests"]) == (len(second), 40 + len(second))
        told = result["escalation"]
        assert (told["rows"], told["changed"], told["same"]) == (len(second), len(second), 0)
        assert told["cost_usd"] + sum(
            (entry.prompt_tokens + 4 * entry.completion_tokens) / 1e6 for entry in pair.one.entries
        ) == pytest.approx(result["cost_usd"])


def test_a_rerun_sends_nothing_and_an_output_that_was_lost_comes_back_the_same(tmp_path: Path) -> None:
    with a_pair(tmp_path) as pair:
        pair.job.table(texts(30))
        pair.job.run()
        before, sent = pair.columns(), (pair.one.requests, pair.two.requests)
        again = last_line(pair.job.run())
        assert (again["again"], again["escalated"], again["escalation"]["cost_usd"]) == (
            True, before["label_source"].to_list().count("escalated"), 0,
        )  # fmt: skip
        pair.job.output.unlink()
        pair.job.run()
        assert pair.columns().equals(before)
        assert (pair.one.requests, pair.two.requests) == sent


def test_rows_without_a_label_are_the_most_unsure_of_all(tmp_path: Path) -> None:
    faults = dict(
        zip(texts(4), ("unknown_label", "refusal", "content_filter", "context_length"), strict=True)
    )
    with a_pair(tmp_path, below=0) as pair:
        for text, fault in faults.items():
            pair.one.when(text.__eq__, fault)
        pair.job.table(texts(10))
        result = last_line(pair.job.run())
        assert result["ok"] == 10
        assert result["escalation"]["mended"] == 4
        assert pair.rows("escalated")["text"].to_list() == list(faults)
        assert pair.rows("escalated")["label"].to_list() == list(map(right_label, faults))
        pair.ensure_balanced()


@pytest.mark.slow
def test_only_the_statuses_that_are_named_are_a_reason(tmp_path: Path) -> None:
    with a_pair(tmp_path, below=0, on=["refused"]) as pair:
        pair.one.when(texts(1)[0].__eq__, "unknown_label")
        pair.one.when(texts(2)[1].__eq__, "refusal")
        pair.job.table(texts(30))
        pair.job.run()
        assert asked(pair.two) == [texts(2)[1]]
        assert pair.columns()["label_status"][0] == "invalid"


def test_the_first_label_stands_as_unsure_where_the_second_model_gives_none(tmp_path: Path) -> None:
    with a_pair(tmp_path) as pair:
        refusing = [True]
        pair.two.when(lambda _: bool(refusing), "refusal")
        pair.job.table(texts(40))
        result = last_line(pair.job.run())
        found = pair.columns()
        kept = found.filter(pl.col("label_status") == "unsure")
        assert len(kept) == result["unsure"] == result["escalation"]["unanswered"] > 0
        assert (result["failed"], result["escalated"]) == (0, 0)
        assert kept["label"].to_list() == list(map(wrong_label, kept["text"]))
        assert set(kept["label_source"]) == {"model"}
        assert kept["label_error"].str.starts_with("the second model gave no label: ").all()
        pair.ensure_balanced()
        # Asked again, the second model alone is.
        refusing.clear()
        sent = pair.one.requests
        planned = last_line(command("plan", str(pair.job.config_file()), "--retry", "unsure"))
        assert (planned["requests"], planned["second"]["requests_likely"]) == (0, len(kept))
        again = last_line(pair.job.run("--retry", "unsure"))
        assert (again["unsure"], again["escalated"], pair.one.requests) == (0, len(kept), sent)


def test_retry_unsure_asks_the_first_model_only_about_rows_that_it_has_decided(tmp_path: Path) -> None:
    with a_pair(tmp_path) as pair:
        pair.job.set(task={"unsure_below": 0.95}).table(texts(60))
        assert pair.job.run().returncode == 0
        rows = pair.columns()
        unsure = rows.filter((pl.col("label_status") == "unsure") & (pl.col("label_source") == "model"))
        assert len(unsure) > 0
        before = len(asked(pair.one))
        planned = last_line(command("plan", str(pair.job.config_file()), "--retry", "unsure"))
        assert planned["requests"] == len(unsure)
        assert pair.job.run("--retry", "unsure").returncode == 0
        assert sorted(asked(pair.one)[before:]) == sorted(unsure["text"])


def test_a_row_to_which_neither_gives_a_label_fails_and_says_why(tmp_path: Path) -> None:
    with a_pair(tmp_path, below=0) as pair:
        pair.one.when(texts(1)[0].__eq__, "unknown_label")
        refusing = texts(1)
        pair.two.when(lambda text: text in refusing, "refusal")
        pair.job.table(texts(30))
        result = last_line(pair.job.run())
        row = pair.columns().row(0, named=True)
        assert (result["failed"], row["label"], row["label_status"], row["label_source"]) == (
            1, None, "refused", "escalated",
        )  # fmt: skip
        assert "the first model gave none either: the reply is not one of the labels" in row["label_error"]
        pair.ensure_balanced()
        # The first answer is no row's last word, and is not asked for again.
        sent = pair.one.requests
        refusing.clear()
        planned = last_line(command("plan", str(pair.job.config_file()), "--retry", "refused,invalid"))
        assert (planned["requests"], planned["second"]["requests_likely"]) == (0, 1)
        assert last_line(pair.job.run("--retry", "refused,invalid"))["failed"] == 0
        assert pair.one.requests == sent


def test_rows_that_are_the_same_are_put_to_each_model_once(tmp_path: Path) -> None:
    with a_pair(tmp_path, below=1) as pair:
        pair.job.table([*texts(5), *texts(5), None])
        result = last_line(pair.job.run())
        assert (len(asked(pair.one)), len(asked(pair.two))) == (5, 5)
        assert pair.columns()["label_source"].to_list() == ["escalated"] * 5 + ["duplicate"] * 5 + ["none"]
        assert pair.columns()["label"].to_list()[:5] == pair.columns()["label"].to_list()[5:10]
        assert result["duplicates"] == 5
        pair.ensure_balanced()


@pytest.mark.slow
def test_a_label_that_both_give_is_counted_apart_from_one_that_changes(tmp_path: Path) -> None:
    with a_pair(tmp_path, label=right_label) as pair:
        pair.job.table(texts(20))
        told = last_line(pair.job.run())["escalation"]
        assert (told["changed"], told["same"]) == (0, told["rows"])
        assert told["rows"] > 0


def test_a_higher_bound_asks_only_about_the_rows_between(tmp_path: Path) -> None:
    with a_pair(tmp_path) as pair:
        pair.job.table(texts(40))
        pair.job.run()
        first = set(asked(pair.two))
        before = pair.billed()[2]
        pair.job.set(escalate={"below": 0.9})
        result = last_line(pair.job.run())
        assert len(asked(pair.one)) == 40
        assert len(asked(pair.two)) == len(set(asked(pair.two))) == len(pair.rows("escalated")) > len(first)
        # What the first run has paid is on its bill.
        assert result["cost_usd"] == pytest.approx(pair.billed()[2] - before)
        mine = pair.columns().filter(pl.col("label_run") == result["run_id"])
        assert mine["cost_usd"].sum() == pytest.approx(result["cost_usd"])
        assert set(mine["text"]) == set(asked(pair.two)) - first


@pytest.mark.slow
def test_answers_that_the_second_model_gave_alone_are_good_here(tmp_path: Path) -> None:
    with a_pair(tmp_path) as pair:
        pair.job.table(texts(20))
        both = dict(pair.job.settings)
        pair.job.settings = {name: each for name, each in both.items() if name != "escalate"}
        pair.job.settings |= {"model": both["escalate"]["model"], "output": {"path": "out/alone.parquet"}}
        assert pair.job.run().returncode == 0
        pair.job.settings = both
        assert last_line(pair.job.run())["escalated"] > 0
        assert len(asked(pair.two)) == 20


@pytest.mark.slow
def test_it_is_said_where_the_first_endpoint_tells_no_probabilities(tmp_path: Path) -> None:
    with a_pair(tmp_path, FaultServerSettings(logprobs="ignored")) as pair:
        pair.job.table(texts(30))
        done = pair.job.run()
        assert done.stderr.count("tells no probabilities") == 1
        assert asked(pair.two) == []
        assert set(pair.columns()["label_source"]) == {"model"}


@pytest.mark.slow
def test_a_second_model_that_is_away_ends_the_run_and_the_next_one_goes_on(tmp_path: Path) -> None:
    with a_pair(tmp_path) as pair:
        pair.job.set(limits={"max_outage": "1s"})
        pair.job.table(texts(40))
        pair.two.start_outage()
        done = pair.job.run()
        assert done.returncode == 69
        assert "second model big: " in last_line(done)["error"]
        assert not pair.job.output.exists()
        pair.two.stop_outage()
        assert pair.job.run().returncode == 0
        assert len(asked(pair.one)) == 40
        assert len(asked(pair.two)) == len(pair.rows("escalated")) > 0
        pair.ensure_balanced()


@pytest.mark.slow
def test_a_wrong_key_of_the_second_model_ends_the_run_and_is_said_to_be_its(tmp_path: Path) -> None:
    with a_pair(tmp_path, two=FaultServerSettings(api_key="right")) as pair:
        pair.job.table(texts(30))
        done = pair.job.run()
        assert done.returncode == 77
        assert "second model big: " in last_line(done)["error"]


def test_what_is_said_of_the_second_model_names_its_own_keys_of_the_config(tmp_path: Path) -> None:
    with a_pair(tmp_path) as pair:
        unpriced = {"provider": "openai-compatible", "name": "big", "base_url": pair.two.base_url}
        pair.job.set(escalate={"model": unpriced, "below": BELOW}, limits={"max_cost_usd": 1})
        pair.job.table(texts(30))
        done = pair.job.run()
        assert done.returncode == 78
        assert "; set escalate.model.price (US dollars" in last_line(done)["error"]
        assert done.stderr.count("set escalate.model.price") == 2  # the warning, and the error
        assert "set model." not in done.stderr


def test_the_second_model_is_asked_while_the_first_one_still_answers(tmp_path: Path) -> None:
    with a_pair(tmp_path, FaultServerSettings(latency=Fixed(0.02))) as pair:
        pair.job.set(limits={"max_concurrency": 2})
        pair.job.table(texts(40))
        pair.job.run()
        assert pair.two.entries[0].at < pair.one.entries[-1].at


def test_each_model_has_its_own_limits(tmp_path: Path) -> None:
    slow = FaultServerSettings(latency=Fixed(0.01))
    with a_pair(tmp_path, slow, slow, limits={"max_concurrency": 1}, below=1) as pair:
        pair.job.set(limits={"max_concurrency": 8})
        pair.job.table(texts(20))
        pair.job.run()
        assert pair.two.max_in_flight == 1
        assert 1 < pair.one.max_in_flight <= 8


def test_the_second_model_spends_no_more_than_its_share(tmp_path: Path) -> None:
    with a_pair(tmp_path, below=1, limits={"max_cost_usd": 0.01, "max_concurrency": 2}) as pair:
        pair.job.table(texts(40))
        done = pair.job.run()
        spent = sum(10 * each.prompt_tokens + 40 * each.completion_tokens for each in pair.two.entries) / 1e6
        assert done.returncode == 75
        assert "escalate.limits.max_cost_usd: " in last_line(done)["error"]
        assert 0.005 < spent <= 0.01
        # It is spent after a restart, too.
        sent = len(asked(pair.two))
        assert pair.job.run().returncode == 75
        assert len(asked(pair.two)) == sent
        pair.job.set(escalate={"limits": {}})
        result = last_line(pair.job.run())
        assert (len(asked(pair.one)), len(asked(pair.two))) == (40, 40)
        assert result["escalation"]["cost_usd"] == pytest.approx(
            sum(10 * each.prompt_tokens + 40 * each.completion_tokens for each in pair.two.entries) / 1e6
        )
        pair.ensure_balanced()


@pytest.mark.slow
def test_the_budget_of_the_run_covers_both(tmp_path: Path) -> None:
    with a_pair(tmp_path, below=1, limits={"max_concurrency": 2}) as pair:
        pair.job.set(limits={"max_cost_usd": 0.01, "max_concurrency": 2})
        pair.job.table(texts(40))
        done = pair.job.run()
        assert done.returncode == 75
        assert "limits.max_cost_usd: " in last_line(done)["error"]
        assert "escalate.limits" not in last_line(done)["error"]
        assert 0.005 < pair.billed()[2] <= 0.01


@pytest.mark.slow
def test_plan_says_a_range_before_the_first_model_has_answered_and_then_the_rows(tmp_path: Path) -> None:
    with a_pair(tmp_path) as pair:
        pair.job.table(texts(60))
        unknown = plan(pair.job.config()).second
        assert unknown is not None
        assert (unknown["requests_least"], unknown["requests_likely"], unknown["requests_most"]) == (
            0,
            None,
            60,
        )
        told = command("plan", str(pair.job.config_file())).stderr
        assert "0 to 60 rows are put to big" in told
        assert "unknown before the first model has answered" in told
        one_model = {name: each for name, each in pair.job.settings.items() if name != "escalate"}
        both, pair.job.settings = pair.job.settings, one_model
        pair.job.run("--limit", "40")
        pair.job.settings = both
        likely = plan(pair.job.config()).second
        pair.job.run()
        rows = len(pair.rows("escalated"))
        assert likely is not None
        assert likely["requests_least"] <= rows <= likely["requests_most"] < 60
        assert likely["cost_least_usd"] < likely["cost_likely_usd"] < likely["cost_most_usd"]
        assert likely["cost_source"] == "config"
        done = plan(pair.job.config()).second
        assert done is not None
        assert (done["requests_most"], done["already"], done["answered"]) == (0, rows, 60)


def test_a_second_model_that_cannot_be_done_in_time_is_planned_so(tmp_path: Path) -> None:
    with a_pair(tmp_path, limits={"requests_per_minute": 1}) as pair:
        pair.job.set(limits={"finish_by": "06:00"}).table(texts(3_000))  # fifty hours, if all are put to it
        planned = plan(pair.job.config())
        assert planned.second is not None
        assert planned.seconds < planned.second["seconds_most"]
        assert planned.finish is not None
        assert not planned.finish["makes_it"]
        assert "if 3,000 rows are put to big, it ends at" in planned.finish["told"]
        (remedy,) = planned.finish["remedies"]
        name, value = remedy.split(": ")
        assert name == "escalate.limits.requests_per_minute"
        pair.job.settings["escalate"]["limits"] = {"requests_per_minute": int(value.replace("_", ""))}
        again = plan(pair.job.config()).finish
        assert again is not None
        assert again["makes_it"]


def test_explain_says_what_both_models_said(tmp_path: Path) -> None:
    with a_pair(tmp_path) as pair:
        pair.job.table(texts(30))
        pair.job.run()
        found = pair.columns()
        row = found["label_source"].to_list().index("escalated")
        told = last_line(command("explain", str(pair.job.config_file()), str(row)))
        assert told["labels"] == [right_label(texts(30)[row])]
        assert told["prompt_tokens"] == found["prompt_tokens"][row]
        first, second = told["models"]["first"], told["models"]["second"]
        assert (first["labels"], first["model"]) == ([wrong_label(texts(30)[row])], "test-model")
        assert first["confidence"] < BELOW
        assert (second["labels"], second["model"]) == ([right_label(texts(30)[row])], "big")
        own = found["label_source"].to_list().index("model")
        assert "models" not in last_line(command("explain", str(pair.job.config_file()), str(own)))


@pytest.mark.slow
def test_commands_that_judge_see_the_label_that_the_row_has(tmp_path: Path) -> None:
    with a_pair(tmp_path, below=1) as pair:
        pair.job.set(task={"gold": "gold"})
        rows = texts(30)
        pair.job.table(pl.DataFrame({"text": rows, "gold": list(map(right_label, rows))}))
        assert pair.job.run().returncode == 0
        told = last_line(command("evaluate", str(pair.job.config_file())))
        assert (told["rows"], told["accuracy"]) == (30, 1)


@pytest.mark.slow
def test_a_partial_output_leaves_rows_pending_that_wait_for_the_second_model(tmp_path: Path) -> None:
    with a_pair(tmp_path) as pair:
        pair.job.table(texts(30))
        one_model = {name: each for name, each in pair.job.settings.items() if name != "escalate"}
        both, pair.job.settings = pair.job.settings, one_model
        pair.job.run()
        pair.job.settings = both
        done = last_line(command("publish", str(pair.job.config_file()), "--partial"))
        found = pl.read_parquet(done["output"])
        assert 0 < done["pending"] == found["label"].null_count() < 30
        assert asked(pair.two) == []
        assert last_line(pair.job.run())["escalated"] == done["pending"]


@pytest.mark.parametrize(
    ("settings", "options", "said"),
    [
        ({"escalate": {"model": "test-model", "below": 0.5}}, (), "escalate.model: would be asked the same"),
        ({"student": {}}, (), "escalate: goes with no student"),
        ({}, ("--slice", "0/2"), "escalate: is worked with by one process"),
        ({"model": {"logprobs": False}}, (), "escalate.below: 0.8 never holds"),
    ],
)
def test_what_it_does_not_go_together_with_is_refused(
    tmp_path: Path, settings: dict[str, Any], options: tuple[str, ...], said: str
) -> None:
    with a_pair(tmp_path) as pair:
        pair.job.table(texts(5))
        if "escalate" in settings:
            pair.job.settings["escalate"] = settings["escalate"]
        pair.job.set(**{name: each for name, each in settings.items() if name != "escalate"})
        done = pair.job.run(*options)
        assert (done.returncode, said in last_line(done)["error"]) == (78, True), done.stderr
        assert (pair.one.requests, pair.two.requests) == (0, 0)


def test_check_looks_at_what_the_second_model_needs(tmp_path: Path) -> None:
    with a_pair(tmp_path) as pair:
        pair.job.table(texts(5))
        pair.job.settings["escalate"]["model"]["api_key_env"] = "NO_SUCH_KEY"
        done = command("check", str(pair.job.config_file()))
        assert done.returncode == 78
        assert "escalate: " in done.stderr
        assert "NO_SUCH_KEY" in done.stderr


@pytest.mark.slow
def test_after_a_kill_between_both_no_answer_is_paid_for_twice(tmp_path: Path) -> None:
    with a_pair(tmp_path, two=FaultServerSettings(latency=Fixed(0.3)), limits={"max_concurrency": 2}) as pair:
        pair.job.table(texts(60))
        process = pair.job.start()
        deadline = time.monotonic() + 60
        while pair.two.requests < 4 and time.monotonic() < deadline:
            time.sleep(0.01)
        process.kill()
        process.communicate()
        assert not pair.job.output.exists()
        result = last_line(pair.job.run())
        found = pair.columns()
        assert sorted(asked(pair.one)) == sorted(texts(60))
        repeated = len(asked(pair.two)) - len(set(asked(pair.two)))
        assert repeated <= 2 * 2  # those that were being asked, and those whose answers were not durable yet
        assert set(asked(pair.two)) == set(pair.rows("escalated")["text"])
        assert result["rows"] == len(found) == 60
        assert result["cost_usd"] == pytest.approx(found["cost_usd"].sum())
        # The same output, byte for byte of its rows, as that of a run that nobody killed.
        pair.job.output.unlink()
        sent = pair.one.requests, pair.two.requests
        pair.job.run()
        assert pair.columns().equals(found)
        assert (pair.one.requests, pair.two.requests) == sent


@pytest.mark.slow
def test_what_a_killed_run_has_paid_is_on_a_bill_though_another_run_has_asked_the_second_model(
    tmp_path: Path,
) -> None:
    with a_pair(tmp_path, below=0.9) as pair:
        pair.job.table([*texts(40), *texts(40)])
        pair.two.start_outage()
        process = pair.job.start()
        while pair.ledger() != pair.billed()[:2] or len(asked(pair.one)) < 40:
            assert process.poll() is None
            time.sleep(0.01)
        process.kill()
        process.communicate()
        pair.two.stop_outage()
        # Another run, of another table, has some of the rows decided, and others that the first one does not have.
        mine, output = pair.job.settings, pair.job.output
        pair.job.settings = {**mine, "output": {**mine["output"], "path": "out/other.parquet"}}
        pair.job.table(texts(40, start=20), name="other.parquet")
        other, others = last_line(pair.job.run()), pair.columns()
        pair.job.settings = {**mine, "input": {"path": "in.parquet"}}
        result, rows = last_line(pair.job.run()), pl.read_parquet(output)
        bills = [(other, others), (result, rows)]
        assert result["run_id"] != other["run_id"]
        assert result["side"]["requests"] > 0
        assert other["side"] is None
        for told, found in bills:
            bill = found.filter(pl.col("label_run") == told["run_id"])["prompt_tokens"].sum()
            assert told["prompt_tokens"] == bill
        billed = [
            sum(told[name] + (told["side"] or {}).get(name, 0) for told, _ in bills)
            for name in ("prompt_tokens", "completion_tokens", "cost_usd")
        ]
        assert billed == pytest.approx(list(pair.billed()))
        # It is beside, and not on a row: the output is the same, whoever makes it anew.
        output.unlink()
        again = last_line(pair.job.run())
        assert (again["side"], again["cost_usd"], pl.read_parquet(output).equals(rows)) == (None, 0, True)


@pytest.mark.slow
def test_the_run_after_calibrating_the_second_model_asks_nothing_and_changes_its_confidences_only(
    tmp_path: Path,
) -> None:
    def mostly(text: str) -> str:
        return right_label(text) if sum(text.encode()) % 10 > 3 else wrong_label(text)

    with a_pair(tmp_path, second=mostly) as pair:
        rows = texts(300)
        pair.job.table(pl.DataFrame({"text": rows, "gold": list(map(right_label, rows))}))
        assert pair.job.run().returncode == 0
        before, sent = pair.columns(), (pair.one.requests, pair.two.requests)
        done = command("calibrate", str(pair.job.config_file()), "--second", "--gold", "gold")
        assert done.returncode == 0, done.stderr
        assert last_line(done)["rows"] == len(pair.rows("escalated"))
        assert pair.job.run().returncode == 0
        after = pair.columns()
        assert (pair.one.requests, pair.two.requests) == sent
        assert b"pipeline.second_calibration" in pq.read_metadata(pair.job.output).metadata
        assert after.drop("label_confidence").equals(before.drop("label_confidence"))
        is_same = after["label_confidence"] == before["label_confidence"]
        assert is_same.to_list() == [source == "model" for source in after["label_source"]]


@pytest.mark.slow
def test_a_run_with_workers_a_packing_first_model_or_several_endpoints_does_the_same(tmp_path: Path) -> None:
    outputs = []
    for name in ("alone", "workers", "packs", "endpoints"):
        folder = tmp_path / name
        folder.mkdir()
        with a_pair(folder) as pair, FaultServer(label_for=wrong_label) as other:
            pair.job.table(texts(80))
            options: tuple[str, ...] = ()
            if name == "workers":
                options = ("--workers", "2")
            elif name == "packs":
                pair.job.set(model={"rows_per_request": 5}, escalate={"below": 0.99})
            elif name == "endpoints":
                urls = [pair.job.settings["model"].pop("base_url"), other.base_url]
                price = pair.job.settings["model"].pop("price")
                endpoints = [{"base_url": url, "price": price} for url in urls]
                pair.job.set(model={"endpoints": endpoints})
            done = pair.job.spawn(*options) if name == "workers" else pair.job.run(*options)
            assert done.returncode == 0, done.stderr
            second = pair.rows("escalated")
            assert second["label"].to_list() == list(map(right_label, second["text"]))
            assert sorted(asked(pair.two)) == sorted(second["text"])
            assert len(second) > 0
            if name in {"alone", "workers"}:
                pair.ensure_balanced()
            if name != "packs":  # whose confidences are others
                outputs.append(pair.columns().select("text", "label", "label_source", "label_confidence"))
    assert all(each.equals(outputs[0]) for each in outputs)


@pytest.mark.slow
async def test_rows_of_a_batch_are_put_to_the_second_model_one_by_one(tmp_path: Path) -> None:
    with peer() as provider, FaultServer(label_for=right_label) as two:
        job = batch_job(tmp_path, provider.base_url, texts(40))
        model = {"provider": "openai-compatible", "name": "big", "base_url": two.base_url, "price": PRICES[1]}
        job.set(escalate={"model": model, "below": BELOW})
        await run_job(job.config(), clock=Quick().clock)
        second = job.labelled().filter(pl.col("label_source") == "escalated")
        assert sorted(asked(two)) == sorted(second["text"])
        assert 0 < len(second) < 40


@pytest.mark.slow
def test_a_rehearsal_asks_neither_model(tmp_path: Path) -> None:
    with a_pair(tmp_path) as pair:
        pair.job.table(texts(30))
        pair.job.set(simulate={"latency": 0})
        result = last_line(pair.job.run("--provider", "simulate"))
        assert result["escalated"] > 0
        assert (pair.one.requests, pair.two.requests) == (0, 0)


def test_check_says_that_no_label_can_be_below_where_a_model_tells_no_probabilities(tmp_path: Path) -> None:
    with a_pair(tmp_path) as pair:
        pair.job.table(texts(5))
        pair.job.set(model={"name": "gpt-5-nano"})
        done = command("check", str(pair.job.config_file()))
        assert done.returncode == 0
        assert "escalate.below: gpt-5-nano tells no probabilities" in done.stderr


@pytest.mark.slow
def test_the_report_says_what_became_of_the_rows_and_no_secret_of_the_second_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADER", "header-0123456789")
    monkeypatch.setenv("BIG_KEY", "sk-0123456789abcdef")
    with a_pair(tmp_path) as pair:
        pair.job.table(texts(30))
        model = pair.job.settings["escalate"]["model"]
        model |= {"headers": {"X-Api-Key": "${HEADER}", "X-Team": "tickets"}, "api_key_env": "BIG_KEY"}
        pair.job.settings["task"]["instructions"] = "Never say sk-0123456789abcdef."
        env = {name: os.environ[name] for name in ("HEADER", "BIG_KEY")}
        result = last_line(pair.job.run(env=env))
        config = shown_config(pair.job.config())
        assert "tickets" in config
        assert "0123456789" not in config
        shown = report(pair.job.config()).read_text()
        assert f"{result['escalation']['rows']} rows put to <bdi>big</bdi>" in shown


@pytest.mark.slow
def test_after_a_signal_both_models_are_let_finish_and_nothing_is_asked_twice(tmp_path: Path) -> None:
    slow = FaultServerSettings(latency=Fixed(0.3))
    with a_pair(tmp_path, slow, slow, below=1, limits={"max_concurrency": 4}) as pair:
        pair.job.set(limits={"max_concurrency": 4})
        pair.job.table(texts(40))
        process = pair.job.start()
        deadline = time.monotonic() + 60
        while pair.two.requests < 4 and time.monotonic() < deadline:
            time.sleep(0.01)
        process.terminate()
        _, said = process.communicate(timeout=60)
        assert process.returncode == 75, said
        sent = pair.one.requests, pair.two.requests
        time.sleep(0.5)
        assert (pair.one.requests, pair.two.requests) == sent
        assert pair.job.run().returncode == 0
        assert sorted(asked(pair.one)) == sorted(asked(pair.two)) == sorted(texts(40))
        pair.ensure_balanced()


@pytest.mark.slow
def test_the_second_model_is_asked_no_faster_than_its_own_limit_says(tmp_path: Path) -> None:
    strict = FaultServerSettings(rates=RateSettings(requests_per_minute=150, hidden=True))
    with a_pair(tmp_path, two=strict, below=1, limits={"requests_per_minute": 150}) as pair:
        pair.job.table(texts(15))
        result = last_line(pair.job.run())
        assert (result["throttled"], result["retries"], len(asked(pair.two))) == (0, 0, 15)
        took = pair.two.entries[-1].at - pair.two.entries[0].at
        assert took > 0.5 * 15 * 60 / 150
        assert pair.one.entries[-1].at - pair.one.entries[0].at < took


@pytest.mark.slow
def test_what_the_second_server_does_wrong_now_and_then_costs_no_row_and_is_on_the_bill(
    tmp_path: Path,
) -> None:
    with a_pair(tmp_path, below=1) as pair:
        pair.two.script(
            ["http_500", "rate_limit_ms", "drop", "cut_json", None, "unknown_label", "empty_200", "http_503"]
        )
        pair.job.table(texts(20))
        result = last_line(pair.job.run())
        assert (result["escalated"], result["failed"], result["unsure"]) == (20, 0, 0)
        assert result["retries"] > 0
        assert len(asked(pair.one)) == 20
        assert pair.columns()["label"].to_list() == list(map(right_label, texts(20)))


@pytest.mark.slow
def test_nights_with_a_canary_ask_the_first_model_anew_and_the_books_balance(tmp_path: Path) -> None:
    with a_pair(tmp_path) as pair:
        pair.job.set(gates={"canary_flips": 5})
        pair.job.table(texts(30))
        pair.job.run()
        sent = len(asked(pair.one)), len(asked(pair.two))
        escalated = len(pair.rows("escalated"))
        pair.job.table(texts(31))
        result = last_line(pair.job.run())
        # Its rows are those that the first model has decided, and they are not put to the second one.
        assert len(asked(pair.one)) - sent[0] == 1 + (30 - escalated)
        assert len(asked(pair.two)) - sent[1] == len(pair.rows("escalated")) - escalated
        assert result["side"]["requests"] == 30 - escalated


@pytest.mark.slow
def test_of_several_labels_the_second_model_decides_all(tmp_path: Path) -> None:
    both = [LABELS[0], LABELS[1]]
    with a_pair(tmp_path, label=lambda _: both, second=lambda text: [right_label(text)], below=1) as pair:
        pair.job.set(task={"kind": "multi"})
        pair.job.table(texts(10))
        result = last_line(pair.job.run())
        assert result["escalated"] == 10
        assert pair.columns()["labels"].to_list() == [[right_label(text)] for text in texts(10)]
        pair.ensure_balanced()


@pytest.mark.slow
def test_after_kills_at_any_moment_the_output_is_that_of_a_run_that_nobody_killed(tmp_path: Path) -> None:
    quick, chance = FaultServerSettings(latency=Fixed(0.03)), Random(17)
    folders = tmp_path / "killed", tmp_path / "whole"
    outputs = []
    for folder in folders:
        folder.mkdir()
        with a_pair(folder, quick, quick, limits={"max_concurrency": 2}) as pair:
            pair.job.set(limits={"max_concurrency": 4})
            pair.job.table(texts(120))
            kills = 0
            while folder is folders[0] and not pair.job.output.exists() and kills < 6:
                process, asked_before = pair.job.start(), pair.one.requests + pair.two.requests
                while process.poll() is None and pair.one.requests + pair.two.requests == asked_before:
                    time.sleep(0.005)
                time.sleep(chance.uniform(0, 0.5))
                process.kill()
                process.communicate()
                kills += 1
            assert pair.job.run().returncode == 0
            for server, in_flight in ((pair.one, 4), (pair.two, 2)):
                repeated = len(asked(server)) - len(set(asked(server)))
                # Those that were being asked when it was killed, and those whose answers were not durable yet.
                assert repeated <= kills * 3 * in_flight
            assert set(asked(pair.two)) == set(pair.rows("escalated")["text"])
            outputs.append(pair.columns().drop("label_run"))
    assert outputs[0].equals(outputs[1])


@pytest.mark.slow
def test_a_second_model_whose_answers_are_unusable_is_not_paid_for_long(tmp_path: Path) -> None:
    # As quick as models are: an answer is looked at once it is durable, by when a server of our own has given hundreds.
    with a_pair(tmp_path, two=FaultServerSettings(latency=Fixed(0.05)), below=1) as pair:
        pair.two.when(lambda _: True, "unknown_label")
        pair.job.set(limits={"max_concurrency": 2})
        pair.job.table(texts(300))
        done = pair.job.run()
        assert done.returncode == 78
        assert "second model big: 19 of the first " in last_line(done)["error"]
        assert pair.two.billed < 150


@pytest.mark.slow
def test_the_second_model_may_have_several_endpoints(tmp_path: Path) -> None:
    with a_pair(tmp_path, below=1) as pair, FaultServer(label_for=right_label) as other:
        model = pair.job.settings["escalate"]["model"]
        price = model.pop("price")
        urls = [model.pop("base_url"), other.base_url]
        model["endpoints"] = [{"base_url": url, "price": price} for url in urls]
        pair.job.table(texts(60))
        result = last_line(pair.job.run())
        assert result["escalated"] == 60
        assert sorted(asked(pair.two) + asked(other)) == sorted(texts(60))


class Answering:
    """A second model that gives so many answers and then keeps others waiting until it is let go; see `watching`."""

    def __init__(self, answers: int) -> None:
        self.left, self._free = answers, Event()
        self.seen = list[int]()

    def label(self, text: str) -> str:
        if self.left <= 0:
            self._free.wait(60)
        self.left -= 1
        return right_label(text)

    @asynccontextmanager
    async def watching(self, look: Look) -> AsyncIterator[None]:
        async def repeat() -> None:
            deadline = time.monotonic() + 30
            # Let go a while after it has stopped, so that whatever is to be counted by then is.
            while len(self.seen) < 20 and time.monotonic() < deadline:
                self.seen += [look().done] if self.left <= 0 else []
                await asyncio.sleep(0.05)
            self._free.set()

        task = asyncio.create_task(repeat())
        try:
            yield
        finally:
            self._free.set()
            await task


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
async def test_rows_are_done_that_have_all_their_answers_whoever_asked_and_whenever(
    tmp_path: Path, workers: int
) -> None:
    second = Answering(9)
    with a_pair(tmp_path, second=second.label, below=1, limits={"max_concurrency": 1}) as pair:
        pair.job.set(limits={"max_concurrency": 4}).table(texts(20))
        one_model = {name: each for name, each in pair.job.settings.items() if name != "escalate"}
        assert pair.job.run("--limit", "6").returncode == 0
        both, pair.job.settings = pair.job.settings, one_model
        assert pair.job.run("--limit", "13").returncode == 0
        pair.job.settings = both
        # 6 rows have both answers by now, 7 only the first one, 7 none; and three more second answers are given.
        await run_job(pair.job.config(), RunOptions(workers=workers), watch=second)
        assert max(second.seen) == second.seen[-1] == 6 + 3
        assert len(asked(pair.one)) == len(asked(pair.two)) == 20


@pytest.mark.slow
async def test_rows_that_wait_for_the_second_model_are_not_done_yet(tmp_path: Path) -> None:
    with a_pair(
        tmp_path, two=FaultServerSettings(latency=Fixed(0.1)), below=1, limits={"max_concurrency": 2}
    ) as pair:
        pair.job.table(texts(20))
        seen: list[tuple[int, int, int]] = []

        class Looking(Silent):
            @asynccontextmanager
            async def watching(self, look: Look) -> AsyncIterator[None]:
                async def repeat() -> None:
                    while True:
                        seen.append((look().done, len(asked(pair.one)), len(asked(pair.two))))
                        await asyncio.sleep(0.02)

                task = asyncio.create_task(repeat())
                yield
                task.cancel()
                seen.append((look().done, 20, 20))

        await run_job(pair.job.config(), watch=Looking())
        done = [each for each, _, _ in seen]
        assert done == sorted(done)
        assert [each for each, first, second in seen if first == 20 and 4 < second < 16]
        assert all(each <= second for each, _, second in seen)
        assert done[-1] == 20
