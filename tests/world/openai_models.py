"""OpenAI's reasoning models, as they refuse parameters and think; sentences and codes are those of its API."""

from collections.abc import Sequence
from typing import Any

from pipeline.servers.simulator.response import Response
from tests.world.endpoint import Ask, Endpoint, completion, logprobs, openai_model_object, refuse

UNIT = 64
"""Reasoning tokens come in multiples of it."""

HEADERS = (
    ("openai-processing-ms", "412"),
    ("x-ratelimit-limit-requests", "30000"),
    ("x-ratelimit-limit-tokens", "180000000"),
    ("x-ratelimit-remaining-requests", "29999"),
    ("x-ratelimit-remaining-tokens", "179999000"),
    ("x-ratelimit-reset-requests", "2ms"),
    ("x-ratelimit-reset-tokens", "0s"),
)


def unsupported_parameter(name: str, advice: str = "") -> Response:
    message = f"Unsupported parameter: '{name}' is not supported with this model.{advice}"
    return refuse(400, message, param=name, code="unsupported_parameter")


def unsupported_value(name: str, value: object, advice: str) -> Response:
    shown = f"'{value}'" if isinstance(value, str) else f"{value:g}"
    message = f"Unsupported value: '{name}' does not support {shown} with this model. {advice}"
    return refuse(400, message, param=name, code="unsupported_value")


def sampling_refused(body: Any) -> Response | None:
    """Refuse what no model takes while it reasons."""
    if body.get("temperature", 1) != 1:
        return unsupported_value(
            "temperature", body["temperature"], "Only the default (1) value is supported."
        )
    return next(
        (
            unsupported_parameter(name)
            for name in ("top_p", "presence_penalty", "frequency_penalty")
            if name in body
        ),
        None,
    )


def listed(efforts: Sequence[str]) -> str:
    return (
        "Supported values are: " + ", ".join(f"'{each}'" for each in efforts[:-1]) + f", and '{efforts[-1]}'."
    )


def reasoned(ask: Ask, thoughts: int) -> Response:
    """Answer after *thoughts* reasoning tokens, or not at all if the ceiling comes first."""
    details = {"reasoning_tokens": thoughts, "audio_tokens": 0}
    content = f'{{"label":"{ask.label}"}}'
    written = thoughts + len(content) // 4
    finish = "stop"
    if written > ask.ceiling:
        content, finish, written = "", "length", ask.ceiling
        details["reasoning_tokens"] = ask.ceiling
    usage = {
        "completion_tokens": written,
        "total_tokens": ask.prompt_tokens + written,
        "completion_tokens_details": details,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
    }
    said = logprobs(content) if ask.body.get("logprobs") else {"logprobs": None}
    return completion(
        ask,
        content,
        finish=finish,
        message={"refusal": None, "annotations": []},
        usage=usage,
        choice=said,
        headers=HEADERS,
        service_tier="default",
        system_fingerprint=None,
    )


def gpt_5_nano(ask: Ask, usual: int = 0) -> Response:
    """Answer as the first generation: it cannot but reason, `minimal` is the least, and `none` is unknown to it."""
    efforts = ("minimal", "low", "medium", "high")
    if "max_tokens" in ask.body:
        return unsupported_parameter("max_tokens", " Use 'max_completion_tokens' instead.")
    refused = sampling_refused(ask.body)
    if refused is not None:
        return refused
    if ask.body.get("logprobs"):
        return refuse(403, "You are not allowed to request logprobs from this model")
    effort = ask.body.get("reasoning_effort", "medium")
    if effort not in efforts:
        return unsupported_value("reasoning_effort", effort, listed(efforts))
    thoughts = {"minimal": 0, "low": UNIT}.get(effort, usual or UNIT * (3 + len(ask.text) % 20))
    return reasoned(ask, thoughts)


def unknown_nano(ask: Ask) -> Response:
    """Answer as the first generation, under a name that no table has, and with fewer thoughts."""
    return gpt_5_nano(ask, usual=UNIT)


def gpt_5_4_nano(ask: Ask) -> Response:
    """Answer as a later generation: `none` is its default, and with it sampling and log-probabilities are taken."""
    efforts = ("none", "low", "medium", "high", "xhigh")
    if "max_tokens" in ask.body:
        return unsupported_parameter("max_tokens", " Use 'max_completion_tokens' instead.")
    effort = ask.body.get("reasoning_effort", "none")
    if effort not in efforts:
        message = f"Unsupported value: '{effort}' is not supported with the '{ask.body['model']}' model."
        return refuse(400, f"{message} {listed(efforts)}", param="reasoning_effort", code="unsupported_value")
    if effort == "none":
        return reasoned(ask, 0)
    refused = sampling_refused(ask.body)
    if refused is not None:
        return refused
    if ask.body.get("logprobs"):
        return unsupported_parameter("logprobs")
    return reasoned(ask, UNIT * (2 + len(ask.text) % 10))


KEY = {"OPENAI_API_KEY": "sk-proj-0123456789abcdef"}

GPT_5_NANO = Endpoint(
    name="gpt-5-nano",
    model={"provider": "openai", "name": "gpt-5-nano"},
    env=KEY,
    about=openai_model_object,
    script=gpt_5_nano,
    wasted=4,
)

OPENAI = (
    GPT_5_NANO,
    Endpoint(
        name="gpt-5.4-nano",
        model={"provider": "openai", "name": "gpt-5.4-nano"},
        env=KEY,
        about=openai_model_object,
        script=gpt_5_4_nano,
        wasted=4,
    ),
    Endpoint(
        name="reasoning-model-of-unknown-name",
        model={"provider": "openai", "name": "ocelot-mini"},
        env=KEY,
        about=openai_model_object,
        script=unknown_nano,
        wasted=24,
    ),
)
