"""`plan`: what a run would send and cost, without sending anything."""

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.commands.plan.costs import costs_of, dearest, duration, lasting
from pipeline.commands.plan.reply_tokens import ReplyTokens, reasons
from pipeline.config import Config
from pipeline.engine.packing.packs import comparison, planned
from pipeline.inputs.read import read_chunks
from pipeline.inputs.source import all_spans
from pipeline.job.decisions import asked_anew
from pipeline.job.job import Job
from pipeline.job.options import RunOptions
from pipeline.job.prepare import brought_in, prepare
from pipeline.job.result import finished
from pipeline.ledger import opened
from pipeline.ledger.store import Store
from pipeline.llm.catalog import ensure_payable
from pipeline.outputs.duplicates import Duplicates
from pipeline.records import Prompt, Prompts, Status
from pipeline.system.redaction import is_spoilt
from pipeline.tasks.parse import Parser
from pipeline.tasks.tokens import CHAT_TOKENS, estimate_tokens
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
        rows_per_request: How many rows a request carries.
        compared: Rows that are asked alone, too, to see whether that changes their labels; `requests` and tokens include them.
        requests: Requests that would be sent.
        prompt_tokens: Estimated prompt tokens of these requests.
        completion_tokens: Estimated tokens of the replies.
        completion_source: What that is from: earlier `answers` of this job or of this `model`, thoughts included; or a
            `guess`, which knows of no thoughts.
        reasons: Whether the model thinks before it answers, which is billed as completion tokens; None if that is unknown.
        cost_usd: Estimated cost in US dollars, at the dearest of several endpoints; None if no price is known.
        cost_source: Where the price is from, `config` or `catalog`, or `free`; None if no price is known.
        seconds: Estimated duration within the configured limits.
        asked_anew: Rows that are asked anew beside these, for `gates.canary_flips`, as far as `limits.max_cost_usd` goes.
        asked_anew_cost_usd: What that costs besides, estimated; None if no price is known.
        input_version: The version of the Delta table that is read; None if the input is none.
        bound: The limit that determines it: `requests_per_minute`, `tokens_per_minute` or `max_concurrency`; or
            `processor` for the embedded model, `batch` for a batch, which takes up to a day.
        student: What the student may spare of them, which the figures above leave out; None if there is none.
        second: What is put to the second model, which the figures above leave out; None if there is none.
        lane: `live` or `batch`, as `model.lane` says; the cost is that of this lane.
        live_cost_usd: What the requests would cost one by one; None if no price is known.
        batch_cost_usd: What they would cost in batches; None if no price is known.
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

    def as_dict(self) -> dict[str, Any]:
        """Return the fields, in order."""
        return asdict(self)

    def _repr_html_(self) -> str:
        """Return a small table of the figures, for notebooks."""
        return html_table("Plan", self.as_dict())


def plan(config: Config, options: RunOptions = RunOptions()) -> Plan:  # noqa: B008 - frozen
    """Read the input and the ledger, and return what a run would send.

    Raises:
        PipelineError: If the config or the input is wrong.
    """
    with tempfile.TemporaryDirectory(prefix="pipeline-plan-") as folder:
        job = brought_in(prepare(config, options, copies=Path(folder)), Path(folder))
        for each in job.config.each_endpoint():
            ensure_payable(each.model, capped=each.limits.max_cost_usd is not None)
        return _estimate(job, _count(job, Path(folder)))


@dataclass(slots=True)
class _Counts:
    empty: int = 0
    truncated: int = 0
    answered: int = 0
    missing: int = 0
    compared: int = 0
    missing_tokens: int = 0
    canary: int = 0
    canary_tokens: int = 0
    student: Any = None
    second: Any = None
    reply_tokens: ReplyTokens = field(default_factory=ReplyTokens)


