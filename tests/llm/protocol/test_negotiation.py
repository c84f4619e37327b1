"""A format that the endpoint refuses gives way to the next weaker one, in all later bodies."""

import json

import pytest

from pipeline.errors import ConfigError
from pipeline.llm.protocol.negotiation import FormatNegotiator
from pipeline.llm.replies import Failure, FailureKind
from tests.llm.protocol.test_body import TASK, model


def refused(message: str) -> Failure:
    return Failure(FailureKind.UNSUPPORTED, message, 400)


def format_of(negotiator: FormatNegotiator) -> tuple[str, bool]:
    sent = json.loads(negotiator.body("text", negotiator.form, again=False))
    return sent.get("response_format", {"type": "text"})["type"], "logprobs" in sent


def test_a_refused_part_is_left_out_from_then_on_and_the_log_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    negotiator = FormatNegotiator(TASK, model())
    assert format_of(negotiator) == ("json_schema", True)
    negotiator.on_refusal(refused("400: logprobs are not allowed"), negotiator.form, proven=False)
    assert format_of(negotiator) == ("json_schema", False)
    negotiator.on_refusal(refused("400: response_format is not supported"), negotiator.form, proven=False)
    assert format_of(negotiator) == ("json_object", False)
    assert "asking for json_object without logprobs from now on" in caplog.text


def test_without_a_weaker_format_the_refusal_ends_the_run() -> None:
    negotiator = FormatNegotiator(TASK, model(structured_output="text", logprobs=False))
    with pytest.raises(ConfigError, match=r"400: no; set model\.structured_output"):
        negotiator.on_refusal(refused("400: no"), negotiator.form, proven=False)


def test_a_request_that_was_in_flight_when_another_was_refused_is_sent_in_the_form_of_now() -> None:
    negotiator = FormatNegotiator(TASK, model())
    first = negotiator.form
    assert negotiator.on_refusal(refused("logprobs"), first, proven=False) == negotiator.form
    weaker = negotiator.form
    assert negotiator.on_refusal(refused("logprobs"), first, proven=False) == weaker == negotiator.form


def test_a_form_that_has_brought_replies_is_not_to_blame() -> None:
    negotiator = FormatNegotiator(TASK, model())
    assert negotiator.on_refusal(refused("logprobs"), negotiator.form, proven=True) is None
