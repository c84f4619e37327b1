"""The bill of an answer that took several calls."""

from dataclasses import replace

import pytest

from pipeline.llm.replies import Failure, FailureKind, Usage
from pipeline.llm.request import Request, answer_from_failure
from pipeline.records import Answer, Prompt

PROMPT = Prompt(b"k" * 16, "text", truncated=False)
INVALID = Answer(
    PROMPT.key, "monday", "prose", "stop", None, None, None, 100, 0, 5, 0.5, "m", "id", attempts=1, asks=1, at=1.0
)  # fmt: skip
GARBLED = Failure(FailureKind.GARBLED, "garbled", 200, usage=Usage(10, 0, 1, 0.25))


@pytest.mark.parametrize(("run", "tokens", "usd"), [("monday", 110, 0.75), ("tuesday", 10, 0.25)])
def test_a_second_ask_that_fails_keeps_the_first_reply_and_bills_the_run_that_paid(
    run: str, tokens: int, usd: float
) -> None:
    answer = answer_from_failure(Request(PROMPT, previous=INVALID), GARBLED, run, at=2.0)
    assert (answer.text, answer.asks, answer.run) == ("prose", 2, run)
    assert (answer.prompt_tokens, answer.cost_usd) == (tokens, usd)


def test_a_row_that_cannot_be_answered_says_how_often_it_was_tried() -> None:
    attempts = replace(Request(PROMPT).attempts, calls=3)
    answer = answer_from_failure(Request(PROMPT, attempts=attempts), GARBLED, "monday", at=2.0)
    assert answer.error == "after 4 attempts: garbled"
    assert answer.prompt_tokens == 10
