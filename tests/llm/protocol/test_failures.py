"""Every known way in which endpoints fail is classified rightly."""

import orjson
import pytest

from pipeline.llm.replies import FailureKind
from pipeline.records import Status
from tests.llm.protocol.test_reply import completion, error, failure

OXEN_CREDITS = {
    "error": {"type": "insufficient_credits", "title": "Insufficient credits", "detail": "Add credits."},
    "status": "error",
    "status_message": "insufficient_credits",
}
HTML = b"<html><head><title>502 Bad Gateway</title></head></html>"

FAILURES = {
    "OpenAI, quota used up": (429, error(message="You exceeded your quota", type="insufficient_quota", code="insufficient_quota"), FailureKind.QUOTA),
    "OpenAI, spend limit": (429, error(message="Stop", type="x", code="project_spend_limit_exceeded"), FailureKind.QUOTA),
    "credit balance": (429, error(message="Empty", code="credit_balance_exhausted"), FailureKind.QUOTA),
    "Oxen, no credits, 402": (402, OXEN_CREDITS, FailureKind.QUOTA),
    "Oxen, no credits, 429": (429, OXEN_CREDITS, FailureKind.QUOTA),
    "Oxen, only the status message": (400, {"status": "error", "status_message": "insufficient_credits"}, FailureKind.QUOTA),
    "402 without words": (402, b"", FailureKind.QUOTA),
    "OpenRouter, 200 with 402 in it": (200, error(message="Insufficient credits", code=402), FailureKind.QUOTA),
    "200 with a quota in it": (200, error(message="no", type="insufficient_quota"), FailureKind.QUOTA),
    "OpenAI, wrong key": (401, error(message="Incorrect API key provided", type="invalid_request_error", code="invalid_api_key"), FailureKind.DENIED),
    "401 in HTML": (401, HTML, FailureKind.DENIED),
    "403 about the key": (403, error(message="The key is not valid for this project"), FailureKind.DENIED),
    "403 about permissions": (403, {"message": "Denied", "code": "PERMISSION_DENIED"}, FailureKind.DENIED),
    "a gateway's 403": (403, b"Forbidden", FailureKind.ROW),
    "Cloudflare's 403": (403, b"error code: 1010", FailureKind.ROW),
    "GitHub, 403 for a rate": (403, {"message": "API rate limit exceeded for the key"}, FailureKind.THROTTLED),
    "Anthropic, no money": (400, error(type="invalid_request_error", message="Your credit balance is too low to access the API."), FailureKind.QUOTA),
    "LiteLLM, budget": (422, error(message="Budget has been exceeded! Current cost: 1", type="budget_exceeded"), FailureKind.QUOTA),
    "Gemini, a minute's quota": (429, [error(code=429, message="You exceeded your current quota, please check your plan and billing details.", status="RESOURCE_EXHAUSTED")], FailureKind.THROTTLED),
    "LiteLLM, unknown to the gateway": (400, error(message="Invalid model name passed in model=m.", code="400"), FailureKind.CONFIG),
    "the model is blamed": (400, error(message="Not one of ours", param="model"), FailureKind.CONFIG),
    "Bedrock, throttled with 400": (400, error(code="ThrottlingException", message="Please wait"), FailureKind.THROTTLED),
    "a full queue": (503, {"detail": "The queue is full"}, FailureKind.THROTTLED),
    "Vertex, 499": (499, [error(code=499, message="The operation was cancelled.", status="CANCELLED")], FailureKind.TRANSIENT),
    "421": (421, error(message="misdirected request"), FailureKind.TRANSIENT),
    "424": (424, error(message="Failed dependency: the model server is starting", type="model_error"), FailureKind.TRANSIENT),
    "425": (425, b"", FailureKind.TRANSIENT),
    "vLLM, xgrammar": (400, {"object": "error", "message": "The provided JSON schema contains features not supported by xgrammar.", "code": 400}, FailureKind.UNSUPPORTED),
    "Gemini, unknown name": (400, [error(code=400, message='Invalid JSON payload received. Unknown name "logprobs": Cannot find field.')], FailureKind.UNSUPPORTED),
    "OpenAI, max_tokens": (400, error(message="Use another one instead.", param="max_tokens", code="unsupported_parameter"), FailureKind.UNSUPPORTED),
    "OpenAI, a ceiling too large": (400, error(message="max_tokens is too large: 100000. This model supports at most 16384 completion tokens", param="max_tokens"), FailureKind.UNSUPPORTED),
    "OpenRouter, 404 for parameters": (404, error(message="No endpoints found that can handle the requested parameters.", code=404), FailureKind.UNSUPPORTED),
    "501": (501, error(message="response_format json_schema is not implemented"), FailureKind.UNSUPPORTED),
    "llama.cpp, grammar": (500, error(code=500, message="Failed to parse grammar from json_schema"), FailureKind.UNSUPPORTED),
    "OpenAI, no such model": (404, error(message="The model `x` does not exist", type="invalid_request_error", code="model_not_found"), FailureKind.CONFIG),
    "LiteLLM, no such model": (400, error(message="litellm.BadRequestError", type="None", param="None", code="model_not_found"), FailureKind.CONFIG),
    "vLLM, no such model, flat": (404, {"object": "error", "message": "The model `x` does not exist.", "type": "NotFoundError", "param": None, "code": 404}, FailureKind.CONFIG),
    "Ollama, no such model": (404, {"error": "model 'x' not found"}, FailureKind.CONFIG),
    "Oxen, no such thing": (404, {"error": {"type": "resource_not_found", "title": "Resource not found"}, "status": "error", "status_message": "resource_not_found"}, FailureKind.CONFIG),
    "404 in HTML": (404, HTML, FailureKind.CONFIG),
    "OpenAI, rate limit": (429, error(message="Rate limit reached", type="requests", code="rate_limit_exceeded"), FailureKind.THROTTLED),
    "LiteLLM, rate limit, string code": (429, error(message="litellm.RateLimitError", type="throttling_error", param=None, code="429"), FailureKind.THROTTLED),
    "LiteLLM in front of Bedrock": (429, error(message="Too many tokens, please wait before trying again.", code="429"), FailureKind.THROTTLED),
    "Gemini, a list": (429, [error(code=429, message="exhausted", status="RESOURCE_EXHAUSTED")], FailureKind.THROTTLED),
    "429 without words": (429, b"", FailureKind.THROTTLED),
    "OpenRouter, 200 with 429 in it": (200, error(message="Provider returned error", code=429), FailureKind.THROTTLED),
    "OpenAI, slow down": (503, error(message="Slow down", type="service_unavailable", code="slow_down"), FailureKind.THROTTLED),
    "OpenAI, overloaded": (503, error(message="That model is currently overloaded with other requests.", type="server_error", code=None), FailureKind.THROTTLED),
    "Anthropic, overloaded": (529, {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, FailureKind.THROTTLED),
    "Groq, no capacity": (498, error(message="Flex tier capacity exceeded"), FailureKind.THROTTLED),
    "Oxen, a 429 behind a 502": (502, error(message="Upstream error: Rate limit reached for requests"), FailureKind.THROTTLED),
    "Oxen, 500": (500, error(message="Internal server error"), FailureKind.TRANSIENT),
    "Together, no capacity": (503, error(message="The server is not ready yet", type="service_unavailable"), FailureKind.TRANSIENT),
    "llama.cpp, loading": (503, error(code=503, message="Loading model", type="unavailable_error"), FailureKind.TRANSIENT),
    "a gateway's page": (502, HTML, FailureKind.TRANSIENT),
    "504 without words": (504, b"", FailureKind.TRANSIENT),
    "408": (408, error(message="Request timeout"), FailureKind.TRANSIENT),
    "409": (409, error(message="Conflict"), FailureKind.TRANSIENT),
    "a context length in a server error": (500, error(message="context length"), FailureKind.TRANSIENT),
    "OpenAI, no json_schema": (400, error(message="Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model.", type="invalid_request_error"), FailureKind.UNSUPPORTED),
    "OpenAI, no logprobs": (400, error(message="You are not allowed to request logprobs"), FailureKind.UNSUPPORTED),
    "FastAPI, unknown field": (422, {"detail": [{"loc": ["body", "response_format"], "msg": "extra fields not permitted"}]}, FailureKind.UNSUPPORTED),
    "204": (204, b"", FailureKind.GARBLED),
    "200, empty": (200, b"", FailureKind.GARBLED),
    "200, HTML": (200, b"<html>Welcome</html>", FailureKind.GARBLED),
    "200, cut": (200, orjson.dumps(completion())[:-20], FailureKind.GARBLED),
    "200, with 502 in it": (200, error(message="Provider returned error", code=502), FailureKind.TRANSIENT),
    "200, an error in the choice": (200, completion(choices=[{"message": {"content": "games"}, "finish_reason": "error", "error": {"code": 503, "message": "Overloaded"}}]), FailureKind.THROTTLED),
    "200, an error beside the choice": (200, completion({"content": "gam"}, "error", error={"message": "no", "code": 402}), FailureKind.QUOTA),
    "200, broken off": (200, completion({"content": "games"}, "error"), FailureKind.GARBLED),
    "200, cancelled": (200, completion({"content": None}, "cancelled"), FailureKind.GARBLED),
    "200, an error in an array": (200, [error(message="no", type="insufficient_quota")], FailureKind.QUOTA),
    "200, errors": (200, {"errors": [{"message": "it failed"}]}, FailureKind.GARBLED),
    "200, an error sentence": (200, {"error": "it failed"}, FailureKind.GARBLED),
    "no choices": (200, completion(choices=[]), FailureKind.GARBLED),
    "choices null": (200, completion(choices=None), FailureKind.GARBLED),
    "message null": (200, completion(choices=[{"message": None}]), FailureKind.GARBLED),
    "content null": (200, completion({"content": None}), FailureKind.GARBLED),
    "content empty": (200, completion({"content": ""}), FailureKind.GARBLED),
    "only a tool call": (200, completion({"content": None, "tool_calls": [{}]}, "tool_calls"), FailureKind.GARBLED),
    "content a number": (200, completion({"content": 42}), FailureKind.GARBLED),
    "content a list of numbers": (200, completion({"content": [42]}), FailureKind.GARBLED),
    "a list": (200, [completion()], FailureKind.GARBLED),
    "a number": (200, b"42", FailureKind.GARBLED),
    "null": (200, b"null", FailureKind.GARBLED),
    "not UTF-8": (200, orjson.dumps(completion()).replace(b"games", b"g\xffmes"), FailureKind.GARBLED),
    "NaN": (200, orjson.dumps(completion()).replace(b'"index":0', b'"index":NaN'), FailureKind.GARBLED),
    "a lone surrogate": (200, orjson.dumps(completion()).replace(b"games", b"\\ud800"), FailureKind.GARBLED),
    "choices twice": (200, orjson.dumps(completion())[:-1] + b',"choices":[]}', FailureKind.GARBLED),
    "content twice": (200, b'{"choices":[{"message":{"content":"games","content":"sound"}}]}', FailureKind.GARBLED),
    "deep": (200, b"[" * 1_000_000, FailureKind.GARBLED),
    "deep, and keys to compare": (200, b'{"choices":1,"x":' + b"[" * 1000 + b'"choices","choices"' + b"]" * 1000 + b"}", FailureKind.GARBLED),
}  # fmt: skip


@pytest.mark.parametrize("what", FAILURES)
def test_a_failure_is_of_its_class(what: str) -> None:
    status, body, kind = FAILURES[what]
    found = failure(status, body)
    assert found.kind is kind
    assert 0 < len(found.message) <= 400


TOO_LONG, ERROR, FILTERED = Status.TOO_LONG, Status.ERROR, Status.FILTERED
ROWS = {
    "OpenAI, context": (400, error(message="This model's maximum context length is 8192 tokens", code="context_length_exceeded"), TOO_LONG),
    "OpenAI, string": (400, error(message="Invalid 'messages[1].content': string too long", code="string_above_max_length"), TOO_LONG),
    "OpenAI, larger than a minute's tokens": (429, error(message="Request too large for gpt-4.1-nano", type="tokens", code="rate_limit_exceeded"), TOO_LONG),
    "vLLM, flat": (400, {"object": "error", "message": "This model's maximum context length is 4096 tokens.", "type": "BadRequestError", "code": 400}, TOO_LONG),
    "llama.cpp": (400, error(code=400, message="the request exceeds the available context size", type="exceed_context_size_error", n_ctx=512), TOO_LONG),
    "LiteLLM": (400, error(message="litellm.ContextWindowExceededError: context window", code="400"), TOO_LONG),
    "413 of a gateway": (413, HTML, TOO_LONG),
    "Azure, content filter": (400, error(message="The response was filtered", code="content_filter", innererror={"code": "ResponsibleAIPolicyViolation"}), FILTERED),
    "OpenAI, content policy": (400, error(message="Rejected", code="content_policy_violation"), FILTERED),
    "Anthropic": (400, error(type="invalid_request_error", message="prompt is too long: 208310 tokens > 200000 maximum"), TOO_LONG),
    "Gemini": (400, [error(code=400, message="The input token count (50000) exceeds the maximum number of tokens allowed (32768).")], TOO_LONG),
    "vLLM, row and ceiling": (400, {"message": "'max_tokens' is too large: 4096. This model's maximum context length is 4096 tokens and your request has 3000 input tokens"}, TOO_LONG),
    "DeepSeek": (400, error(message="Content Exists Risk", code="invalid_request_error"), FILTERED),
    "Azure, in words": (400, error(message="The response was filtered due to the prompt triggering the content management policy.", param="prompt"), FILTERED),
    "OpenRouter, moderation": (403, error(message="m requires moderation. Your input was flagged for harassment", code=403), FILTERED),
    "OpenRouter, moderation in a 200": (200, error(message="Your input was flagged", code=403), FILTERED),
    "a guardrail": (446, {"error": {"message": "The guardrail checks failed"}}, FILTERED),
    "bad request": (400, error(message="Bad request", type="invalid_request_error"), ERROR),
    "bad request in HTML": (400, HTML, ERROR),
    "a teapot": (418, b"", ERROR),
}  # fmt: skip


@pytest.mark.parametrize("what", ROWS)
def test_a_failure_of_one_row_ends_that_row_as(what: str) -> None:
    status, body, row_status = ROWS[what]
    found = failure(status, body)
    assert (found.kind, found.row_status) == (FailureKind.ROW, row_status)
    assert found.about_content is (row_status is not ERROR)


def test_a_message_names_the_status_and_what_the_endpoint_says() -> None:
    assert failure(500, error(message="Boom")).message == "500: Boom"
    assert failure(500, HTML).message == "500: 502 Bad Gateway"
    assert failure(500, b"").message == "status 500"
    assert failure(402, OXEN_CREDITS).message == "402: Insufficient credits; Add credits."
    assert failure(500, {"error": "sentence"}).message == "500: sentence"


def test_a_redirect_names_its_host_and_not_its_query() -> None:
    found = failure(308, b"", {"location": "https://elsewhere.example/v1?token=secret"})
    assert found.kind is FailureKind.CONFIG
    assert "https://elsewhere.example/v1" in found.message
    assert "secret" not in found.message


def test_a_failure_keeps_its_retry_after() -> None:
    assert failure(429, b"", {"retry-after": "7"}).retry_after == 7
    assert failure(503, b"", {"retry-after": "3"}).retry_after == 3


@pytest.mark.parametrize(
    ("body", "seconds"),
    [
        (error(message="Please try again in 1m30s."), 90),
        (error(message="Retry after 12 seconds"), 12),
        ([error(message="no", details=[{"@type": "google.rpc.RetryInfo", "retryDelay": "12s"}])], 12),
        (error(message="The key is slow", retry_after=3), 3),
        (error(message="no", retryAfterMs=250), 0.25),
        (b"Too many requests, wait 2 minutes", 120),
        (error(message="try again later", max_retries=5), None),
    ],
)
def test_a_wait_that_only_the_body_tells_is_read(body: object, seconds: float | None) -> None:
    assert failure(429, body).retry_after == seconds
    assert failure(503, body).retry_after == seconds
    assert failure(429, body, {"retry-after": "7"}).retry_after == 7
    assert failure(401, body).retry_after is None


def test_what_may_be_a_sign_of_load_is_told_from_what_is_not() -> None:
    loaded = [failure(status, b"") for status in (408, 429, 498, 500, 503, 504, 529)]
    loaded.append(failure(400, error(code="ThrottlingException", message="Too many requests")))
    assert all(found.may_mean_load for found in loaded)
    others = [failure(status, b"") for status in (400, 401, 402, 403, 404, 409, 413, 499)]
    others.append(failure(429, error(message="Stop", code="insufficient_quota")))
    others.append(failure(500, error(message="Failed to parse grammar")))
    assert not any(found.may_mean_load for found in others)


def test_a_failure_names_the_parameter_and_the_codes_that_the_endpoint_names() -> None:
    refused = error(
        message="No.", type="invalid_request_error", param="temperature", code="Unsupported_Value"
    )
    found = failure(400, refused)
    assert (found.param, found.code) == ("temperature", "invalid_request_error unsupported_value")
    assert found.message == "400: temperature: No."


def test_an_error_amid_a_reply_keeps_what_was_billed() -> None:
    assert failure(200, completion({"content": "gam"}, "error")).usage.prompt_tokens == 100
    broken = completion(choices=[{"message": {}, "error": {"code": 502, "message": "Upstream died"}}])
    found = failure(200, broken)
    assert (found.usage.prompt_tokens, found.status, found.message) == (100, 502, "502: Upstream died")
