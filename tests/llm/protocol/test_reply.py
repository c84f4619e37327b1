"""Every known envelope of a response is classified rightly, and none makes the reader raise."""

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.llm.protocol.reply import read
from pipeline.llm.replies import Failure, Reply, Usage
from pipeline.records import Status

CONTENT = '{"label": "games"}'


def completion(message: Any = None, finish: Any = "stop", **more: Any) -> dict[str, Any]:
    """A chat completion as OpenAI sends it."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "model": "gpt-4.1-nano-2025-04-14",
        "choices": [
            {
                "index": 0,
                "message": message
                if message is not None
                else {"role": "assistant", "content": CONTENT, "refusal": None},
                "logprobs": None,
                "finish_reason": finish,
            }
        ],
        "usage": {
            "prompt_tokens": 100,
            "completion_tokens": 5,
            "prompt_tokens_details": {"cached_tokens": 64},
        },
        **more,
    }


def reply(body: Any) -> Reply:
    found = read(200, {}, body if isinstance(body, bytes) else orjson.dumps(body))
    assert isinstance(found, Reply), found
    return found


def failure(status: int, body: Any, headers: dict[str, str] | None = None) -> Failure:
    found = read(status, headers or {}, body if isinstance(body, bytes) else orjson.dumps(body))
    assert isinstance(found, Failure), found
    return found


def test_a_completion_is_a_reply() -> None:
    assert reply(completion()) == Reply(
        text=CONTENT,
        finish="stop",
        status=None,
        error=None,
        usage=Usage(100, 64, 5, None),
        model="gpt-4.1-nano-2025-04-14",
        request_id="chatcmpl-1",
        logprobs=None,
    )


def error(**fields: Any) -> dict[str, Any]:
    return {"error": fields}


@pytest.mark.parametrize(
    ("message", "finish", "text", "status"),
    [
        ({"content": CONTENT}, None, CONTENT, None),
        ({"content": CONTENT}, 7, CONTENT, None),
        ({"content": [{"type": "text", "text": '{"label":'}, {"type": "text", "text": ' "games"}'}]}, "stop", CONTENT, None),
        ({"content": [{"type": "reasoning", "text": "hm"}, {"type": "text", "text": "games"}]}, "stop", "games", None),
        ({"content": "{", "refusal": None}, "length", "{", None),
        ({"content": None}, "length", None, None),
        ({"content": None}, "content_filter", None, Status.FILTERED),
        ({"content": "gam"}, "content_filter", "gam", Status.FILTERED),
        ({"content": None, "refusal": "I can't."}, "stop", None, Status.REFUSED),
        ({"content": "sound"}, "MAX_TOKENS", "sound", None),
        ({"content": ""}, "model_length", None, None),
        ({"content": None}, "SAFETY", None, Status.FILTERED),
        ({"content": "gam"}, "recitation", "gam", Status.FILTERED),
        ({"content": "I can't."}, "refusal", "I can't.", Status.REFUSED),
        ({"content": "  "}, "stop", "  ", None),
    ],
)  # fmt: skip
def test_a_reply_may_look_like_this(
    message: dict[str, Any], finish: Any, text: str | None, status: Status | None
) -> None:
    found = reply(completion(message, finish))
    assert (found.text, found.status) == (text, status)
    assert (found.error is None) == (status is None)
    assert found.finish == (finish if isinstance(finish, str) else None)


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ({"content": None, "reasoning_content": CONTENT, "reasoning": "{}"}, f"<think>{CONTENT}</think>"),
        ({"content": "\n\n", "reasoning": "Hm."}, "<think>Hm.</think>"),
        ({"content": CONTENT, "reasoning": "Hm."}, CONTENT),
    ],
)
def test_thoughts_are_kept_where_there_is_nothing_else(message: dict[str, Any], text: str) -> None:
    assert reply(completion(message)).text == text


@pytest.mark.parametrize(
    ("content", "finish", "text"),
    [("", "length", None), (None, "max_tokens", None), ("", "stop", "<think></think>")],
)
def test_a_reply_without_text_tells_how_much_was_thought(
    content: str | None, finish: str, text: str | None
) -> None:
    usage = {"completion_tokens": 32, "completion_tokens_details": {"reasoning_tokens": 30}}
    found = reply(completion({"content": content}, finish, usage=usage))
    assert (found.text, found.finish, found.reasoning_tokens) == (text, finish, 30)
    for odd in (None, [], {"reasoning_tokens": "x"}, {"reasoning_tokens": -1}):
        usage = {"completion_tokens_details": odd}
        assert reply(completion({"content": ""}, "length", usage=usage)).reasoning_tokens == 0


def test_a_body_that_is_no_completion_is_shown_with_its_fields() -> None:
    found = failure(200, {"status": "ok", "answer": CONTENT}).message
    assert "an object of 'status', 'answer'" in found
    assert "Sign in" in failure(200, b"<html><title>Sign in</title></html>").message


def test_a_byte_order_mark_is_ignored() -> None:
    assert reply(b"\xef\xbb\xbf" + orjson.dumps(completion())).text == CONTENT


@pytest.mark.parametrize("before", [b"\n   \r\n\n", b": STILL WORKING\n\n: STILL WORKING\r\n\n", b":\n"])
def test_what_keeps_a_connection_open_until_the_reply_is_there_is_ignored(before: bytes) -> None:
    assert reply(before + orjson.dumps(completion())).text == CONTENT


def test_comments_of_a_stream_alone_are_no_reply() -> None:
    assert "not whole JSON" in failure(200, b": STILL WORKING\n\n").message


def test_the_word_content_in_the_models_own_text_is_no_double_key() -> None:
    text = '{"content": "message", "choices": "content"}'
    assert reply(completion({"content": text})).text == text


@pytest.mark.parametrize("status", [429, 500, 200])
def test_no_wrong_type_in_an_error_makes_the_reader_raise(status: int) -> None:
    for body in (
        error(message=7, code=["x"], type={"a": 1}),
        {"error": ["a"]},
        {"error": True},
        {"error": 7},
    ):
        assert isinstance(failure(status, body), Failure)


def test_a_garbled_reply_that_was_billed_has_its_usage() -> None:
    assert failure(200, completion({"content": None})).usage == Usage(100, 64, 5)


def with_logprobs(content: Any) -> Reply:
    body = completion()
    body["choices"][0]["logprobs"] = content
    return reply(body)


def test_logprobs_are_kept_as_pairs() -> None:
    tokens = [
        {"token": "ga", "logprob": -0.123456, "bytes": [1], "top_logprobs": []},
        {"token": "mes", "logprob": 0},
    ]
    assert json.loads(with_logprobs({"content": tokens}).logprobs or "") == [["ga", -0.1235], ["mes", 0.0]]


@pytest.mark.parametrize(
    "sent",
    [
        None,
        {},
        {"content": None},
        {"content": []},
        {"content": [{"token": "x"}]},
        {"content": [{"token": "x", "logprob": None}]},
        {"content": [{"token": "x", "logprob": "nan"}]},
        {"content": ["x"]},
        {"tokens": ["x"], "token_logprobs": [-1]},
        7,
    ],
)
def test_a_good_reply_is_not_lost_for_odd_logprobs(sent: Any) -> None:
    assert (with_logprobs(sent).text, with_logprobs(sent).logprobs) == (CONTENT, None)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "-1e400"])
def test_a_paid_reply_is_not_lost_for_a_number_that_json_has_not(number: str) -> None:
    body = completion()
    body["choices"][0]["logprobs"] = {"content": [{"token": "x", "logprob": -0.25}]}
    sent = orjson.dumps(body).replace(b"-0.25", number.encode())

    assert reply(sent) == reply(completion())  # without a confidence, as nothing is known


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(
                [
                    "choices",
                    "message",
                    "content",
                    "error",
                    "code",
                    "type",
                    "usage",
                    "logprobs",
                    "text",
                    "token",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.integers(200, 599), json_values)
def test_whatever_json_comes_it_is_a_reply_or_a_failure(status: int, body: Any) -> None:
    assert isinstance(read(status, {}, orjson.dumps(body)), Reply | Failure)


@given(st.integers(200, 599), st.binary())
def test_whatever_bytes_come_they_are_a_failure(status: int, body: bytes) -> None:
    assert isinstance(read(status, {}, body), Failure)


@given(st.integers(0, 400))
def test_a_completion_that_is_cut_anywhere_is_never_a_reply(kept: int) -> None:
    body = orjson.dumps(completion())
    assert isinstance(read(200, {}, body[: min(kept, len(body) - 1)]), Failure)
