"""The fault server supports what it is told to, and tells the rest apart."""

import pytest

from pipeline.servers.simulator.settings import RateSettings
from tests.faultserver.client import ask, chat, get, post
from tests.faultserver.server import FaultServer
from tests.faultserver.settings import FaultServerSettings


async def test_the_prefix_counts_as_cached_from_its_second_use_on():
    system = "s" * 5000
    async with FaultServer() as server:
        cached = [
            (await ask(server, text, system=system)).json["usage"]["prompt_tokens_details"]["cached_tokens"]
            for text in ("a", "b")
        ]
    assert cached == [0, 1152]


async def test_only_the_right_key_is_taken():
    async with FaultServer(FaultServerSettings(api_key="k")) as server:
        assert (await ask(server, "x")).status == 401
        assert (await get(server, "/v1/models/m")).status == 401
        assert (await post(server, chat("x"), headers="Authorization: Bearer k\r\n")).status == 200


def test_the_key_is_not_shown():
    assert "canary" not in repr(FaultServerSettings(api_key="canary"))


async def test_an_unknown_model_is_a_404_with_its_code():
    async with FaultServer(FaultServerSettings(models=("other",))) as server:
        got = await ask(server, "x")
        assert (await get(server, "/v1/models/m")).json["error"]["code"] == "model_not_found"
        assert [model["id"] for model in (await get(server, "/v1/models")).json["data"]] == ["other"]
    assert (got.status, got.json["error"]["code"]) == (404, "model_not_found")


async def test_the_model_object_tells_the_prices_and_usage_the_cost():
    async with FaultServer(FaultServerSettings(prices=(1e-6, 2e-6), tell_cost=True)) as server:
        pricing = (await get(server, "/v1/models/some/model")).json["pricing"]
        usage = (await ask(server, "x")).json["usage"]
    assert pricing == {"method": "token", "input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6}
    assert usage["cost"] == pytest.approx(usage["prompt_tokens"] * 1e-6 + usage["completion_tokens"] * 2e-6)


async def test_a_server_may_have_no_model_objects():
    async with FaultServer(FaultServerSettings(model_objects=False)) as server:
        assert (await get(server, "/v1/models/m")).status == 404


async def test_a_rate_can_be_hidden():
    rates = RateSettings(requests_per_minute=60, retry_after="none")
    async with FaultServer(FaultServerSettings(rates=rates, rate_headers=False), clock=lambda: 0.0) as server:
        replies = [await ask(server, "x") for _ in range(2)]
    assert [got.status for got in replies] == [200, 429]
    assert not any("ratelimit" in name or "retry" in name for got in replies for name in got.headers)


@pytest.mark.parametrize("part", ["json_schema", "json_object", "logprobs"])
async def test_an_optional_part_can_be_refused_with_a_400_that_names_it(part):
    async with FaultServer(FaultServerSettings(**{part: "refused"})) as server:
        form = {"response_format": {"type": "json_object"}} if part == "json_object" else {}
        got = await ask(server, "x", logprobs=True, **form)
    assert got.status == 400
    assert ("logprobs" if part == "logprobs" else "response_format") in got.json["error"]["message"]


async def test_an_ignored_schema_leaves_only_the_system_message():
    async with FaultServer(FaultServerSettings(json_schema="ignored")) as server:
        assert (await ask(server, "x", system="Labels:\n- red")).label == "red"


async def test_ignored_logprobs_are_left_out():
    async with FaultServer(FaultServerSettings(logprobs="ignored")) as server:
        got = await ask(server, "x", logprobs=True)
        assert got.json["choices"][0]["logprobs"] is None


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"messages": []}', b'{"model": 1, "messages": "x"}', b"\xff"]
)
async def test_a_request_that_is_none_is_a_400(body):
    async with FaultServer() as server:
        assert (await post(server, body)).status == 400


async def test_unknown_paths_are_404():
    async with FaultServer() as server:
        assert (await get(server, "/v1/nothing")).status == 404
        assert (await get(server, "/v1/chat/completions")).status == 404
