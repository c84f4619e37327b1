"""Only a reply that is said to be whole, or is whole JSON, is believed; any other word for its end is a cut."""

import pytest

from pipeline.records import Status
from pipeline.tasks.finish import Ending, ending
from tests.tasks.make import answer, parser

SINGLE = parser()


@pytest.mark.parametrize(
    ("finish", "how"),
    [
        ("stop", Ending.WHOLE),
        (" Stop ", Ending.WHOLE),
        ("COMPLETE", Ending.WHOLE),
        ("stop_sequence", Ending.WHOLE),
        ("function_call", Ending.WHOLE),
        (None, Ending.UNTOLD),
        ("", Ending.UNTOLD),
        ("length", Ending.CUT),
        ("MAX_TOKENS", Ending.CUT),
        ("model_context_window_exceeded", Ending.CUT),
        ("stopped_at_limit", Ending.CUT),
        ("a word of tomorrow", Ending.CUT),
        ("content_filter", Ending.FILTERED),
        ("SAFETY", Ending.FILTERED),
        ("FinishReason.RECITATION", Ending.FILTERED),
        ("blocklist", Ending.FILTERED),
        ("PROHIBITED_CONTENT", Ending.FILTERED),
        ("SPII", Ending.FILTERED),
        ("guardrail_intervened", Ending.FILTERED),
        ("refusal", Ending.REFUSED),
        ("error", Ending.BROKEN),
        ("network_error", Ending.BROKEN),
        ("insufficient_system_resource", Ending.BROKEN),
        ("abort", Ending.BROKEN),
        ("cancelled", Ending.BROKEN),
    ],
)
def test_a_finish_reason_is_whole_by_the_list_and_else_what_it_speaks_of_or_a_cut(
    finish: str | None, how: Ending
) -> None:
    assert ending(finish) is how


@pytest.mark.parametrize(
    "finish", ["MAX_TOKENS", "model_length", "error", "abort", "SAFETY", "network_error", "???"]
)
def test_a_reply_with_any_finish_reason_that_does_not_say_whole_is_no_label(finish: str) -> None:
    outcome = SINGLE.outcome(answer("sound", finish=finish))
    assert (outcome.status, outcome.labels) == (Status.INVALID, ())


@pytest.mark.parametrize("finish", ["stop", "STOP", "end_turn", "FinishReason.STOP", "eos", "tool_calls"])
def test_a_reply_that_is_said_to_be_whole_is_believed(finish: str) -> None:
    assert SINGLE.outcome(answer("sound", finish=finish)).labels == ("sound",)


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ('{"label": "sound"}', ("sound",)),
        ('"sound"', ("sound",)),
        ('<think>{</think>```json\n{"label": "sound"}\n```', ("sound",)),
        ("sound", ()),
        ('{"label": "sound"', ()),
        ('<think>{"label": "sound"}</think>', ()),
    ],
)
@pytest.mark.parametrize("finish", [None, "", "null"])
def test_without_a_finish_reason_only_whole_json_is_believed(
    text: str, labels: tuple[str, ...], finish: str | None
) -> None:
    assert SINGLE.outcome(answer(text, finish=finish)).labels == labels
