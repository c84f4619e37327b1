"""What a chat completion request and its reply may hold, as OpenAI publishes it; JSON schemas, written from its facts.

Only fields that this program or its simulator sends are told with their types and bounds. A request may hold no others,
so that whoever sends a new one looks it up and adds it.
"""

from typing import Any

from jsonschema import Draft202012Validator


def _object(properties: dict[str, Any], required: list[str], *, closed: bool = True) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": not closed,
    }


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [schema, {"type": "null"}]}


TEXT = {"type": "string"}
COUNT = {"type": "integer", "minimum": 0}
NAMES = {"type": "string", "pattern": "^[a-zA-Z0-9_-]{1,64}$"}

MESSAGE = _object(
    {"role": {"enum": ["developer", "system", "user", "assistant"]}, "content": TEXT, "name": TEXT},
    ["role", "content"],
)
STRICT_SCHEMA = _object(
    {
        "type": {"const": "object"},
        "properties": {"type": "object"},
        "required": {"type": "array", "items": TEXT},
        "additionalProperties": {"const": False},
    },
    ["type", "properties", "required", "additionalProperties"],
)
"""What structured outputs demand of a root where `strict` is true."""

RESPONSE_FORMAT = {
    "oneOf": [
        _object({"type": {"const": "text"}}, ["type"]),
        _object({"type": {"const": "json_object"}}, ["type"]),
        _object(
            {
                "type": {"const": "json_schema"},
                "json_schema": {
                    **_object(
                        {
                            "name": NAMES,
                            "description": TEXT,
                            "strict": {"type": "boolean"},
                            "schema": {"type": "object"},
                        },
                        ["name"],
                    ),
                    "if": {"properties": {"strict": {"const": True}}, "required": ["strict"]},
                    "then": {"properties": {"schema": STRICT_SCHEMA}},
                },
            },
            ["type", "json_schema"],
        ),
    ]
}
REQUEST = _object(
    {
        "model": TEXT,
        "messages": {"type": "array", "minItems": 1, "items": MESSAGE},
        "max_tokens": _or_null({"type": "integer"}),
        "max_completion_tokens": _or_null({"type": "integer"}),
        "temperature": _or_null({"type": "number", "minimum": 0, "maximum": 2}),
        "top_p": _or_null({"type": "number", "minimum": 0, "maximum": 1}),
        "frequency_penalty": _or_null({"type": "number", "minimum": -2, "maximum": 2}),
        "presence_penalty": _or_null({"type": "number", "minimum": -2, "maximum": 2}),
        "seed": _or_null({"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1}),
        "logprobs": _or_null({"type": "boolean"}),
        "top_logprobs": _or_null({"type": "integer", "minimum": 0, "maximum": 20}),
        "reasoning_effort": {"enum": ["none", "minimal", "low", "medium", "high", "xhigh", "max", None]},
        "service_tier": _or_null(TEXT),
        "prompt_cache_key": _or_null(TEXT),
        "store": _or_null({"type": "boolean"}),
        "user": TEXT,
        "metadata": _or_null({"type": "object", "maxProperties": 16, "additionalProperties": TEXT}),
        "response_format": RESPONSE_FORMAT,
    },
    ["model", "messages"],
)

TOKEN = {
    "token": TEXT,
    "logprob": {"type": "number", "maximum": 0},
    "bytes": _or_null({"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 255}}),
}
TOKENS = {
    "type": "array",
    "items": _object(
        {**TOKEN, "top_logprobs": {"type": "array", "items": _object(TOKEN, list(TOKEN))}},
        [*TOKEN, "top_logprobs"],
    ),
}
LOGPROBS = _or_null(
    _object({"content": _or_null(TOKENS), "refusal": _or_null(TOKENS)}, ["content", "refusal"])
)
FINISH = {"enum": ["stop", "length", "tool_calls", "content_filter", "function_call"]}
USAGE = _object(
    {
        "prompt_tokens": COUNT,
        "completion_tokens": COUNT,
        "total_tokens": COUNT,
        "prompt_tokens_details": _object({"cached_tokens": COUNT}, [], closed=False),
    },
    ["prompt_tokens", "completion_tokens", "total_tokens"],
    closed=False,
)
_HEAD = {"id": TEXT, "created": COUNT, "model": TEXT}


def _reply(kind: str, choice: dict[str, Any], usage: dict[str, Any], least: int) -> dict[str, Any]:
    choices = {"type": "array", "minItems": least, "items": _object(choice, list(choice))}
    properties = {**_HEAD, "object": {"const": kind}, "choices": choices, "usage": usage}
    return _object(properties, [*_HEAD, "object", "choices"])


REPLY = _reply(
    "chat.completion",
    {
        "index": COUNT,
        "message": _object(
            {"role": {"const": "assistant"}, "content": _or_null(TEXT), "refusal": _or_null(TEXT)},
            ["role", "content", "refusal"],
        ),
        "logprobs": LOGPROBS,
        "finish_reason": FINISH,
    },
    USAGE,
    1,
)
CHUNK = _reply(
    "chat.completion.chunk",
    {
        "index": COUNT,
        "delta": _object(
            {"role": {"const": "assistant"}, "content": _or_null(TEXT), "refusal": _or_null(TEXT)}, []
        ),
        "logprobs": LOGPROBS,
        "finish_reason": {"enum": [*FINISH["enum"], None]},
    },
    _or_null(USAGE),
    0,
)
MODEL = _object(
    {"id": TEXT, "object": {"const": "model"}, "created": COUNT, "owned_by": TEXT},
    ["id", "object", "created", "owned_by"],
    closed=False,
)
ERROR = _object(
    {
        "error": _object(
            {"message": TEXT, "type": TEXT, "param": _or_null(TEXT), "code": _or_null(TEXT)},
            ["message", "type", "param", "code"],
        )
    },
    ["error"],
)


def problems(value: Any, schema: dict[str, Any]) -> list[str]:
    """Return what *schema* does not allow in *value*."""
    return [
        f"{error.json_path}: {error.message}" for error in Draft202012Validator(schema).iter_errors(value)
    ]
