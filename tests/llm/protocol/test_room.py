"""A reply that was cut while the model was reasoning is not the row's fault; any other cut reply is."""

import pytest

from pipeline.llm.protocol.room import lacked_room
from pipeline.llm.replies import NO_USAGE, Reply
from pipeline.records import Status


def reply(text: str | None, finish: str | None, *, thought: int = 0, status: Status | None = None) -> Reply:
    return Reply(text, finish, status, None, NO_USAGE, "m", "r", None, reasoning_tokens=thought)


@pytest.mark.parametrize(
    "finish", ["length", "max_tokens", "MAX_TOKENS", "model_length", "max_output_tokens"]
)
def test_a_cut_reply_without_a_word_lacked_room(finish: str) -> None:
    assert lacked_room(reply(None, finish))


def test_a_reply_that_is_cut_within_its_thoughts_lacked_room() -> None:
    assert lacked_room(reply("<think>it may be", "length"))
    assert lacked_room(reply('{"lab', "length", thought=30))


@pytest.mark.parametrize(
    "other",
    [
        reply('{"label": "ga', "length"),
        reply("<think>games</think>{", "length"),
        reply(None, "stop"),
        reply(None, None),
        reply(None, "content_filter", status=Status.FILTERED),
        reply(None, "length", status=Status.REFUSED),
    ],
)
def test_any_other_reply_is_as_long_as_it_is(other: Reply) -> None:
    assert not lacked_room(other)
