"""Each fault does on the wire what its name says, and is on the bill when an answer was made."""

import asyncio
import json
import math
import re
import time
from email.utils import parsedate_to_datetime

import aiohttp
import pytest

from tests.faultserver.client import ask, chat, line, request, spoiled
from tests.faultserver.faults import FAULTS
from tests.faultserver.server import FaultServer
from tests.faultserver.settings import FaultServerSettings


@pytest.mark.parametrize("name", sorted(FAULTS))
async def test_every_fault_can_be_had_by_name_and_the_server_lives_on(name):
    async with FaultServer(label_for=lambda _: "games") as server:
        server.script([name, None])
        async with line(server) as connection:
            await connection.send(request(chat("x")), seconds=0.1)
        assert (await ask(server, "x")).label == "games"
        await asyncio.sleep(0)
        assert server.in_flight == 0


@pytest.mark.parametrize("name", sorted(FAULTS))
def test_every_fault_says_in_one_line_what_it_does(name):
    assert re.fullmatch(r"[^\n]{10,100}[^\n.]", FAULTS[name].description)


@pytest.mark.parametrize(
    ("name", "status", "code"),
    [
        ("http_408", 408, None),
        ("http_409", 409, None),
        ("http_500", 500, None),
        ("http_502", 502, None),
        ("http_503", 503, None),
        ("overloaded", 503, "slow_down"),
        ("rate_limit", 429, "rate_limit_exceeded"),
        ("quota_exhausted", 429, "insufficient_quota"),
        ("unauthorized", 401, "invalid_api_key"),
        ("forbidden", 403, None),
        ("model_not_found", 404, "model_not_found"),
        ("context_length", 400, "context_length_exceeded"),
        ("bad_request", 400, None),
    ],
)
async def test_an_error_status_comes_in_openais_envelope(name, status, code):
    got = await spoiled(name)
    assert (got.status, got.json["error"]["code"]) == (status, code)
    assert got.json["error"]["message"]


async def test_an_empty_account_comes_in_oxens_envelope():
    got = await spoiled("insufficient_credits")
    assert (got.status, got.json["error"]["type"], got.json["status"]) == (
        402,
        "insufficient_credits",
        "error",
    )


@pytest.mark.parametrize(
    ("name", "header", "value"),
    [
        ("rate_limit_seconds", "retry-after", "2"),
        ("rate_limit_ms", "retry-after-ms", "250"),
        ("rate_limit_junk", "retry-after", "soon"),
        ("rate_limit_negative", "retry-after", "-1"),
        ("rate_limit_huge", "retry-after", "1e9"),
        ("rate_limit", "retry-after", None),
    ],
)
async def test_a_429_tells_the_wait_in_its_own_form(name, header, value):
    got = await spoiled(name)
    assert (got.status, got.headers.get(header)) == (429, value)


async def test_a_429_can_tell_the_wait_as_a_date_ahead():
    got = await spoiled("rate_limit_date")
    ahead = parsedate_to_datetime(got.headers["retry-after"]).timestamp() - time.time()
    assert 1.5 < ahead <= 3


@pytest.mark.parametrize(("name", "status"), [("html_200", 200), ("html_502", 502)])
async def test_a_gateway_answers_in_html(name, status):
    got = await spoiled(name)
    assert (got.status, got.headers["content-type"]) == (status, "text/html")
    assert got.body.startswith(b"<html>")


@pytest.mark.parametrize(("name", "status"), [("empty_200", 200), ("http_204", 204)])
async def test_a_body_can_be_empty(name, status):
    got = await spoiled(name)
    assert (got.status, got.body, got.end) == (status, b"", "whole")


@pytest.mark.parametrize("name", ["redirect_307", "redirect_308"])
async def test_a_redirect_points_to_another_origin_that_knows_who_came(name):
    async with FaultServer(label_for=lambda _: "games") as server:
        server.script([name, None])
        async with aiohttp.ClientSession(headers={"api-key": "canary"}) as session:
            kept = await session.post(
                f"{server.base_url}/chat/completions", data=chat("x"), allow_redirects=False
            )
            assert kept.status == int(name[-3:])
            assert kept.headers["location"].startswith("http://localhost:")
            assert server.strays == []
            await session.post(f"{server.base_url}/chat/completions", data=chat("x"))
            assert server.strays == []
            server.script([name])
            await session.post(f"{server.base_url}/chat/completions", data=chat("x"))
        assert [stray.headers["api-key"] for stray in server.strays] == ["canary"]


