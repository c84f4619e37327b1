"""A format that the endpoint refuses gives way to the next weaker one, in all later bodies."""

import json

import pytest

from pipeline.errors import ConfigError
from pipeline.llm.protocol.negotiation import FormatNegotiator
from tests.llm.protocol.test_body import TASK, model


def format_of(negotiator: FormatNegotiator) -> tuple[str, bool]:
    sent = json.loads(negotiator.body("text", again=False))
    return sent.get("response_format", {"type": "text"})["type"], "logprobs" in sent


def test_a_refused_part_is_left_out_from_then_on_and_the_log_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    negotiator = FormatNegotiator(TASK, model())
    assert format_of(negotiator) == ("json_schema", True)
    negotiator.downgrade("400: logprobs are not allowed")
    assert format_of(negotiator) == ("json_schema", False)
    negotiator.downgrade("400: response_format is not supported")
    assert format_of(negotiator) == ("json_object", False)
    assert "asking for json_object without logprobs from now on" in caplog.text


def test_without_a_weaker_format_the_refusal_ends_the_run() -> None:
    negotiator = FormatNegotiator(TASK, model(structured_output="text", logprobs=False))
    with pytest.raises(ConfigError, match=r"400: no; set model\.structured_output"):
        negotiator.downgrade("400: no")
