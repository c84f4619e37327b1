"""An answer's usage over several calls, and the order of the queue."""

import asyncio
from dataclasses import replace

import pytest

from pipeline.llm.backlog.queue import RequestQueue
from pipeline.llm.replies import Failure, FailureKind, Usage
from pipeline.llm.request import Request, answer_from_failure
from pipeline.records import Answer, Prompt
from tests.llm.virtual_time import in_virtual_time

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


def test_the_queue_is_in_order_but_for_what_is_pushed_first() -> None:
    queue = RequestQueue()
    one, two, three = (
        Request(Prompt(text.encode(), text, truncated=False)) for text in ("one", "two", "three")
    )
    queue.push(one, first=False)
    queue.push(two, first=False)
    queue.push(three, first=True)
    assert [queue.pop() for _ in range(4)] == [three, one, two, None]


def test_each_request_goes_to_one_waiter_even_if_another_gave_up() -> None:
    async def main() -> Request:
        queue = RequestQueue()
        first, second = asyncio.create_task(queue.next()), asyncio.create_task(queue.next())
        await asyncio.sleep(1)
        first.cancel()
        queue.push(Request(PROMPT), first=False)
        return await second

    assert in_virtual_time(main()) == Request(PROMPT)
