"""`plan`: what a run would send and cost, without sending anything."""

import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipeline.commands.plan.advice import advice
from pipeline.commands.plan.bills import Bills
from pipeline.commands.plan.counting import count
from pipeline.commands.plan.estimate import Estimate
from pipeline.commands.plan.reply_tokens import reasons
from pipeline.config import Config
from pipeline.config.nights import zone_at
from pipeline.config.slices import Slice
from pipeline.figures import moment
from pipeline.job.job import Job
from pipeline.job.options import RunOptions
from pipeline.job.prepare import brought_in, prepare
from pipeline.job.state import has_batches
from pipeline.llm.catalog import ensure_payable
from pipeline.system.clock import Clock
from pipeline.telemetry.summary import html_table


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run would do.

    Attributes:
        rows: Rows of the input.
        empty: Rows without text, which are never sent.
        truncated: Rows whose text is cut at `task.max_text_tokens`.
        prompts: Distinct prompts of the other rows.
        answered: How many of them the ledger has an answer to.
        being_asked: How many of the others are in a batch that is under way: they are not asked again.
        rows_per_request: How many rows a request carries.
        compared: Rows that are asked alone, too, to see whether that changes their labels; `requests` and tokens include them.
        requests: Requests that would be sent, with those that ask once more where a reply is likely to be unusable.
        prompt_tokens: Estimated prompt tokens of these requests.
        cached_tokens: How many of them the provider is expected to read from its cache, as it has before.
        prompt_source: What the two are from: what `answers` of this job were billed, or a `guess` from the texts.
        completion_tokens: Estimated tokens of the replies.
        completion_source: What that is from: earlier `answers` of this job or of this `model`, thoughts included; or a
            `guess`, which knows of no thoughts.
        reasons: Whether the model thinks before it answers, which is billed as completion tokens; None if that is unknown.
        cost_usd: Estimated cost in US dollars, at the dearest of several endpoints; None if no price is known.
        cost_source: Where the price is from: `config`, `catalog`, or `answers` that told what they cost; or `free`. None if no price
            is known.
        seconds: Estimated duration within the configured limits.
        asked_anew: Rows that are asked anew beside these, for `gates.canary_flips`, as far as `limits.max_cost_usd` goes.
        asked_anew_cost_usd: What that costs besides, estimated; None if no price is known.
        input_version: The version of the Delta table that is read; None if the input is none.
        bound: The limit that determines it: `requests_per_minute`, `tokens_per_minute` or `max_concurrency`; or
            `processor` for the embedded model, `batch` for a batch, which takes up to a day.
        student: What the student may spare of them, which the figures above leave out: ranges from `least` to `most` that hold the
            bill in nine of ten cases; None if there is none.
        second: What is put to the second model, which the figures above leave out; None if there is none.
        lane: `live` or `batch`, as `model.lane` says; the cost is that of this lane.
        live_cost_usd: What the requests would cost one by one; None if no price is known.
        batch_cost_usd: What they would cost in batches; None if no price is known.
        asked_again: How many of the requests ask once more, as a share of those so far did.
        advice: Sentences about money that could be spared, each with its figure.
        finish: Whether `limits.finish_by` is met, and what would make it; None if it is not set.
        carried: How many more prompts have labels of an earlier config.
        to_carry: How many more keep such labels if the audit passes that a killed run has begun, or that `RunOptions.previous` asks
            for; the figures above are those of a run where it does. If it does not, these are asked as well.
    """

    rows: int
    empty: int
    truncated: int
    prompts: int
    answered: int
    rows_per_request: int
    compared: int
    requests: int
    prompt_tokens: int
    completion_tokens: int
    completion_source: str
    reasons: bool | None
    cost_usd: float | None
    cost_source: str | None
    asked_anew: int
    asked_anew_cost_usd: float | None
    seconds: float
    input_version: int | None
    bound: str
    student: Mapping[str, Any] | None = None
    second: Mapping[str, Any] | None = None
    lane: str = "live"
    live_cost_usd: float | None = None
    batch_cost_usd: float | None = None
    being_asked: int = 0
    asked_again: int = 0
    cached_tokens: int = 0
    prompt_source: str = "guess"
    advice: tuple[str, ...] = ()
    finish: Mapping[str, Any] | None = None
    carried: int = 0
    to_carry: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Return the fields, in order."""
        return asdict(self)

    def _repr_html_(self) -> str:
        """Return a small table of the figures, for notebooks."""
        return html_table("Plan", self.as_dict())


def plan(
    config: Config,
    options: RunOptions = RunOptions(),  # noqa: B008 - frozen
    *,
    lent: Bills | None = None,
    carries: bool = True,
) -> Plan:
    """Read the input and the ledger, and return what a run would send.

    Args:
        config: The config.
        options: What the run does differently.
        lent: What an earlier config was billed.
        carries: Whether labels are carried over that a killed run, or *options*, would; otherwise their rows are asked as well.

    Raises:
        PipelineError: If the config or the input is wrong, or a run would refuse to begin.
    """
    if has_batches(config):
        from pipeline.llm.batch.checks import ensure_batches_fit  # noqa: PLC0415 - few jobs have any

        ensure_batches_fit(config, Slice(0, 1) if options.on_ray else options.part, wait=options.wait)
    with tempfile.TemporaryDirectory(prefix="pipeline-plan-") as folder:
        job = brought_in(prepare(config, options, copies=Path(folder)), Path(folder))
        for each in job.config.each_endpoint():
            ensure_payable(each.model, capped=each.limits.max_cost_usd is not None)
        counts = count(job, Path(folder), carries=carries)
        counts.bills.lent = lent or counts.bills.lent
        return _plan(job, Estimate(job, counts))


def _plan(job: Job, found: Estimate) -> Plan:
    counts, sent, finish = found.counts, found.sent, found.finish(Clock().wall())
    return Plan(
        rows=job.source.rows,
        empty=counts.empty,
        truncated=counts.truncated,
        prompts=counts.prompts,
        answered=counts.answered,
        rows_per_request=sent.width,
        compared=sent.compared,
        requests=found.requests,
        prompt_tokens=found.tokens.prompt,
        completion_tokens=found.tokens.completion,
        completion_source=found.completion_source,
        reasons=reasons(job.config, job.task),
        cost_usd=found.costs.own,
        cost_source=found.costs.source,
        asked_anew=counts.canary.rows,
        asked_anew_cost_usd=found.canary_usd,
        seconds=round(found.seconds, 1),
        input_version=job.source.version,
        bound=found.bound,
        student=found.student,
        second=counts.second,
        lane=job.config.model.lane,
        live_cost_usd=found.costs.live,
        batch_cost_usd=found.costs.batch,
        being_asked=counts.being_asked,
        asked_again=found.asked_again,
        cached_tokens=found.tokens.cached,
        prompt_source="answers" if counts.bills.answers else "guess",
        advice=tuple(advice(found)),
        finish=None
        if finish is None
        else {**finish.facts(), "told": f"{finish.told(moment)}; times are in {zone_at(finish.due)}"},
        carried=counts.student.carried if counts.student else 0,
        to_carry=counts.to_carry,
    )
