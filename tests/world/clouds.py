"""Other providers' own endpoints: Gemini's, Azure's, Mistral's and Anthropic's, with their errors and omissions."""

import json
from typing import Any

from pipeline.servers.simulator.response import Response
from tests.world.endpoint import Ask, Endpoint, answer, completion, logprobs, refuse

# --- Gemini: errors are arrays, fields are known or refused, thoughts are in the total alone.

GEMINI_FIELDS = {
    "model", "messages", "max_tokens", "max_completion_tokens", "n", "stop", "stream", "stream_options", "temperature",
    "top_p", "tools", "tool_choice", "parallel_tool_calls", "response_format", "reasoning_effort", "user", "extra_body",
}  # fmt: skip
QUOTA_AFTER, QUOTA_SECONDS = 100, 1.2


def google(status: int, code: str, message: str, *details: dict[str, Any]) -> Response:
    """Return an error as Google does: google.rpc.Status, in an array."""
    error = {"code": status, "message": message, "status": code, "details": list(details)}
    return answer(status, [{"error": error}], (("Content-Type", "application/json; charset=UTF-8"),))


def unknown_names(found: list[tuple[str, str]]) -> Response:
    lines = [
        f'Invalid JSON payload received. Unknown name "{name}"{f" at {place!r}" if place else ""}: Cannot find field.'
        for name, place in found
    ]
    violations = [
        {**({"field": place} if place else {}), "description": line}
        for line, (_, place) in zip(lines, found, strict=True)
    ]
    kind = "type.googleapis.com/google.rpc.BadRequest"
    return google(400, "INVALID_ARGUMENT", "\n".join(lines), {"@type": kind, "fieldViolations": violations})


