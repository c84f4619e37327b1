"""Rows that are asked together, at endpoints that get ids wrong: no label on a wrong row, and books that balance."""

import itertools
import json
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from typing import Any

import pytest

from pipeline.records import Status
from pipeline.tasks.packs import ALPHABET
from pipeline.tasks.parse import Parser
from pipeline.tasks.tokens import estimate_tokens
from tests.llm.backlog.several import Several, asked
from tests.llm.scripted import Call, Case, Sent, failed, limits, said
from tests.llm.virtual_time import in_virtual_time, now

LABELS = ("games", "sound")
ROWS = [f"row {number} {'x' * (number % 40)}" for number in range(203)]

Entries = list[tuple[str, str]]
Behave = Callable[[Call], Sent]


def right(text: str) -> str:
    return LABELS[sum(text.encode()) % 2]


def items(call: Call) -> list[dict[str, str]]:
    """The rows that a request is about: one, without an id, where it is alone."""
    return [{"id": "", "text": call.text}] if isinstance(call.text, str) else call.text


def text_of(row: Mapping[str, str]) -> str:
    return row["text"]


def usage(call: Call, content: str) -> dict[str, int]:
    """What is billed: a token for four characters, of the schema, too."""
    read = sum(len(json.dumps(call.body.get(part, ""))) for part in ("messages", "response_format"))
    return {"prompt_tokens": read // 4, "completion_tokens": len(content) // 4 + 1}


def reply(call: Call, entries: Entries, **more: Any) -> Sent:
    """The reply with these *entries*, which may name an id twice."""
    content = "{" + ",".join(f"{json.dumps(name)}:{json.dumps(label)}" for name, label in entries) + "}"
    return say(call, content, **more)


def say(call: Call, content: str, **more: Any) -> Sent:
    choice = {"message": {"content": content}, "finish_reason": more.pop("finish", "stop")}
    return said(choices=[choice], usage=usage(call, content), **more)


def answered(call: Call) -> Sent:
    """What a good endpoint answers."""
    rows = items(call)
    if rows[0]["id"] == "":
        return say(call, json.dumps({"label": right(rows[0]["text"])}))
    return reply(call, [(row["id"], right(row["text"])) for row in rows])


def mischievous(act: Callable[[Entries, Random], Entries], share: float = 0.5) -> Behave:
    """An endpoint that does *act* to a share of its replies about several rows."""
    chance = Random(7)

    def behave(call: Call) -> Sent:
        rows = items(call)
        if rows[0]["id"] == "" or chance.random() > share:
            return answered(call)
        return reply(call, act([(row["id"], right(row["text"])) for row in rows], chance))

    return behave


def shifted(entries: Entries, _: Random) -> Entries:
    """As by a model that skips a row, and goes on counting."""
    labels = [label for _, label in entries][1:]
    return [(str(place), label) for place, label in enumerate(labels, start=1)]


def wrong(label: str) -> str:
    return LABELS[1 - LABELS.index(label)]


MISCHIEF: dict[str, Callable[[Entries, Random], Entries]] = {
    "drops": lambda entries, chance: [entry for entry in entries if chance.random() < 0.7],
    "doubles, one of them wrong": lambda entries, _: [
        *entries,
        *((name, wrong(one)) for name, one in entries[:3]),
    ],
    "swaps": lambda entries, chance: chance.sample(entries, len(entries)),
    "invents": lambda entries, _: [(f"{name[0]}zz", wrong(one)) for name, one in entries[:4]] + entries[4:],
    "renumbers": shifted,
    "says nothing": lambda _, __: [],
}


def run(folder: Path, behave: Behave, rows: int = 10, **sections: Any) -> Case:
    model = {"rows_per_request": rows, **sections.pop("model", {})}
    return in_virtual_time(Case(limits(folder, model=model, **sections), behave).run(ROWS))


def ensure_right_and_balanced(case: Case) -> None:
    parser = Parser(case.task.settings)
    for row in ROWS:
        assert parser.outcome(case.of(row)).labels == (right(row),)
    counters, answers = case.dispatcher.counters, list(case.answers.values())
    assert sum(one.prompt_tokens or 0 for one in answers) == counters.prompt_tokens
    assert sum(one.completion_tokens or 0 for one in answers) == counters.completion_tokens
    # Each answer holds all that was paid for its row, so that nothing is left on a bill.
    assert all(not bill.prompt_tokens for bill in case.bills.values())
    spent = counters.prompt_tokens / 1e6 + 2 * counters.completion_tokens / 1e6
    assert sum(one.cost_usd or 0 for one in answers) == pytest.approx(spent, rel=1e-9)


@pytest.mark.parametrize("act", MISCHIEF.values(), ids=MISCHIEF)
def test_no_label_is_on_a_wrong_row_and_the_books_balance(tmp_path: Path, act: Any) -> None:
    ensure_right_and_balanced(run(tmp_path, mischievous(act)))


def test_a_good_endpoint_is_asked_about_ten_rows_at_once(tmp_path: Path) -> None:
    case = run(tmp_path, answered)
    ensure_right_and_balanced(case)
    assert Counter(len(items(call)) for call in case.endpoint.calls) == {10: 20, 3: 1}


def test_ids_are_drawn_afresh_for_each_request_and_the_schema_takes_each_once(tmp_path: Path) -> None:
    calls = [call for call in run(tmp_path, answered).endpoint.calls if len(items(call)) > 1]
    drawn = [row["id"] for call in calls for row in items(call)]
    assert len(set(drawn)) > 0.9 * len(drawn)
    assert set("".join(drawn)) <= set(ALPHABET)
    for call in calls:
        schema = call.body["response_format"]["json_schema"]
        ids = [row["id"] for row in items(call)]
        assert (schema["strict"], schema["schema"]["additionalProperties"]) == (True, False)
        assert schema["schema"]["required"] == ids == list(schema["schema"]["properties"])
        assert call.body["max_tokens"] == 32 * len(ids)
    assert len({call.body["messages"][0]["content"] for call in calls}) == 1


def test_what_is_missing_is_asked_again_in_halves_down_to_one_row(tmp_path: Path) -> None:
    def behave(call: Call) -> Sent:
        return say(call, "I cannot") if ROWS[40] in map(text_of, items(call)) else answered(call)

    case = run(tmp_path, behave)
    about_it = [items(call) for call in case.endpoint.calls if ROWS[40] in map(text_of, items(call))]
    sizes = [len(rows) for rows in about_it]
    assert sizes[0] == 10
    assert sizes[-1] == 1
    assert all(later <= (earlier + 1) // 2 for earlier, later in itertools.pairwise(sizes))
    outcome = Parser(case.task.settings).outcome(case.of(ROWS[40]))
    assert outcome.status is Status.INVALID
    assert len(case.answers) == len(ROWS)


@pytest.mark.parametrize("finish", ["length", "content_filter", "a word of its own"])
def test_a_reply_that_is_not_whole_gives_no_row_a_label(tmp_path: Path, finish: str) -> None:
    def behave(call: Call) -> Sent:
        rows = items(call)
        if len(rows) < 10:
            return answered(call)
        return reply(call, [(row["id"], wrong(right(row["text"]))) for row in rows], finish=finish)

    ensure_right_and_balanced(run(tmp_path, behave))


FILTERED = "The response was filtered due to the prompt triggering content management policy."


@pytest.mark.parametrize(
    ("code", "words", "status"),
    [
        (400, FILTERED, Status.FILTERED),
        (404, "no such thing", Status.ERROR),
        (402, "no credit", Status.ERROR),
        pytest.param(500, "it failed", Status.ERROR, marks=pytest.mark.slow),
    ],
)
def test_a_row_that_the_endpoint_refuses_costs_its_neighbours_nothing(
    tmp_path: Path, code: int, words: str, status: Status
) -> None:
    def behave(call: Call) -> Sent:
        return failed(code, words) if ROWS[40] in map(text_of, items(call)) else answered(call)

    case = run(tmp_path, behave)
    statuses = Counter(one.status for one in case.answers.values())
    assert statuses == {None: len(ROWS) - 1, status: 1}
    assert case.of(ROWS[40]).status is status
    assert case.stopped == []


@pytest.mark.parametrize(
    "nothing",
    [
        lambda _: failed(500, "it failed"),
        lambda call: say(call, ""),
        lambda call: said(choices=[], usage=usage(call, "")),
    ],
    ids=["breaks", "is empty", "has no choice"],
)
def test_a_pack_that_fails_twice_is_asked_in_halves_as_long_as_others_are_answered(
    tmp_path: Path, nothing: Behave
) -> None:
    tried = Counter[int]()

    def behave(call: Call) -> Sent:
        rows = items(call)
        if ROWS[40] not in map(text_of, rows) or len(rows) == 1:
            return answered(call)
        tried[len(rows)] += 1
        return nothing(call)

    ensure_right_and_balanced(run(tmp_path, behave))
    assert set(tried) <= {10, 5, 3, 2}
    assert max(tried.values()) == 2, "a row costs its neighbours no more than that"


def test_unreadable_replies_that_are_billed_are_shared_out_too(tmp_path: Path) -> None:
    chance = Random(3)

    def behave(call: Call) -> Sent:
        if chance.random() < 0.3:
            return said(choices=[], usage={"prompt_tokens": 101, "completion_tokens": 7})
        return answered(call)

    ensure_right_and_balanced(run(tmp_path, behave))


def test_fewer_are_asked_at_once_where_more_than_two_in_a_hundred_are_missing(tmp_path: Path) -> None:
    def behave(call: Call) -> Sent:
        rows = items(call)
        if rows[0]["id"] == "":
            return answered(call)
        return reply(call, [(row["id"], right(row["text"])) for row in rows[:2]])

    case = run(tmp_path, behave, rows=3, limits={"max_concurrency": 1})
    assert case.packing
    assert case.packing.width.rows == 1
    assert [len(items(call)) for call in case.endpoint.calls].count(3) == 50


def test_several_endpoints_share_packs_and_none_is_asked_twice(tmp_path: Path) -> None:
    behaves = {"a": mischievous(MISCHIEF["drops"]), "b": answered}
    found: Several = asked(tmp_path, behaves, ROWS, model={"rows_per_request": 5})
    assert len(found.answers) == len(ROWS)
    assert all(found.counts.values())
    reported = sum(usage(call, "")["prompt_tokens"] for name in behaves for call in found.calls(name))
    assert found.tokens == reported


def test_ten_rows_a_request_cost_a_quarter_and_take_a_tenth_of_the_time(tmp_path: Path) -> None:
    rows = [f"{number:04} " + "word " * 47 for number in range(300)]  # 60 tokens each
    labels = [
        {"name": f"label {n:02}", "description": "what belongs to it, and what does not, in words"}
        for n in range(39)
    ]
    sections = {"task": {"labels": labels, "instructions": "Choose."}, "limits": {"requests_per_minute": 60}}

    def behave(call: Call) -> Sent:
        known = [(row["id"], "label 07") for row in items(call)]
        return reply(call, known) if known[0][0] else say(call, json.dumps({"label": "label 07"}))

    def cost(count: int) -> tuple[int, float, float]:
        async def main() -> tuple[int, float, float]:
            settings = limits(tmp_path, model={"rows_per_request": count}, **sections)
            case = Case(settings, behave)
            assert 580 <= estimate_tokens(case.task.system) <= 620
            await case.run(rows)
            used = case.dispatcher.counters
            return used.prompt_tokens, used.prompt_tokens + 4 * used.completion_tokens, now()

        return in_virtual_time(main())

    alone, packed = cost(1), cost(10)
    read, bill, seconds = (one / other for one, other in zip(packed, alone, strict=True))
    assert read <= 0.20
    assert bill <= 0.27
    assert seconds <= 0.11
