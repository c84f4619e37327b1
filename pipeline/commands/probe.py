"""`probe`: what an endpoint supports, found out with a few tiny requests."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from pipeline.commands.asking import Asked, Asking, any_reply, deciding, outcome_of
from pipeline.config import Config
from pipeline.config.providers import for_provider, named_endpoints
from pipeline.errors import ConfigError, KeyRefusedError, PipelineError, ProviderUnavailableError
from pipeline.figures import usd
from pipeline.job.readiness import ensure_ready
from pipeline.llm.billing import Billing
from pipeline.llm.protocol.form import MODES, is_free
from pipeline.llm.replies import Failure, FailureKind, Reply
from pipeline.llm.transport.client import Client
from pipeline.llm.transport.credentials import request_headers
from pipeline.llm.transport.network import network
from pipeline.records import LABELLED
from pipeline.servers.endpoint import endpoint_url
from pipeline.tasks.prompt import Task

REASONS: Mapping[FailureKind, type[PipelineError]] = {
    FailureKind.DENIED: KeyRefusedError,
    FailureKind.QUOTA: KeyRefusedError,
    FailureKind.CONFIG: ConfigError,
    FailureKind.UNTRUSTED: ConfigError,
    FailureKind.UNSUPPORTED: ConfigError,
    FailureKind.GARBLED: ConfigError,  # whoever answers is there
}

REFUSALS = frozenset({FailureKind.CONFIG, FailureKind.UNSUPPORTED, FailureKind.ROW, FailureKind.GARBLED})
"""Kinds that say something of what was asked for; the others are about the key, the way there or the moment."""

NOT_KNOWN = "no reply to judge by"


@dataclass(frozen=True, slots=True)
class Finding:
    """A feature, and whether the endpoint supports it.

    Attributes:
        name: Name of the feature.
        works: Whether the endpoint supports it; None if that is unknown.
        detail: What the endpoint answered, or the problem.
        error: The class of the error that a run with this problem ends with; None if there is no problem.
    """

    name: str
    works: bool | None
    detail: str
    error: type[PipelineError] | None = None


def _failed(name: str, failure: Failure, *, replied: bool) -> Finding:
    """Return the finding of a *failure*, which refuses a feature only if the endpoint has *replied* without it."""
    error = REASONS.get(failure.kind, ProviderUnavailableError)
    refused = replied and failure.kind in REFUSALS
    return Finding(name, works=False if refused else None, detail=failure.message, error=error)


async def probe(config: Config) -> dict[str, list[Finding]]:
    """Probe each endpoint of *config* as a run begins: one tiny request, and one more for each part that it refuses.

    Returns:
        What was found, by the name of the endpoint, which is empty where there is one.

    Raises:
        ConfigError: If a key is missing or a URL is wrong.
    """
    config = for_provider(config)
    ensure_ready(config)  # before any server is started
    task = Task.from_config(config)
    return {name.removesuffix(": "): await _probe(each, task) for name, each in named_endpoints(config)}


async def _probe(config: Config, task: Task) -> list[Finding]:
    headers = partial(request_headers, config.model)
    async with endpoint_url(config) as url, Client.open(url, headers, network(config.model, url)) as client:
        billing = Billing(config.model, capped=False)
        about = await client.model(config.model.name)
        billing.learn(about)
        asked = await Asking(client, config, task, about).to_the_end()
    usage, limits, price = _usage(asked), _limits(asked), _price(billing, asked)
    return [
        _model_object(about, replied=any_reply(asked)),
        *_modes(asked, config),
        _logprobs(asked),
        usage,
        limits,
        price,
        _lines(asked, config),
    ]


def problem(findings: Iterable[Finding]) -> PipelineError | None:
    """Return the error of a run at the endpoint with these *findings*, which needs one of the modes to work."""
    modes = [finding for finding in findings if finding.name in MODES]
    if any(finding.works for finding in modes):
        return None
    last = next((each for each in reversed(modes) if each.error is not None), modes[-1])
    return (last.error or ProviderUnavailableError)(last.detail)


def _model_object(found: Mapping[str, Any] | Failure, *, replied: bool) -> Finding:
    if isinstance(found, Failure):
        return _failed("model object", found, replied=replied)
    return Finding("model object", works=True, detail=str(found.get("id", "")))


def _modes(asked: Sequence[Asked], config: Config) -> Iterator[Finding]:
    """Yield how each mode of structured output fared when it was asked for last."""
    last = {each.form.mode: each.outcome for each in asked}
    for mode in MODES:
        # Where nothing worked, it is for the last reason, whatever the mode.
        outcome = last.get(mode, None if any_reply(asked) else asked[-1].outcome)
        if outcome is None:
            yield Finding(
                mode, works=None, detail="not tried; a stricter one works, or the config asks for another"
            )
        elif isinstance(outcome, Failure):
            yield _failed(mode, outcome, replied=any_reply(asked))
        else:
            found = outcome_of(outcome, config)
            works = found.status in LABELLED
            detail = ", ".join(found.labels) or found.error or found.status.value
            yield Finding(mode, works=works, detail=detail, error=None if works else ConfigError)


def _logprobs(asked: Sequence[Asked]) -> Finding:
    last = deciding(asked)
    if isinstance(last.outcome, Failure):
        return Finding("logprobs", works=None, detail=last.outcome.message)
    if not last.form.logprobs:
        refusals = [
            each.outcome for each in asked if each.form.logprobs and isinstance(each.outcome, Failure)
        ]
        if refusals:
            return _failed("logprobs", refusals[-1], replied=True)
        return Finding("logprobs", works=None, detail="not asked for; the model is not known to take them")
    detail = "label_confidence will be filled" if last.outcome.logprobs else "not in the reply"
    return Finding("logprobs", works=last.outcome.logprobs is not None, detail=detail)


def _usage(asked: Sequence[Asked]) -> Finding:
    reply = deciding(asked).outcome
    if not isinstance(reply, Reply):
        return Finding("usage", works=None, detail=NOT_KNOWN)
    usage = reply.usage
    if usage.prompt_tokens is None:
        return Finding("usage", works=False, detail="the reply does not report its tokens")
    detail = f"{usage.prompt_tokens} prompt and {usage.completion_tokens} completion tokens"
    return Finding("usage", works=True, detail=detail)


def _limits(asked: Sequence[Asked]) -> Finding:
    windows = [each.window for each in asked if each.window is not None]
    if not windows and not any_reply(asked):
        return Finding("rate-limit headers", works=None, detail=NOT_KNOWN)
    if not windows:
        return Finding("rate-limit headers", works=False, detail="none; concurrency adapts by itself")
    newest = windows[-1]
    detail = f"{newest.remaining_requests} requests and {newest.remaining_tokens} tokens left in the window"
    return Finding("rate-limit headers", works=True, detail=detail)


def _price(billing: Billing, asked: Sequence[Asked]) -> Finding:
    costs = [billing.cost(each.outcome.usage) for each in asked if isinstance(each.outcome, Reply)]
    if billing.source is None:
        return Finding("price", works=None, detail="none is known; set model.price, or cost_usd stays null")
    total = sum(cost or 0.0 for cost in costs)
    return Finding("price", works=True, detail=f"from {billing.source}; this probe cost {usd(total)}")


def _lines(asked: Sequence[Asked], config: Config) -> Finding:
    """Say what was found out as lines for the config."""
    model, last = config.model, deciding(asked)
    form, reply = last.form, last.outcome
    if not isinstance(reply, Reply):
        return Finding("config", works=None, detail=NOT_KNOWN)
    found = {
        "temperature: null": model.temperature is not None and not form.temperature,
        f"reasoning_effort: {form.effort}": form.effort not in {None, model.reasoning_effort},
        f"structured_output: {form.mode}": form.mode != MODES[0] and is_free("structure", model),
        "logprobs: false": reply.logprobs is None and is_free("logprobs", model),
        f"max_tokens: {form.ceiling}": form.ceiling > model.max_tokens,
    }
    lines = ", ".join(line for line, needed in found.items() if needed)
    return Finding("config", works=True, detail=f"model: {{{lines}}}" if lines else "fits as it is")
