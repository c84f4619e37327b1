"""The words of an error are found in whatever envelope they come, and a row's own text is not taken for them."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.llm.protocol.envelope import SHOWN_OF_JSON, SHOWN_OF_TEXT, read_error

INNER = orjson.dumps({"error": {"message": "Unsupported: max_tokens", "param": "max_tokens"}}).decode()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"error code: 1010", "error code: 1010"),
        ([{"error": {"code": 400, "message": "in an array"}}], "in an array"),
        ({"success": False, "errors": [{"code": 7003, "message": "in a list"}]}, "in a list"),
        ({"errors": ["one sentence", "and another"]}, "one sentence; and another"),
        ({"Message": "of AWS"}, "of AWS"),
        ({"fault": {"faultstring": "of Apigee", "detail": {"errorcode": "x.y"}}}, "of Apigee"),
        ({"error": {"message": {"error": "inner words"}}}, "inner words"),
        ({"error": {"code": "x", "innererror": {"message": "of Azure"}}}, "of Azure"),
        ({"error": {"message": "Provider returned error", "metadata": {"raw": INNER}}}, "Provider returned error; Unsupported: max_tokens"),
        ({"error": {"message": INNER}}, "Unsupported: max_tokens"),
        ({"detail": [{"loc": ["body", "seed"], "msg": "Not permitted"}]}, "seed: Not permitted"),
        ({"nobody": {"knows": {"this": "words under an unknown key"}}}, "words under an unknown key"),
        ({"statusCode": 400, "body": '{"message": "of a function behind a gateway"}'}, "of a function behind a gateway"),
        ({"messages": ["one of several"]}, "one of several"),
        ({"error": {"code": "only_a_code"}}, "only_a_code"),
        ({"nothing": "single"}, "single"),
        (b'"a sentence alone"', "a sentence alone"),
        (b"<html><head><title>502 Bad Gateway</title><style>p{}</style></head><body><script>x()</script>nginx&nbsp;1</body></html>", "502 Bad Gateway nginx 1"),
        ({"message": "<p>in <b>tags</b></p>"}, "in tags"),
        (b"<p>&quot;you&#39;re&quot; &amp;amp; &#x73;k&#45;1</p>", '"you\'re" &amp; &#x73;k&#45;1'),
        (b'{"error": {"message": "cut o', '{"error": {"message": "cut o'),
        ({"message": "line\none\u001b[31m"}, "line one [31m"),
        (b"", ""),
        (b"null", ""),
        (b"7", "7"),
        ({}, ""),
    ],
)  # fmt: skip
def test_the_words_are_found(body: Any, words: str) -> None:
    assert read_error(body if isinstance(body, bytes) else orjson.dumps(body)).message == words


MESSAGE = {
    "role": "user",
    "content": "rate limit exceeded",
    "message": "of a row",
    "type": "insufficient_quota",
}


@pytest.mark.parametrize(
    "echo",
    [
        {"input": "a row that is throttled"},
        {"flagged_input": "a row that is throttled"},
        {"input": {"response_format": {"type": "json_schema"}}},
        {"Prompt": "a row that is throttled"},
        {"messages": [MESSAGE]},
        {"body": {"model": "m", "messages": [MESSAGE], "response_format": {"type": "json_schema"}}},
    ],
)
def test_the_request_that_an_error_repeats_is_not_taken_for_its_words(echo: dict[str, Any]) -> None:
    said = read_error(orjson.dumps({"detail": [{"msg": "missing", "type": "missing", **echo}]}))
    assert (said.message, said.code) == ("missing", "missing")


def test_code_parameter_status_and_wait_are_found_wherever_they_are() -> None:
    said = read_error(
        orjson.dumps(
            [
                {
                    "error": {
                        "code": 429,
                        "status": "BUSY",
                        "details": [{"retryDelay": "2.5s"}, {"field": "top_p"}],
                    }
                }
            ]
        )
    )
    assert (said.code, said.status, said.wait_seconds, said.param) == ("429 busy", 429, 2.5, "top_p")


def test_a_long_error_is_cut_and_a_deep_one_ends() -> None:
    assert len(read_error(b"x " * 10**6).message) <= SHOWN_OF_TEXT
    assert len(read_error(orjson.dumps({"message": "x " * 10**5})).message) == SHOWN_OF_JSON
    deep: Any = "too deep"
    for _ in range(200):
        deep = {"error": deep}
    assert read_error(orjson.dumps(deep)).message == ""
    assert read_error(b"[" * 10**6).message
    nested = "x"
    for _ in range(8):
        nested = orjson.dumps([nested, nested, nested]).decode()
    read_error(nested.encode())


@given(st.binary() | st.text().map(str.encode) | st.text().map(lambda text: orjson.dumps({"message": text})))
def test_whatever_comes_the_words_are_one_printable_line(body: bytes) -> None:
    said = read_error(body)
    assert said.message.isprintable()
    assert len(said.message) <= SHOWN_OF_JSON
