"""The strictest form that an endpoint takes is found before the first reply; after it, one refusal decides nothing."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from pipeline.errors import ConfigError
from pipeline.llm.protocol.form import RequestForm, first_form, trials
from pipeline.llm.protocol.negotiation import FormatNegotiator
from pipeline.llm.replies import Failure, FailureKind, Reply, Usage
from pipeline.llm.retry import Attempts
from tests.llm.protocol.test_body import TASK, model

Refuses = Callable[[RequestForm], str | Failure | None]


class Notes:
    """A memory without a file."""

    def __init__(self, known: RequestForm | None = None) -> None:
        self._known = known
        self.kept: list[RequestForm] = []

    def recall(self) -> RequestForm | None:
        return self._known

    def keep(self, form: RequestForm) -> None:
        self.kept.append(form)


CUT = Reply(None, "length", None, None, Usage(100, None, 32, None), "m", "r", None)
"""A reply that came to no word."""


def refused(message: str, status: int = 400, kind: FailureKind = FailureKind.UNSUPPORTED) -> Failure:
    return Failure(kind, message, status)


def refuse(
    negotiator: FormatNegotiator,
    message: str | Failure,
    form: RequestForm | None = None,
    *,
    calls: int | None = None,
) -> RequestForm | None:
    """Refuse a request: the first of the run, or the *calls*-th of a row once there was a reply."""
    failure = message if isinstance(message, Failure) else refused(message)
    return negotiator.on_refusal(
        failure, form or negotiator.form, proven=calls is not None, attempts=Attempts((calls or 1) - 1)
    )


def settled_with(refuses: Refuses, **settings: Any) -> tuple[FormatNegotiator, int]:
    """Negotiate with an endpoint until it takes a form; also return the number of requests that took."""
    negotiator = FormatNegotiator(TASK, model(**settings))
    form = negotiator.form
    for count in range(1, 30):
        said = refuses(form)
        if said is None:
            negotiator.on_reply(form)
            return negotiator, count
        failure = said if isinstance(said, Failure) else refused(said, kind=FailureKind.ROW)
        after = negotiator.on_refusal(failure, form, proven=False, attempts=Attempts(count - 1))
        assert after is not None, said
        form = after
    raise AssertionError("negotiates for ever")


def as_openai(form: RequestForm) -> str | None:
    """A model that reasons: refuses one part at a time and names it."""
    if form.limit == "max_tokens":
        return "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
    if form.temperature:
        return "Unsupported value: 'temperature' does not support 0 with this model."
    return "You are not allowed to request logprobs from this model" if form.logprobs else None


def test_each_part_that_is_named_gives_way_and_the_log_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    negotiator, requests = settled_with(as_openai)
    assert requests == 4
    assert negotiator.form == replace(
        first_form(model()), limit="max_completion_tokens", temperature=False, logprobs=False
    )
    assert [record.message.rpartition("; ")[2] for record in caplog.records] == [
        "asking for max_completion_tokens instead of max_tokens from now on",
        "asking for no temperature from now on",
        "asking for no logprobs from now on",
    ]
    assert "Use 'max_completion_tokens' instead" in caplog.text


def test_the_body_is_what_the_form_says() -> None:
    negotiator, _ = settled_with(as_openai)
    sent = json.loads(negotiator.body("text", negotiator.form, again=False))
    assert {"max_tokens", "temperature", "logprobs"}.isdisjoint(sent)
    other = json.loads(negotiator.body("text", first_form(model()), again=False))
    assert other["max_tokens"] == 32


@pytest.mark.parametrize(
    "refuses",
    [
        lambda form: form.logprobs,
        lambda form: form.mode == "json_schema",
        lambda form: form.mode != "text",
        lambda form: form.temperature,
        lambda form: form.limit == "max_tokens",
    ],
)
def test_a_part_that_is_refused_without_a_name_is_found_and_everything_else_comes_back(
    refuses: Callable[[RequestForm], bool], caplog: pytest.LogCaptureFixture
) -> None:
    def silently(form: RequestForm) -> str | None:
        return "Request contains an invalid argument." if refuses(form) else None

    negotiator, requests = settled_with(silently)
    first = first_form(model())
    changed = [name for name in first.__slots__ if getattr(first, name) != getattr(negotiator.form, name)]
    assert len(changed) == 1
    assert requests <= 8
    assert len(caplog.records) == 1
    assert "Request contains an invalid argument." in caplog.text


def test_two_parts_that_are_refused_without_a_name_leave_the_weakest_form() -> None:
    negotiator, _ = settled_with(lambda form: "no" if form.logprobs or form.temperature else None)
    assert negotiator.form == replace(
        first_form(model()), logprobs=False, temperature=False, mode="json_object"
    )


def test_one_refusal_that_names_nothing_may_be_a_mishap() -> None:
    said = iter(["no", None])
    negotiator, requests = settled_with(lambda _: next(said))
    assert (negotiator.form, requests) == (first_form(model()), 2)


def test_a_row_that_is_refused_in_every_form_is_a_row_and_costs_the_next_one_nothing() -> None:
    negotiator = FormatNegotiator(TASK, model())
    first, row = negotiator.form, refused("this text is odd", kind=FailureKind.ROW)
    form: RequestForm | None = first
    while form is not None:
        form = refuse(negotiator, row, form)
    assert negotiator.form == first
    assert refuse(negotiator, row) is None


def test_a_reply_in_the_form_before_shows_that_the_row_was_refused_and_not_the_form() -> None:
    negotiator = FormatNegotiator(TASK, model())
    first = negotiator.form
    for _ in range(3):
        refuse(negotiator, refused("no", kind=FailureKind.ROW))
    assert negotiator.form != first
    negotiator.on_reply(first)
    assert (negotiator.form, negotiator.settled) == (first, True)


@pytest.mark.parametrize(
    ("settings", "message", "advice"),
    [
        (
            {"structured_output": "json_schema"},
            "response_format is not supported",
            "set model.structured_output to auto",
        ),
        ({"logprobs": True}, "logprobs are not supported", "set model.logprobs to auto"),
        ({"reasoning_effort": "none"}, "reasoning_effort: unknown", "set model.reasoning_effort to auto"),
        ({"temperature": 0}, "'temperature' does not support 0", "set model.temperature to null"),
        (
            {"parameters": {"min_p": 0}},
            "min_p: extra inputs are not permitted",
            "leave model.parameters.min_p out",
        ),
    ],
)
def test_what_the_config_asks_for_is_not_negotiated_away(
    settings: dict[str, Any], message: str, advice: str
) -> None:
    negotiator = FormatNegotiator(TASK, model(**settings))
    with pytest.raises(ConfigError) as caught:
        refuse(negotiator, message)
    assert str(caught.value) == f"{message}; {advice}"


def test_a_refusal_of_every_form_is_left_to_those_who_know_how_other_rows_fare() -> None:
    settings = model(structured_output="text", logprobs=False)
    negotiator = FormatNegotiator(TASK, settings)
    for _ in range(len(list(trials(negotiator.form, settings)))):
        assert refuse(negotiator, "400: no") is not None
    assert refuse(negotiator, "400: no") is None
    assert negotiator.form == first_form(settings)


def test_a_server_error_about_what_the_config_asks_for_may_pass() -> None:
    negotiator = FormatNegotiator(TASK, model(structured_output="json_schema"))
    assert refuse(negotiator, refused("bad json_schema", 500, FailureKind.TRANSIENT)) is None


def test_a_request_that_was_in_flight_when_another_was_refused_is_sent_in_the_form_of_now() -> None:
    negotiator = FormatNegotiator(TASK, model())
    first = negotiator.form
    assert refuse(negotiator, "logprobs", first) == negotiator.form
    weaker = negotiator.form
    assert refuse(negotiator, "logprobs", first) == weaker == negotiator.form


def test_once_there_was_a_reply_a_refused_request_is_sent_again_as_it_was_and_at_last_in_a_weaker_form() -> (
    None
):
    negotiator, _ = settled_with(lambda _: None)
    form = negotiator.form
    message = "response_format json_schema is not supported by this provider"
    assert [refuse(negotiator, message, form, calls=n) for n in (1, 2)] == [form, form]
    weaker = refuse(negotiator, message, form, calls=3)
    assert weaker == replace(form, mode="json_object")
    assert refuse(negotiator, message, weaker, calls=4) == replace(form, mode="text")
    assert refuse(negotiator, message, replace(form, mode="text"), calls=5) is None
    assert negotiator.form == form


def test_once_there_was_a_reply_a_refusal_that_names_nothing_is_not_about_the_form() -> None:
    negotiator, _ = settled_with(lambda _: None)
    assert refuse(negotiator, refused("no", kind=FailureKind.ROW), calls=1) is None


def test_a_form_that_is_remembered_is_used_at_once() -> None:
    known = RequestForm("text", logprobs=False)
    negotiator = FormatNegotiator(TASK, model(), Notes(known))
    negotiator.begin({})
    assert negotiator.form == known


def test_a_remembered_form_that_is_refused_is_found_out_anew(caplog: pytest.LogCaptureFixture) -> None:
    negotiator = FormatNegotiator(TASK, model(), Notes(RequestForm("json_object", logprobs=False)))
    negotiator.begin({})
    assert refuse(negotiator, "response_format json_object is not supported") == first_form(model())
    assert "finding out anew" in caplog.text


def test_a_form_is_kept_once_a_reply_has_confirmed_it() -> None:
    notes = Notes()
    negotiator = FormatNegotiator(TASK, model(), notes)
    form = refuse(negotiator, "logprobs")
    assert notes.kept == []
    assert form is not None
    negotiator.on_reply(form)
    assert notes.kept == [form]


def test_the_ceiling_is_raised_once_a_level_up_to_its_bound() -> None:
    negotiator, _ = settled_with(lambda _: None)
    old = negotiator.form
    raised = negotiator.more_room(CUT, old)
    assert raised == negotiator.form == replace(old, ceiling=128)
    assert negotiator.more_room(CUT, old) == raised  # was in flight with the old one
    ceilings = []
    form: RequestForm | None = raised
    while form is not None:
        ceilings.append(form.ceiling)
        form = negotiator.more_room(CUT, form)
    assert ceilings == [128, 512, 2048, 8192]


def test_a_ceiling_that_the_config_sets_is_raised_once() -> None:
    negotiator, _ = settled_with(lambda _: None, max_tokens=100)
    raised = negotiator.more_room(CUT, negotiator.form)
    assert raised == replace(negotiator.form, ceiling=400)
    assert negotiator.more_room(CUT, raised) is None


def test_a_request_in_a_form_of_its_own_keeps_it_when_the_ceiling_rises() -> None:
    negotiator, _ = settled_with(lambda _: None)
    own = replace(negotiator.form, mode="text")
    assert negotiator.more_room(CUT, own) == replace(own, ceiling=128)
    assert negotiator.form.mode == "json_schema"


def test_a_ceiling_above_what_the_model_allows_is_taken_back() -> None:
    negotiator, _ = settled_with(lambda _: None)
    raised = negotiator.more_room(CUT, negotiator.form)
    assert raised is not None
    lowered = refuse(negotiator, "max_tokens is too large: 128", raised, calls=1)
    assert lowered is not None
    assert (lowered.ceiling, negotiator.form.ceiling) == (32, 32)
    assert negotiator.more_room(CUT, lowered) is None
