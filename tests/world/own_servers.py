"""Servers that people run themselves: vLLM, Ollama and llama-cpp-python, each with its own way to say no."""

import json
from typing import Any

from pipeline.servers.simulator.response import Response
from tests.world.endpoint import (
    Ask,
    Endpoint,
    answer,
    completion,
    logprobs,
    no_model_object,
    openai_model_object,
    refuse,
)

# --- vLLM: what the grammar made lies in the reasoning field; older versions have flat errors and another name for it.


def vllm_refuses(message: str, *, flat: bool) -> Response:
    error = {"message": message, "type": "BadRequestError", "param": None, "code": 400}
    return answer(400, {"object": "error", **error} if flat else {"error": error})


def thinking(ask: Ask, field: str, *, flat: bool) -> Response:
    """Answer as Qwen3 behind a reasoning parser."""
    effort = ask.body.get("reasoning_effort")
    efforts = ("low", "medium", "high") if flat else ("none", "low", "medium", "high")
    if effort is not None and effort not in efforts:
        expected = ", ".join(f"'{each}'" for each in efforts[:-1]) + f" or '{efforts[-1]}'"
        detail = {
            "type": "literal_error",
            "loc": ("body", "reasoning_effort"),
            "msg": f"Input should be {expected}",
            "input": effort,
        }
        return vllm_refuses(str([detail]), flat=flat)
    switch = (ask.body.get("chat_template_kwargs") or {}).get("enable_thinking", True)
    content = json.dumps({"label": ask.label})
    said = logprobs(content) if ask.body.get("logprobs") else {}
    if ask.form == "json_schema" and switch:
        # The grammar leaves no room for <think>, so the parser takes all of it for thoughts.
        written = len(content) // 4
        usage = {"completion_tokens": written, "total_tokens": ask.prompt_tokens + written}
        message = {field: content, "tool_calls": []}
        return completion(ask, None, message=message, usage=usage, choice={"stop_reason": None, **said})
    thoughts = 0 if not switch or effort == "none" else 90 + len(ask.text) % 30
    written = thoughts + len(content) // 4
    usage = {"completion_tokens": written, "total_tokens": ask.prompt_tokens + written}
    if written <= ask.ceiling:
        told = "Let me see." if thoughts else None
        return completion(ask, content, message={field: told}, usage=usage, choice=said)
    usage = {"completion_tokens": ask.ceiling, "total_tokens": ask.prompt_tokens + ask.ceiling}
    return completion(ask, None, finish="length", message={field: "Okay, the package"}, usage=usage)


def vllm_old(ask: Ask) -> Response:
    return thinking(ask, "reasoning_content", flat=True)


def vllm_new(ask: Ask) -> Response:
    return thinking(ask, "reasoning", flat=False)


def vllm_without_schema(ask: Ask) -> Response:
    if ask.form == "json_schema":
        return vllm_refuses(
            "The provided JSON schema contains features not supported by xgrammar.", flat=ask.number % 2 == 0
        )
    said = logprobs(json.dumps({"label": ask.label})) if ask.body.get("logprobs") else {}
    return completion(ask, choice={"stop_reason": None, **said})


def vllm_endpoint(name: str, script: Any) -> Endpoint:
    model = {"provider": "openai-compatible", "name": "Qwen/Qwen3-8B"}
    return Endpoint(name=name, model=model, about=no_model_object, script=script)


# --- Ollama: four at once, a short queue, and errors that are a mere string.

AT_ONCE, QUEUE = 4, 8


def ollama(ask: Ask) -> Response:
    if ask.in_flight > AT_ONCE + QUEUE:
        words = "server busy, please try again.  maximum pending requests exceeded"
        return Response(503, json.dumps({"error": words}).encode(), delay=0)
    reply = completion(ask, system_fingerprint="fp_ollama")
    # Whoever waits in the queue waits for those before.
    waiting = max(0, ask.in_flight - AT_ONCE)
    return Response(200, reply.body, reply.headers, reply.billed, delay=0.04 * (1 + waiting / AT_ONCE))


def ollama_without_model(ask: Ask) -> Response:
    return answer(404, {"error": f"model '{ask.body['model']}' not found"})


def ollama_endpoint(script: Any) -> Endpoint:
    return Endpoint(
        name="ollama",
        model={"provider": "openai-compatible", "name": "llama3.2:1b"},
        about=openai_model_object,
        script=script,
        refusals=240,
    )


OLLAMA, OLLAMA_WITHOUT_MODEL = ollama_endpoint(ollama), ollama_endpoint(ollama_without_model)

# --- llama-cpp-python: what its validation or the model cannot do is status 500.


def llama_cpp_python(ask: Ask) -> Response:
    if ask.form == "json_schema":
        detail = {
            "type": "literal_error",
            "loc": ("body", "response_format", "type"),
            "msg": "Input should be 'text' or 'json_object'",
            "input": "json_schema",
            "ctx": {"expected": "'text' or 'json_object'"},
        }
        return refuse(500, str([detail]), type="internal_server_error")
    if ask.body.get("logprobs"):
        words = "logprobs is not supported for models created with logits_all=False"
        return refuse(500, words, type="internal_server_error")
    return completion(ask, choice={"logprobs": None})


OWN_SERVERS = (
    vllm_endpoint("vllm-0.9-reasoning", vllm_old),
    vllm_endpoint("vllm-0.23-reasoning", vllm_new),
    vllm_endpoint("vllm-xgrammar", vllm_without_schema),
    OLLAMA,
    Endpoint(
        name="llama-cpp-python",
        model={"provider": "openai-compatible", "name": "local"},
        about=no_model_object,
        script=llama_cpp_python,
    ),
)
