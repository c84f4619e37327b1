"""What a run would send and cost, without sending anything."""

import asyncio
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.config import Config
from pipeline.inputs.read import read_chunks
from pipeline.inputs.source import whole
from pipeline.job.job import Job, RunOptions
from pipeline.job.prepare import prepare
from pipeline.ledger import opened
from pipeline.ledger.store import Store
from pipeline.llm.billing import Billing
from pipeline.records import Prompt, Prompts
from pipeline.tasks.parse import Parser
from pipeline.tasks.tokens import estimate_tokens

REPLY_TOKENS = 12
"""A reply such as {"label": "graphics"} has 6 to 12 tokens."""

CHAT_TOKENS = 11
"""What the chat format itself adds to a prompt; measured on OpenAI's API."""

SECONDS_PER_REQUEST = 0.5
"""A small model's usual latency, where nothing better is known."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run would do.

    Attributes:
        rows: Rows of the input.
        empty: Rows without text; they are not asked about.
        prompts: Different prompts among the others.
        answered: Those that the ledger has an answer to.
        requests: Those that would be sent.
        prompt_tokens: Estimate of the tokens that they would be billed for.
        completion_tokens: Estimate of the tokens of the replies.
        cost_usd: Estimate in US dollars; None where no price is known.
        cost_source: Where the price is from: `config` or `table`; None where none is known.
        seconds: Estimate of the time at the configured limits.
        bound: The limit that decides it: `requests_per_minute`, `tokens_per_minute` or `max_concurrency`.
    """

    rows: int
    empty: int
    prompts: int
    answered: int
    requests: int
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float | None
    cost_source: str | None
    seconds: float
    bound: str

    def as_dict(self) -> dict[str, Any]:
        """Return the fields, in order."""
        return asdict(self)


async def plan_job(config: Config, options: RunOptions = RunOptions()) -> Plan:  # noqa: B008 - frozen
    """Read the input and the ledger, and say what a run would send.

    Raises:
        PipelineError: If the config or the input is wrong.
    """
    return await asyncio.to_thread(_plan, config, options)


def _plan(config: Config, options: RunOptions) -> Plan:
    job = prepare(config, options)
    with tempfile.TemporaryDirectory(prefix="pipeline-plan-") as folder:
        counts = _count(job, Path(folder))
    return _estimate(job, counts)


@dataclass(slots=True)
class _Counts:
    empty: int = 0
    asked: int = 0
    duplicates: int = 0
    answered: int = 0
    tokens: int = 0


def _count(job: Job, folder: Path) -> _Counts:
    """Count prompts; a key that is repeated in a later chunk is known from the duplicates."""
    from pipeline.outputs.duplicates import Duplicates  # noqa: PLC0415 - brings polars, for which `check` must not wait

    counts = _Counts()
    with Duplicates(folder, job.source.rows) as duplicates:
        for first_row, prompts in _prompts(job):
            counts.empty += prompts.keys.count(None)
            duplicates.add(first_row, pa.array(prompts.keys, pa.binary(16)))
        duplicates.finish()
        counts.duplicates = duplicates.found
        with opened(job.config.state.dir) as store:
            for first_row, prompts in _prompts(job):
                repeated = duplicates.among(first_row, len(prompts)).to_pylist()
                first = [p for p, again in zip(prompts, repeated, strict=True) if p is not None and not again]
                _count_missing(job, counts, store, first)
    return counts


def _prompts(job: Job) -> Iterator[tuple[int, Prompts]]:
    for chunk in read_chunks(job.source, job.config.task.columns, whole(job.source)):
        yield chunk.span.first_row, job.task.prompts(chunk.columns)


def _count_missing(job: Job, counts: _Counts, store: Store | None, prompts: list[Prompt]) -> None:
    parser = Parser(job.config.task)
    known = store.look_up([prompt.key for prompt in prompts]) if store else {}
    for prompt in prompts:
        answer = known.get(prompt.key)
        outcome = parser.outcome(answer) if answer else None
        if (
            answer
            and outcome
            and parser.is_final(outcome.status, answer.asks)
            and outcome.status not in job.options.retry
        ):
            counts.answered += 1
        else:
            counts.asked += 1
            counts.tokens += estimate_tokens(prompt.text) + CHAT_TOKENS


def _estimate(job: Job, counts: _Counts) -> Plan:
    limits, model = job.config.limits, job.config.model
    fixed = estimate_tokens(job.task.system)
    prompt_tokens = counts.tokens + counts.asked * fixed
    completion_tokens = counts.asked * min(REPLY_TOKENS, model.max_tokens)
    price = Billing(model, capped=False).price
    counted = max(prompt_tokens, counts.asked * model.max_tokens)
    minutes = {
        "max_concurrency": counts.asked * SECONDS_PER_REQUEST / limits.max_concurrency / 60,
        "requests_per_minute": counts.asked / limits.requests_per_minute
        if limits.requests_per_minute
        else 0.0,
        "tokens_per_minute": counted / limits.tokens_per_minute if limits.tokens_per_minute else 0.0,
    }
    bound = max(minutes, key=lambda name: minutes[name])
    return Plan(
        rows=job.source.rows,
        empty=counts.empty,
        prompts=counts.answered + counts.asked,
        answered=counts.answered,
        requests=counts.asked,
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
        cost_usd=price.cost(prompt_tokens, 0, completion_tokens) if price else None,
        cost_source=price.source if price else None,
        seconds=round(minutes[bound] * 60, 1),
        bound=bound,
    )
