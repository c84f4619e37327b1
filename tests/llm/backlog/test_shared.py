"""Who takes which request of a shared backlog."""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from pipeline.llm.backlog.shared import ELSEWHERE_SECONDS, Backlog, Tap
from pipeline.llm.request import Request
from tests.llm.backlog.several import answers, asked, between
from tests.llm.scripted import Call, Sent, failed, prompt
from tests.llm.test_forms import thoughts
from tests.llm.virtual_time import in_virtual_time, now, virtual_clock
from tests.tasks.make import answer


def tap(backlog: Backlog, weight: float = 1.0, priority: int = 0) -> Tap:
    found = Tap(backlog, weight, priority)
    found.wait_seconds = lambda: 0.0
    return found


def taken(of: Tap) -> Request:
    request = of.pop()
    assert request is not None
    return request


def sent(of: Tap) -> Request:
    request = taken(of)
    of.sent(request)
    return request


def in_loop(work: Callable[[Backlog], object]) -> None:
    async def main() -> None:
        work(Backlog(virtual_clock()))

    in_virtual_time(main())


def spawned(_: object) -> None:
    raise AssertionError("a retry of a shared request waits in no task")


def test_one_request_is_in_hand_until_it_is_sent() -> None:
    def work(backlog: Backlog) -> None:
        one = tap(backlog)
        for text in ("a", "b"):
            backlog.push(Request(prompt(text)))
        first = taken(one)
        assert first == Request(prompt("a"))
        assert one.pop() is None
        one.sent(first)
        assert one.pop() == Request(prompt("b"))

    in_loop(work)


def test_a_failed_request_is_the_first_for_others_and_comes_back_after_its_wait() -> None:
    async def main() -> None:
        backlog = Backlog(virtual_clock())
        one, other = tap(backlog), tap(backlog)
        for text in ("a", "b", "c"):
            backlog.push(Request(prompt(text)))
        first = sent(one)
        one.push_again(first, 5.0, spawned, virtual_clock())
        assert sent(one) == Request(prompt("b"))
        assert sent(other) == first
        other.push_again(first, 2.0, spawned, virtual_clock())
        assert sent(one) == Request(prompt("c"))
        assert (one.pop(), other.pop()) == (None, None)
        await asyncio.sleep(2.0)
        assert other.pop() == first

    in_virtual_time(main())


def test_what_an_endpoint_holds_that_is_closed_goes_to_the_others() -> None:
    def work(backlog: Backlog) -> None:
        one, other = tap(backlog), tap(backlog)
        for text in ("a", "b"):
            backlog.push(Request(prompt(text)))
        sent(one)
        one.pop()
        one.closed = True
        one.give_back_all()
        found = [sent(other), sent(other)]
        assert {request.prompt.text for request in found} == {"a", "b"}
        assert one.pop() is None

    in_loop(work)


def test_a_second_ask_is_left_to_another_endpoint_for_a_while() -> None:
    async def main() -> None:
        backlog = Backlog(virtual_clock())
        one, other = tap(backlog), tap(backlog)
        one.answered(prompt("a").key)
        again = Request(prompt("a"), answer("prose", key=prompt("a").key))
        backlog.push(again)
        assert one.pop() is None
        assert sent(other) == again
        other.answered(prompt("a").key)
        backlog.push(again)
        backlog.taps.remove(one)
        await asyncio.sleep(ELSEWHERE_SECONDS)
        assert other.pop() == again

    in_virtual_time(main())


def test_weights_share_what_all_have_room_for() -> None:
    async def main() -> Counter[str]:
        backlog, taken = Backlog(virtual_clock()), Counter[str]()

        async def serve(name: str, of: Tap) -> None:
            while True:
                request = of.pop() or await of.next()
                of.sent(request)
                taken[name] += 1
                of.answered(request.prompt.key)
                await asyncio.sleep(0.01)

        tasks = [
            asyncio.create_task(serve(name, one))
            for name, one in (("light", tap(backlog, 1)), ("heavy", tap(backlog, 3)))
            for _ in range(8)
        ]
        for number in range(400):
            await asyncio.sleep(0.005)
            backlog.push(Request(prompt(str(number))))
        await asyncio.sleep(1)
        for task in tasks:
            task.cancel()
        return taken

    taken = in_virtual_time(main())
    assert sum(taken.values()) == 400
    assert 90 <= taken["light"] <= 110


def test_whoever_has_had_more_than_its_share_leaves_the_next_to_one_that_waits() -> None:
    async def main() -> None:
        backlog = Backlog(virtual_clock())
        light, heavy = tap(backlog, 1), tap(backlog, 3)
        waiting = [asyncio.create_task(heavy.next()) for _ in range(2)]
        await asyncio.sleep(0)
        light.turn = 1.0
        backlog.push(Request(prompt("a")))
        assert light.pop() is None
        await asyncio.sleep(0)
        assert waiting[0].done()
        waiting[1].cancel()
        backlog.push(Request(prompt("b")))
        heavy.is_away = lambda: True
        assert light.pop() == Request(prompt("b"))

    in_virtual_time(main())


def test_a_weight_leaves_no_endpoint_idle_while_rows_wait(tmp_path: Path) -> None:
    about = {
        "a": {"weight": 1, "limits": {"max_concurrency": 8}},
        "b": {"weight": 9, "limits": {"max_concurrency": 8}},
    }
    case = asked(tmp_path, {"a": answers(), "b": answers()}, [f"row {n}" for n in range(2000)], about)
    assert case.seconds <= 1.05 * 2000 / 160 + 1


def test_an_endpoint_that_asks_for_an_hour_keeps_no_row_from_the_others(tmp_path: Path) -> None:
    told = failed(429, "wait", retry_after="3600")
    behaves = {"a": answers(), "b": lambda call: told if now() > 1 else answers()(call)}
    about = {name: {"limits": {"requests_per_minute": 600}} for name in "ab"}
    case = asked(tmp_path, behaves, [f"row {n}" for n in range(1000)], about)
    assert len(case.answers) == 1000
    assert case.seconds < 110


def test_a_row_that_waits_behind_others_retries_is_recalled_and_they_are_sent(tmp_path: Path) -> None:
    def cuts_all_at_30(call: Call) -> Sent:
        return replace(thoughts(call, needed=100), seconds=max(0.1, 30 - call.at))

    about = {"a": {"limits": {"requests_per_minute": 20}}, "b": {"limits": {"max_concurrency": 1}}}
    behaves = {"a": cuts_all_at_30, "b": between(0.0, 1.0, answers(31.0), answers())}
    case = asked(tmp_path, behaves, [f"row {n}" for n in range(10)], about, within=3600.0)
    assert (case.stopped, len(case.answers)) == ([], 10)
    assert [round(call.at) for call in case.calls("b")] == [0, 31]
    assert len(case.calls("a")) == 2 * 8