async def test_an_error_can_hide_behind_200():
    got = await spoiled("error_200")
    assert (got.status, got.json.keys()) == (200, {"error"})


async def test_json_of_a_wrong_shape_has_no_content():
    for _ in range(3):
        with pytest.raises((KeyError, IndexError, TypeError, json.JSONDecodeError)):
            (await spoiled("wrong_json")).label  # noqa: B018 - reading it is the test


async def test_deep_json_is_deeper_than_any_reader_goes():
    got = await spoiled("deep_json")
    assert len(got.body) == 2_000_000
    with pytest.raises(RecursionError):
        got.json  # noqa: B018 - reading it is the test


async def test_a_byte_order_mark_stands_before_the_right_body():
    got = await spoiled("bom")
    assert got.body[:3] == b"\xef\xbb\xbf"
    assert got._replace(body=got.body[3:]).label == "games"


async def test_cut_json_is_whole_to_http_and_never_to_json():
    got = await spoiled("cut_json")
    assert got.end == "whole"
    with pytest.raises(json.JSONDecodeError):
        got.json  # noqa: B018 - reading it is the test


async def test_bytes_that_are_no_utf8_stand_in_the_content():
    got = await spoiled("non_utf8")
    with pytest.raises(UnicodeDecodeError):
        got.body.decode()
    assert '\ufffd{"label":"games"}' in got._replace(body=got.body.decode(errors="replace").encode()).content


async def test_nan_stands_for_a_number():
    assert math.isnan((await spoiled("nan_json")).json["choices"][0]["index"])


async def test_choices_come_twice_and_the_last_ones_are_wrong():
    got = await spoiled("duplicate_keys")
    assert got.body.count(b'"choices"') == 2
    assert got.label != "games"


async def test_choices_can_be_none():
    assert (await spoiled("no_choices")).json["choices"] == []


@pytest.mark.parametrize(
    ("name", "content", "finish"),
    [
        ("null_content", None, "stop"),
        ("content_filter", None, "content_filter"),
        ("refusal", None, "stop"),
        ("length", '{"label"', "length"),
        ("code_fence", '```json\n{"label":"games"}\n```', "stop"),
        (
            "list_content",
            [{"type": "text", "text": '{"label"'}, {"type": "text", "text": ':"games"}'}],
            "stop",
        ),
        ("wrong_case", '{"label":"GAMES"}', "stop"),
        ("quoted", '{"label":"\\"games\\""}', "stop"),
        ("prose", "The best label is games.", "stop"),
        ("two_labels", '{"label":"games, sound"}', "stop"),
        ("duplicate_labels", '{"label":"games","label":"sound"}', "stop"),
        ("unknown_label", '{"label":"no such label"}', "stop"),
        ("homoglyph", '{"label":"gаmеѕ"}', "stop"),  # noqa: RUF001 - that is the fault
    ],
)
async def test_a_reply_says_something_else(name, content, finish):
    got = await spoiled(name)
    choice = got.json["choices"][0]
    assert (choice["message"]["content"], choice["finish_reason"]) == (content, finish)


async def test_a_refusal_is_told_apart_from_content():
    assert (await spoiled("refusal")).json["choices"][0]["message"]["refusal"]


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("wrong_case", ["GAMES"]),
        ("unknown_label", ["no such label"]),
        ("two_labels", ["games", "games"]),
        ("duplicate_labels", ["sound"]),
    ],
)
async def test_a_list_of_labels_is_spoiled_as_a_list(name, labels):
    assert json.loads((await spoiled(name, multi=True)).content)["labels"] == labels


@pytest.mark.parametrize(
    ("name", "prompt_tokens"),
    [("usage_negative", -5), ("usage_huge", 10**18), ("usage_string", "5")],
)
async def test_usage_can_be_absurd(name, prompt_tokens):
    assert (await spoiled(name)).json["usage"]["prompt_tokens"] == prompt_tokens


async def test_usage_can_be_missing_or_null():
    assert "usage" not in (await spoiled("usage_missing")).json
    assert (await spoiled("usage_null")).json["usage"] is None


async def test_faults_are_drawn_by_rate_from_the_settings():
    async with FaultServer(FaultServerSettings(faults={"http_500": 0.5, "http_503": 0.5})) as server:
        assert {(await ask(server, f"row {n}")).status for n in range(20)} == {500, 503}
