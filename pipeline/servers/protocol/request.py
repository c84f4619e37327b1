"""Check a chat completion request: the types and bounds of its fields, as OpenAI publishes them.

Fields that are not known here are passed over, as most servers do: a rehearsal sends what is meant for another one.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import orjson

from pipeline.servers.protocol.errors import BadRequestError

ROLES = ("developer", "system", "user", "assistant", "tool", "function")
FORMATS = ("text", "json_object", "json_schema")

MOST_CHOICES = 128
MOST_TOP_LOGPROBS = 20
MOST_STOPS = 4
MOST_SHOWN = 60
"""Characters of a wrong value that a refusal repeats."""


class _Rule(NamedTuple):
    """What a field may hold; null is as good as leaving it out.

    Attributes:
        fits: Whether a value may stand there.
        words: What must stand there, for the refusal.
    """

    fits: Callable[[Any], bool]
    words: str


def _whole(least: int, most: int | None = None) -> _Rule:
    words = f"an integer of at least {least}" if most is None else f"an integer from {least} to {most}"
    return _Rule(lambda value: type(value) is int and least <= value <= (most or value), words)


def _number(least: float, most: float) -> _Rule:
    return _Rule(
        lambda value: type(value) in {int, float} and least <= value <= most,
        f"a number from {least} to {most}",
    )


def _of(kind: type, words: str) -> _Rule:
    return _Rule(lambda value: type(value) is kind, words)


def _is_stop(value: Any) -> bool:
    stops = [value] if isinstance(value, str) else value
    return (
        isinstance(stops, list) and len(stops) <= MOST_STOPS and all(isinstance(stop, str) for stop in stops)
    )


_BOOLEAN, _STRING, _OBJECT = _of(bool, "true or false"), _of(str, "a string"), _of(dict, "an object")
_LIST = _of(list, "a list")
_NO_TOOL_CALL = _Rule(
    lambda value: value in {"none", "auto"} if isinstance(value, str) else False,
    "none or auto: this endpoint calls no tools",
)

RULES: Mapping[str, _Rule] = {
    "model": _Rule(lambda value: isinstance(value, str) and value != "", "a model's name"),
    "n": _whole(1, MOST_CHOICES),
    "max_tokens": _whole(1),
    "max_completion_tokens": _whole(1),
    "temperature": _number(0, 2),
    "top_p": _number(0, 1),
    "frequency_penalty": _number(-2, 2),
    "presence_penalty": _number(-2, 2),
    "seed": _of(int, "an integer"),
    "logprobs": _BOOLEAN,
    "top_logprobs": _whole(0, MOST_TOP_LOGPROBS),
    "stop": _Rule(_is_stop, f"a string or a list of at most {MOST_STOPS} strings"),
    "stream": _BOOLEAN,
    "stream_options": _OBJECT,
    "logit_bias": _OBJECT,
    "metadata": _OBJECT,
    "store": _BOOLEAN,
    "user": _STRING,
    "reasoning_effort": _STRING,
    "service_tier": _STRING,
    "parallel_tool_calls": _BOOLEAN,
    "tools": _LIST,
    "tool_choice": _NO_TOOL_CALL,
    "functions": _LIST,
    "function_call": _NO_TOOL_CALL,
    "modalities": _Rule(lambda value: value == ["text"], '["text"]: this endpoint only writes'),
}
"""Every field with a rule of its own; messages and response_format are looked into."""


def read_request(body: bytes) -> dict[str, Any]:
    """Return the request in *body*, whose fields are of the right types and within their bounds.

    Raises:
        BadRequestError: It is no chat completion request; the error says why.
    """
    try:
        found = orjson.loads(body)
    except ValueError as error:
        raise BadRequestError(f"the body is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise BadRequestError("the body is not a JSON object")
    for name in ("model", "messages"):
        if found.get(name) is None:
            message = f"the field '{name}' is missing"
            raise BadRequestError(message, param=name, code="missing_required_parameter")
    for name, value in found.items():
        rule = RULES.get(name)
        if rule is not None and value is not None and not rule.fits(value):
            raise _wrong(name, value, rule.words)
    _check_messages(found["messages"])
    _check_format(found.get("response_format"))
    _check_together(found)
    return found


def text_of(message: Mapping[str, Any]) -> str:
    """Return the text of a checked message; a message of parts has that of all its parts."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    return "".join(part["text"] for part in content or ())


def _wrong(param: str, value: Any, words: str) -> BadRequestError:
    shown = orjson.dumps(value).decode()
    shown = shown if len(shown) <= MOST_SHOWN else shown[:MOST_SHOWN] + "..."
    return BadRequestError(f"'{param}' must be {words}, and is {shown}", param=param, code="invalid_value")


def _check_messages(messages: Any) -> None:
    if not isinstance(messages, list) or not messages:
        raise _wrong("messages", messages, "a list of at least one message")
    for place, message in enumerate(messages):
        if not isinstance(message, dict):
            raise _wrong(f"messages[{place}]", message, "an object")
        role, content = message.get("role"), message.get("content")
        if role not in ROLES:
            raise _wrong(f"messages[{place}].role", role, f"one of {', '.join(ROLES)}")
        if isinstance(content, str) or (content is None and role == "assistant"):
            continue
        if not isinstance(content, list) or not all(map(_is_text, content)):
            words = "a string or a list of text parts: this endpoint reads nothing else"
            raise _wrong(f"messages[{place}].content", content, words)


def _is_text(part: Any) -> bool:
    return isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str)


def _check_format(form: Any) -> None:
    if form is None:
        return
    if not isinstance(form, dict):
        raise _wrong("response_format", form, "an object")
    kind = form.get("type")
    if kind not in FORMATS:
        raise _wrong("response_format.type", kind, f"one of {', '.join(FORMATS)}")
    if kind != "json_schema":
        return
    told = form.get("json_schema")
    if not isinstance(told, dict):
        raise _wrong("response_format.json_schema", told, "an object")
    if not isinstance(told.get("name"), str):
        raise _wrong("response_format.json_schema.name", told.get("name"), "a string")
    if not isinstance(told.get("schema", {}), dict):
        raise _wrong("response_format.json_schema.schema", told["schema"], "an object")


def _check_together(found: Mapping[str, Any]) -> None:
    """Refuse what only makes sense beside another field."""
    if found.get("stream_options") is not None and not found.get("stream"):
        raise BadRequestError("'stream_options' is only for 'stream': true", param="stream_options")
    if found.get("top_logprobs") is not None and not found.get("logprobs"):
        raise BadRequestError("'top_logprobs' is only for 'logprobs': true", param="top_logprobs")
