"""`plan`: what a run would send and cost, without sending anything."""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.commands.reply_tokens import ReplyTokens, reasons
from pipeline.config import Config
from pipeline.inputs.read import read_chunks
from pipeline.inputs.source import all_spans
from pipeline.job.decisions import asked_anew
from pipeline.job.job import Job, RunOptions
from pipeline.job.prepare import brought_in, prepare
from pipeline.job.result import finished
from pipeline.ledger import opened
from pipeline.ledger.store import Store
from pipeline.llm.billing import Billing
from pipeline.llm.catalog import ensure_payable
from pipeline.llm.pricing import Price
from pipeline.outputs.duplicates import Duplicates
from pipeline.records import Prompt, Prompts, Status
from pipeline.system.redaction import is_spoilt
from pipeline.tasks.parse import Parser
from pipeline.tasks.tokens import estimate_tokens
from pipeline.telemetry.summary import html_table

CHAT_TOKENS = 11
"""Tokens that the chat format adds to a prompt; measured on OpenAI's API."""

SECONDS_PER_REQUEST = 0.5
"""Typical latency of a small model."""

EMBEDDED_SECONDS = 0.1
"""What a row takes the embedded model on two cores, however many are asked about at once."""

FREE = Price(0.0, 0.0, 0.0, "free")
"""The price of the embedded model."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run would do.

    Attributes:
        rows: Rows of the input.
        empty: Rows without text, which are never sent.
        truncated: Rows whose text is cut at `task.max_text_tokens`.
        prompts: Distinct prompts of the other rows.
        answered: How many of them the ledger has an answer to.
        requests: How many of them would be sent.
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
            `processor` for the embedded model.
    """

    rows: int
    empty: int
    truncated: int
    prompts: int
    answered: int
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
    missing_tokens: int = 0
    canary: int = 0
    canary_tokens: int = 0
    reply_tokens: ReplyTokens = field(default_factory=ReplyTokens)


def _count(job: Job, folder: Path) -> _Counts:
    """Count the distinct prompts and those that the ledger has an answer to."""
    counts, anew = _Counts(), asked_anew(job) if finished(job) is None else ()
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
    return counts


def _prompts(job: Job) -> Iterator[tuple[int, Prompts]]:
    for chunk in read_chunks(job.source, job.config.task.columns, all_spans(job.source)):
        yield chunk.span.start, job.task.prompts(chunk.columns)


def _mine(job: Job, prompts: Prompts) -> Prompts:
    """Return those of *prompts* that the run asks about."""
    return prompts if job.options.part is None else prompts.where(job.options.part.owns)


def _count_missing(job: Job, counts: _Counts, store: Store | None, prompts: list[Prompt]) -> None:
    parser = Parser(job.config.task, job.calibration)
    known = store.look_up([prompt.key for prompt in prompts]) if store else {}
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
        else:
            counts.missing += 1
            counts.missing_tokens += estimate_tokens(prompt.text) + CHAT_TOKENS


def _estimate(job: Job, counts: _Counts) -> Plan:
    model, requests = job.config.model, counts.missing
    system_tokens, replies = estimate_tokens(job.task.system), counts.reply_tokens
    prompt_tokens = counts.missing_tokens + requests * system_tokens
    completion_tokens = replies.of(requests, model.max_tokens)
    canary = counts.canary_tokens + counts.canary * system_tokens, replies.of(counts.canary, model.max_tokens)
    configs = job.config.each_endpoint()
    price = _dearest(configs, prompt_tokens, completion_tokens)
    quota_tokens = max(prompt_tokens, requests * model.max_tokens)  # as the run counts them, too
    seconds, bound = _duration(configs, requests, quota_tokens)
    return Plan(
        rows=job.source.rows,
        empty=counts.empty,
        truncated=counts.truncated,
        prompts=counts.answered + requests,
        answered=counts.answered,
        requests=requests,
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
        completion_source=counts.reply_tokens.source,
        reasons=reasons(job.config, job.task),
        cost_usd=price.cost(prompt_tokens, 0, completion_tokens) if price else None,
        cost_source=price.source if price else None,
        asked_anew=counts.canary,
        asked_anew_cost_usd=price.cost(canary[0], 0, canary[1]) if price else None,
        seconds=round(seconds, 1),
        input_version=job.source.version,
        bound=bound,
    )


def _dearest(configs: Sequence[Config], prompt_tokens: int, completion_tokens: int) -> Price | None:
    """Return the price of the endpoint where these tokens cost the most; None if one of them has no known price."""
    prices = []
    for config in configs:
        price = Billing(config.model, capped=False).price
        prices.append(price or (FREE if config.model.provider == "local" else None))
    known = [price for price in prices if price is not None]
    if len(known) < len(prices):
        return None
    return max(known, key=lambda price: price.cost(prompt_tokens, 0, completion_tokens))


def _duration(configs: Sequence[Config], requests: int, tokens: int) -> tuple[float, str]:
    """Return how many seconds all endpoints together need, and the limit that binds the fastest of them."""
    alone = [_duration_at(config, requests, tokens) for config in configs]
    fastest, bound = min(alone)
    return (1 / sum(1 / seconds for seconds, _ in alone) if fastest else 0.0), bound


def _duration_at(config: Config, requests: int, tokens: int) -> tuple[float, str]:
    limits = config.limits
    rpm, tpm = limits.requests_per_minute, limits.tokens_per_minute
    is_embedded = config.model.provider == "local"
    at_once = 0.0 if is_embedded else requests * SECONDS_PER_REQUEST / limits.max_concurrency
    seconds = {
        "processor": requests * EMBEDDED_SECONDS if is_embedded else 0.0,
        "max_concurrency": at_once,
        "requests_per_minute": 60 * requests / rpm if rpm else 0.0,
        "tokens_per_minute": 60 * tokens / tpm if tpm else 0.0,
    }
    bound = max(seconds, key=lambda name: seconds[name])
    return seconds[bound], bound