def quota_spent(seconds: float, model: str) -> Response:
    message = (
        "You exceeded your current quota, please check your plan and billing details. For more information on this "
        "error, head to: https://ai.google.dev/gemini-api/docs/rate-limits. \n* Quota exceeded for metric: "
        "generativelanguage.googleapis.com/generate_content_paid_tier_requests, limit: "
        f"{QUOTA_AFTER}, model: {model}\nPlease retry in {seconds:.9f}s."
    )
    violation = {
        "quotaMetric": "generativelanguage.googleapis.com/generate_content_paid_tier_requests",
        "quotaId": "GenerateRequestsPerMinutePerProjectPerModel-PaidTier",
        "quotaDimensions": {"location": "global", "model": model},
        "quotaValue": str(QUOTA_AFTER),
    }
    return google(
        429,
        "RESOURCE_EXHAUSTED",
        message,
        {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [violation]},
        {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": f"{seconds:.3f}s"},
    )


def gemini(ask: Ask, *, always_thinks: bool = False) -> Response:
    unknown = [(name, "") for name in ask.body if name not in GEMINI_FIELDS]
    schema = (ask.body.get("response_format") or {}).get("json_schema", {}).get("schema", {})
    if "additionalProperties" in schema:
        unknown.append(("additionalProperties", "generation_config.response_schema"))
    if unknown:
        return unknown_names(unknown)
    effort = ask.body.get("reasoning_effort")
    if always_thinks and effort == "none":
        return google(400, "INVALID_ARGUMENT", "Budget 0 is invalid. This model only works in thinking mode.")
    # A window that is full once; the next one opens when it was told to.
    if ask.paid >= QUOTA_AFTER:
        opens = ask.memo.setdefault("opens", ask.at + QUOTA_SECONDS)
        if ask.at < opens:
            return quota_spent(opens - ask.at, ask.body["model"])
    thoughts = 0 if effort == "none" else 30 + len(ask.text) % (30 if effort in {"minimal", "low"} else 80)
    content = json.dumps({"label": ask.label}, indent=2)
    written = len(content) // 4
    if thoughts + written <= ask.ceiling:
        usage = {"completion_tokens": written, "total_tokens": ask.prompt_tokens + written + thoughts}
        return completion(ask, content, usage=usage)
    usage = {"completion_tokens": 0, "total_tokens": ask.prompt_tokens + ask.ceiling}
    return completion(ask, None, finish="length", usage=usage)


def gemini_pro(ask: Ask) -> Response:
    return gemini(ask, always_thinks=True)


def gemini_endpoint(name: str, script: Any, wasted: int) -> Endpoint:
    return Endpoint(
        name=name,
        model={"provider": "openai-compatible", "name": name, "api_key_env": "GEMINI_API_KEY"},
        path="/v1beta/openai",
        env={"GEMINI_API_KEY": "AIzaSyA0123456789"},
        about=lambda model: answer(200, {"id": f"models/{model}", "object": "model", "owned_by": "google"}),
        script=script,
        wasted=wasted,
        refusals=124,  # a flight of 64 meets a window that is full; then no more than a storm may cost
    )


GEMINI = gemini_endpoint("gemini-2.5-flash", gemini, 4)
GEMINI_PRO = gemini_endpoint("gemini-2.5-pro", gemini_pro, 24)

# --- Azure: the deployment is in the path, the version in the query, and one row is filtered.

DEPLOYMENT, AZURE_KEY = "labels-nano", "0123456789abcdef0123456789abcdef"
SAFE = {kind: {"filtered": False, "severity": "safe"} for kind in ("hate", "self_harm", "sexual", "violence")}
FILTERED = (
    "The response was filtered due to the prompt triggering Azure OpenAI's content management policy. Please modify your "
    "prompt and retry. To learn more about our content filtering policies please read our documentation: "
    "https://go.microsoft.com/fwlink/?linkid=2198766"
)
NO_DEPLOYMENT = (
    "The API deployment for this resource does not exist. If you created the deployment within the last 5 minutes, "
    "please wait a moment and try again."
)


def azure(ask: Ask) -> Response:
    if not ask.query.startswith("api-version="):
        return answer(404, {"error": {"code": "404", "message": "Resource not found"}})
    if ask.headers.get("api-key") != AZURE_KEY:
        words = "Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a valid key."
        return answer(401, {"error": {"code": "401", "message": words}})
    if ask.memo.setdefault("disliked", ask.text) == ask.text:
        result = {
            **SAFE,
            "jailbreak": {"filtered": False, "detected": False},
            "violence": {"filtered": True, "severity": "medium"},
        }
        inner = {"code": "ResponsibleAIPolicyViolation", "content_filter_result": result}
        return refuse(
            400, FILTERED, type=None, param="prompt", code="content_filter", status=400, innererror=inner
        )
    said = logprobs(json.dumps({"label": ask.label})) if ask.body.get("logprobs") else {}
    filters = [{"prompt_index": 0, "content_filter_results": SAFE}]
    return completion(ask, choice={"content_filter_results": SAFE, **said}, prompt_filter_results=filters)


def no_deployment(_: Ask) -> Response:
    return answer(404, {"error": {"code": "DeploymentNotFound", "message": NO_DEPLOYMENT}})


def azure_endpoint(script: Any) -> Endpoint:
    return Endpoint(
        name="azure",
        model={
            "provider": "openai-compatible",
            "name": DEPLOYMENT,
            "headers": {"api-key": "${AZURE_OPENAI_API_KEY}"},
        },
        path=f"/openai/deployments/{DEPLOYMENT}",
        query="?api-version=2024-10-21",
        env={"AZURE_OPENAI_API_KEY": AZURE_KEY},
        about=lambda _: answer(404, {"error": {"code": "404", "message": "Resource not found"}}),
        script=script,
        statuses={"filtered": 1},
        refusals=4,
    )


AZURE, AZURE_WITHOUT_DEPLOYMENT = azure_endpoint(azure), azure_endpoint(no_deployment)

# --- Mistral: a field that it does not know is 422.

MISTRAL_FIELDS = {
    "model", "messages", "temperature", "top_p", "max_tokens", "stream", "stop", "random_seed", "response_format", "tools",
    "tool_choice", "presence_penalty", "frequency_penalty", "n", "prediction", "parallel_tool_calls", "prompt_mode",
    "safe_prompt", "metadata",
}  # fmt: skip


def mistral(ask: Ask) -> Response:
    detail = [
        {
            "type": "extra_forbidden",
            "loc": ["body", name],
            "msg": "Extra inputs are not permitted",
            "input": value,
        }
        for name, value in ask.body.items()
        if name not in MISTRAL_FIELDS
    ]
    if detail:
        said = {"object": "error", "message": {"detail": detail}, "type": "invalid_request_error"}
        return answer(422, {**said, "param": None, "code": None})
    return completion(ask, message={"tool_calls": None})


MISTRAL = Endpoint(
    name="mistral",
    model={
        "provider": "openai-compatible",
        "name": "ministral-3b-latest",
        "api_key_env": "MISTRAL_API_KEY",
        "seed": 7,
    },
    env={"MISTRAL_API_KEY": "m0123456789"},
    about=lambda name: answer(200, {"id": name, "object": "model", "owned_by": "mistralai"}),
    script=mistral,
)

# --- Anthropic: what it does not know it ignores, the schema as well; at times it is overloaded.


def anthropic(ask: Ask) -> Response:
    if ask.number % 40 == 20:
        error = {"code": None, "message": "Overloaded", "type": "overloaded_error", "param": None}
        return answer(529, {"error": error})
    content = json.dumps({"label": ask.label})
    if len(ask.text) % 4 == 0:
        content = f"```json\n{content}\n```"
    return completion(ask, content)


ANTHROPIC = Endpoint(
    name="anthropic",
    model={
        "provider": "openai-compatible",
        "name": "claude-haiku-4-5",
        "api_key_env": "ANTHROPIC_API_KEY",
    },
    env={"ANTHROPIC_API_KEY": "sk-ant-0123456789"},
    about=lambda _: answer(
        401,
        {
            "type": "error",
            "error": {"type": "authentication_error", "message": "x-api-key header is required"},
        },
    ),
    script=anthropic,
)

CLOUDS = (GEMINI, GEMINI_PRO, AZURE, MISTRAL, ANTHROPIC)
