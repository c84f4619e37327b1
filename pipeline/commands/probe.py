"""`probe`: what an endpoint supports, found out with a few tiny requests."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from pipeline.config import Config
from pipeline.errors import ConfigError, KeyRefusedError, PipelineError, ProviderUnavailableError
from pipeline.job.prepare import for_provider
from pipeline.job.readiness import ensure_ready
from pipeline.llm.billing import Billing
from pipeline.llm.protocol.body import MODES, BodyTemplate, RequestFormat
from pipeline.llm.replies import Failure, FailureKind, Reply, Window
from pipeline.llm.request import Request, answer_from_reply
from pipeline.llm.transport.client import Client
from pipeline.llm.transport.credentials import request_headers
from pipeline.llm.transport.network import network
from pipeline.records import Prompt, Status
from pipeline.servers.endpoint import endpoint_url
from pipeline.system.clock import Clock
from pipeline.tasks.parse import Parser
from pipeline.tasks.prompt import Task

QUESTION = "A short text about nothing in particular."
TIMEOUT_SECONDS = 60.0

REASONS: Mapping[FailureKind, type[PipelineError]] = {
    FailureKind.DENIED: KeyRefusedError,
    FailureKind.QUOTA: KeyRefusedError,
    FailureKind.CONFIG: ConfigError,
    FailureKind.UNTRUSTED: ConfigError,
}


@dataclass(frozen=True, slots=True)
class Finding:
    """A feature, and whether the endpoint supports it.

    Attributes:
        name: Name of the feature.
        works: Whether the endpoint supports it; None if that is unknown.
        detail: What the endpoint answered, or the problem.
        exit_status: Exit status of a run that has this problem.
    """

    name: str
    works: bool | None
    detail: str
    exit_status: int = 0


def _failed(name: str, failure: Failure) -> Finding:
    reason = REASONS.get(failure.kind, ProviderUnavailableError)
    return Finding(name, works=False, detail=failure.message, exit_status=reason.exit_status)


async def probe(config: Config) -> list[Finding]:
    """Probe the endpoint of *config* with at most five requests of a few tokens each.

    Raises:
        ConfigError: If the key is missing or the URL is wrong.
    """
    config = for_provider(config)
    task = Task.from_config(config)
    headers = partial(request_headers, config.model)
    ensure_ready(config)  # before any server is started
    async with endpoint_url(config) as url, Client.open(url, headers, network(config.model, url)) as client:
        billing = Billing(config.model, capped=False)
        model_object = await client.model(config.model.name)
        billing.learn(model_object)
        findings = [_model_object(model_object)]
        replies = []
        for mode in MODES:
            outcome, window = await _ask(client, config, task, RequestFormat(mode, logprobs=False))
            findings.append(_mode(mode, config, outcome))
            replies.append((outcome, window))
        outcome, window = await _ask(client, config, task, RequestFormat("text", logprobs=True))
        findings.append(_logprobs(outcome))
        replies.append((outcome, window))
    return [*findings, _usage(replies), _limits(replies), _price(billing, replies)]


def exit_status(findings: Iterable[Finding]) -> int:
    """Return the exit status of a run at the endpoint with these *findings*: it needs one of the modes to work."""
    modes = [finding for finding in findings if finding.name in MODES]
    if any(finding.works for finding in modes):
        return 0
    return modes[-1].exit_status or ProviderUnavailableError.exit_status


async def _ask(
    client: Client, config: Config, task: Task, request_format: RequestFormat
) -> tuple[Reply | Failure, Window | None]:
    return await client.ask(BodyTemplate(task, config.model, request_format).body(QUESTION), TIMEOUT_SECONDS)


def _model_object(found: Mapping[str, Any] | Failure) -> Finding:
    if isinstance(found, Failure):
        return _failed("model object", found)
    return Finding("model object", works=True, detail=str(found.get("id", "")))


def _mode(mode: str, config: Config, outcome: Reply | Failure) -> Finding:
    if isinstance(outcome, Failure):
        return _failed(mode, outcome)
    request = Request(Prompt(b"\0" * 16, QUESTION, truncated=False))
    answer = answer_from_reply(request, outcome, "probe", Clock().wall())
    found = Parser(config.task).outcome(answer)
    detail = ", ".join(found.labels) or found.error or found.status.value
    return Finding(mode, works=found.status is Status.OK, detail=detail)


def _logprobs(outcome: Reply | Failure) -> Finding:
    if isinstance(outcome, Failure):
        return Finding("logprobs", works=False, detail=outcome.message)
    detail = "label_confidence will be filled" if outcome.logprobs else "not in the reply"
    return Finding("logprobs", works=outcome.logprobs is not None, detail=detail)


def _usage(replies: list[tuple[Reply | Failure, Window | None]]) -> Finding:
    for outcome, _ in replies:
        if isinstance(outcome, Reply):
            usage = outcome.usage
            if usage.prompt_tokens is None:
                return Finding("usage", works=False, detail="the reply does not report its tokens")
            detail = f"{usage.prompt_tokens} prompt and {usage.completion_tokens} completion tokens"
            return Finding("usage", works=True, detail=detail)
    return Finding("usage", works=None, detail="no reply to judge by")


def _limits(replies: list[tuple[Reply | Failure, Window | None]]) -> Finding:
    windows = [window for _, window in replies if window is not None]
    if not windows:
        return Finding("rate-limit headers", works=False, detail="none; concurrency adapts by itself")
    newest = windows[-1]
    detail = f"{newest.remaining_requests} requests and {newest.remaining_tokens} tokens left in the window"
    return Finding("rate-limit headers", works=True, detail=detail)


def _price(billing: Billing, replies: list[tuple[Reply | Failure, Window | None]]) -> Finding:
    costs = [billing.cost(outcome.usage) for outcome, _ in replies if isinstance(outcome, Reply)]
    if billing.source is None:
        return Finding("price", works=False, detail="unknown; set model.price, or cost_usd stays null")
    total = sum(cost or 0.0 for cost in costs)
    return Finding("price", works=True, detail=f"from {billing.source}; this probe cost ${total:.6f}")
