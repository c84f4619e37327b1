"""What stands between a user and a model: OpenRouter with an own key, LiteLLM with a budget, nginx before vLLM."""

import json
from collections.abc import Callable
from typing import Any

from pipeline.servers.simulator.response import Response
from tests.world.endpoint import Ask, Endpoint, answer, completion, logprobs, no_model_object, refuse

# --- OpenRouter: own key, several backends behind one name, errors within 200, keep-alive before the body.

BYOK_USD_PER_TOKEN = 4e-7
WHITESPACE = b"\n         \n\n         \n"
COMMENTS = b": OPENROUTER PROCESSING\n\n: OPENROUTER PROCESSING\n\n"


def provider_error(status: int, code: int, raw: Any, provider: str) -> Response:
    text = raw if isinstance(raw, str) else json.dumps(raw)
    metadata = {"raw": text, "provider_name": provider, "is_byok": True}
    error = {"message": "Provider returned error", "code": code, "metadata": metadata}
    return answer(status, {"error": error, "user_id": "user_2x0123456789"})


def openrouter(ask: Ask) -> Response:
    if ask.number % 10 == 7 and ask.form == "json_schema":
        words = "response_format.type: 'json_schema' is not supported by this model"
        raw = {
            "error": {
                "message": words,
                "type": "invalid_request_error",
                "param": "response_format",
                "code": None,
            }
        }
        return provider_error(400, 400, raw, "Parasail")
    if ask.number % 20 == 13:
        return provider_error(
            200, 502, "upstream connect error or disconnect/reset before headers", "Crucible"
        )
    written = 8
    upstream = (ask.prompt_tokens + written) * BYOK_USD_PER_TOKEN
    usage = {
        "completion_tokens": written,
        "total_tokens": ask.prompt_tokens + written,
        "cost": 0,
        "is_byok": True,
        "prompt_tokens_details": {"cached_tokens": 0},
        "cost_details": {
            "upstream_inference_cost": upstream,
            "upstream_inference_prompt_cost": ask.prompt_tokens * BYOK_USD_PER_TOKEN,
            "upstream_inference_completions_cost": written * BYOK_USD_PER_TOKEN,
        },
        "completion_tokens_details": {"reasoning_tokens": 0},
    }
    if ask.number % 40 == 31:
        failed = {"code": 502, "message": "Upstream error from Crucible: the stream was reset"}
        zero = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0, "cost": 0}
        reply = completion(
            ask, None, finish="error", usage=zero, choice={"error": failed, "native_finish_reason": None}
        )
        return Response(200, reply.body)
    return completion(
        ask,
        message={"refusal": None, "reasoning": None},
        usage=usage,
        choice={"logprobs": None, "native_finish_reason": "completed"},
        prefix={3: WHITESPACE, 5: COMMENTS}.get(ask.number % 12, b""),
        provider="OpenAI",
    )


OPENROUTER = Endpoint(
    name="openrouter",
    model={
        "provider": "openai-compatible",
        "name": "openai/gpt-4.1-mini",
        "api_key_env": "OPENROUTER_API_KEY",
        "headers": {"X-Title": "science", "HTTP-Referer": "https://labels.example"},
    },
    path="/api/v1",
    env={"OPENROUTER_API_KEY": "sk-or-v1-0123456789"},
    about=lambda _: answer(404, {"error": {"message": "Not Found", "code": 404}}),
    script=openrouter,
    refusals=80,
)

# --- LiteLLM's proxy: each reply tells its cost in a header; a virtual key has a budget.

LITELLM_USD = 2.5e-5


def litellm(ask: Ask) -> Response:
    headers = (("x-litellm-response-cost", str(LITELLM_USD)), ("x-litellm-version", "1.108.7"))
    said = logprobs(json.dumps({"label": ask.label})) if ask.body.get("logprobs") else {}
    return completion(ask, choice=said, headers=headers)


def out_of_budget(status: int, budget: Callable[[], int]) -> Callable[[Ask], Response]:
    """Return a script of a key whose money ends after as many replies as *budget* tells."""

    def script(ask: Ask) -> Response:
        if ask.paid < budget():
            return litellm(ask)
        spent, bound = ask.paid * LITELLM_USD, budget() * LITELLM_USD
        words = f"Budget has been exceeded! Current cost: {spent}, Max budget: {bound}"
        return refuse(status, words, type="budget_exceeded", code=str(status))

    return script


def litellm_endpoint(script: Callable[[Ask], Response]) -> Endpoint:
    return Endpoint(
        name="litellm",
        model={"provider": "openai-compatible", "name": "labels", "api_key_env": "LITELLM_KEY"},
        env={"LITELLM_KEY": "sk-litellm-0123456789"},
        about=lambda name: answer(
            200, {"id": name, "object": "model", "created": 1677610602, "owned_by": "openai"}
        ),
        script=script,
    )


LITELLM = litellm_endpoint(litellm)

# --- nginx before vLLM: now and then its own pages come instead of a reply.

PAGE = """<html>
<head><title>{title}</title></head>
<body>
<center><h1>{title}</h1></center>
<hr><center>nginx/1.27.4</center>
</body>
</html>
"""


def nginx(ask: Ask) -> Response:
    titles = {11: (502, "502 Bad Gateway"), 23: (504, "504 Gateway Time-out")}
    status, title = titles.get(ask.number % 30, (200, ""))
    if status != 200:
        return answer(
            status,
            PAGE.format(title=title).replace("\n", "\r\n").encode(),
            (("Content-Type", "text/html"), ("Server", "nginx/1.27.4")),
        )
    said = logprobs(json.dumps({"label": ask.label})) if ask.body.get("logprobs") else {}
    return completion(ask, choice={"stop_reason": None, **said})


NGINX = Endpoint(
    name="vllm-behind-nginx",
    model={"provider": "openai-compatible", "name": "Qwen/Qwen2.5-3B-Instruct"},
    about=no_model_object,
    script=nginx,
)

GATEWAYS = (OPENROUTER, LITELLM, NGINX)