def _count(job: Job, folder: Path) -> _Counts:
    """Count the distinct prompts and those that the ledger has an answer to."""
    student = job.config.student and import_module("pipeline.engine.student.forecast").Forecast(job)
    second = job.second and import_module("pipeline.commands.plan.second").SecondForecast(job)
    counts, anew = _Counts(student=student, second=second), asked_anew(job) if finished(job) is None else ()
    with Duplicates(folder, job.source.rows) as duplicates:
        # Two passes over the input: which prompts repeat is known only at the end of the first.
        for first_row, prompts in _prompts(job):
            counts.empty += prompts.keys.count(None)
            mine = _mine(job, prompts)
            counts.truncated += sum(mine.truncated)
            duplicates.add(first_row, pa.array(mine.keys, pa.binary(16)))
        duplicates.finish()
        with opened(job.config.state.dir) as store:
            for first_row, prompts in _prompts(job):
                mine = _mine(job, prompts)
                repeated = duplicates.among(first_row, len(mine)).to_pylist()
                first = [p for p, again in zip(mine, repeated, strict=True) if p is not None and not again]
                _count_missing(job, counts, store, first)
                for prompt in first:
                    if prompt.key in anew:
                        counts.canary += 1
                        counts.canary_tokens += estimate_tokens(prompt.text) + CHAT_TOKENS
            if store and (counts.missing or counts.canary):
                counts.reply_tokens.ask(store, job.config.model)
            if second:
                counts.second = second.of(store, counts.missing, counts.missing_tokens)
    return counts


def _prompts(job: Job) -> Iterator[tuple[int, Prompts]]:
    for chunk in read_chunks(job.source, job.config.task.columns, all_spans(job.source)):
        yield chunk.span.start, job.task.prompts(chunk.columns)


def _mine(job: Job, prompts: Prompts) -> Prompts:
    """Return those of *prompts* that the run asks about."""
    return prompts if job.options.part is None else prompts.where(job.options.part.owns)


def _count_missing(job: Job, counts: _Counts, store: Store | None, prompts: list[Prompt]) -> None:
    parser = Parser(job.config.task, job.calibration)
    prompts = counts.student.others(prompts) if counts.student else prompts
    aliases = job.task.aliases((prompt.key, prompt.text) for prompt in prompts)
    keys, is_compared = [prompt.key for prompt in prompts], comparison(job)
    known = store.look_up([*keys, *aliases]).under(aliases) if store else {}
    known_pairs = []
    for prompt in prompts:
        answer = known.get(prompt.key)
        outcome = parser.outcome(answer) if answer else None
        if answer:
            counts.reply_tokens.add(answer)
        if (
            answer
            and outcome
            and parser.is_final(outcome.status, answer.asks)
            and not (outcome.status is Status.INVALID and is_spoilt(answer.text))
            and outcome.status not in job.options.retry
        ):
            counts.answered += 1
            known_pairs.append((prompt, (answer, outcome)))
        else:
            counts.missing += 1
            counts.compared += is_compared(prompt.key)
            counts.missing_tokens += estimate_tokens(prompt.text)
    if counts.second:
        counts.second.see(store, known_pairs)


def _estimate(job: Job, counts: _Counts) -> Plan:
    model, sent = job.config.model, planned(job, counts.missing, counts.compared, counts.missing_tokens)
    system_tokens, replies = estimate_tokens(job.task.system), counts.reply_tokens
    prompt_tokens = sent.prompt_tokens
    completion_tokens = replies.of(sent.asked, model.max_tokens)
    canary = counts.canary_tokens + counts.canary * system_tokens, replies.of(counts.canary, model.max_tokens)
    configs = job.config.each_endpoint()
    price = dearest(configs, prompt_tokens, completion_tokens)
    costs = costs_of(model, price, prompt_tokens, completion_tokens)
    quota_tokens = max(prompt_tokens, sent.asked * model.max_tokens)  # as the run counts them, too
    seconds, bound = lasting(model.lane, sent.requests, duration(configs, sent.requests, quota_tokens))
    return Plan(
        rows=job.source.rows,
        empty=counts.empty,
        truncated=counts.truncated,
        prompts=counts.answered + counts.missing + (counts.student.own if counts.student else 0),
        answered=counts.answered,
        rows_per_request=sent.width,
        compared=sent.compared,
        requests=sent.requests,
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
        completion_source=counts.reply_tokens.source,
        reasons=reasons(job.config, job.task),
        cost_usd=costs.own,
        cost_source=costs.source,
        asked_anew=counts.canary,
        asked_anew_cost_usd=price.cost(canary[0], 0, canary[1]) if price else None,
        seconds=round(seconds, 1),
        input_version=job.source.version,
        bound=bound,
        student=counts.student.of(counts.answered, counts.missing) if counts.student else None,
        second=counts.second,
        lane=model.lane,
        live_cost_usd=costs.live,
        batch_cost_usd=costs.batch,
    )
