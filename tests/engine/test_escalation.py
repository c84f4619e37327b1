"""Which rows are put to the second model, and whose answer counts."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config.answerers import EscalateSettings
from pipeline.engine.escalation.rule import asks, decided, paid_beside, second_retried, split
from pipeline.outputs.columns import CHANGED, LOST, MENDED, SAME, STANDS, Answered
from pipeline.records import LABELLED, Outcome, Status
from tests.answers import ANSWERS, answer

FAILED = [
    status for status in Status if status.value in {"invalid", "refused", "filtered", "too_long", "error"}
]


def settings(**changes: object) -> EscalateSettings:
    return EscalateSettings.model_validate({"model": "big", "below": 0.7, **changes})


@pytest.mark.parametrize(
    ("status", "confidence", "is_asked"),
    [
        (Status.OK, 0.69, True),
        (Status.OK, 0.7, False),
        (Status.OK, None, False),
        (Status.UNSURE, 0.69, True),
        (Status.UNSURE, 0.8, False),
        (Status.EMPTY, None, False),
        *[(status, None, True) for status in FAILED],
    ],
)
def test_rows_below_the_bound_and_those_without_a_label_are_put_to_it(
    status: Status, confidence: float | None, *, is_asked: bool
) -> None:
    assert asks(settings())(status, confidence) is is_asked


def test_statuses_that_are_not_named_are_no_reason() -> None:
    is_asked = asks(settings(on=["refused"]))
    assert [status for status in FAILED if is_asked(status, None)] == [Status.REFUSED]


@pytest.mark.parametrize(
    ("first", "second", "row", "word"),
    [
        (("games",), ("sound",), ("sound",), CHANGED),
        (("games",), ("games",), ("games",), SAME),
        ((), ("sound",), ("sound",), MENDED),
        (("games",), (), ("games",), STANDS),
        ((), (), (), LOST),
    ],
)
def test_the_second_one_decides_unless_it_has_no_label(
    first: tuple[str, ...], second: tuple[str, ...], row: tuple[str, ...], word: str
) -> None:
    def meaning(labels: tuple[str, ...], why: str) -> Outcome:
        return Outcome(Status.OK, labels, 0.5) if labels else Outcome(Status.REFUSED, error=why)

    mine, other = answer(1, model="small"), answer(2, model="big")
    found, outcome, source = decided((mine, meaning(first, "no")), (other, meaning(second, "never")))
    assert (found.key, outcome.labels, source) == (mine.key, row, word)
    assert found.model == ("small" if word == STANDS else "big")
    assert outcome.status is (Status.UNSURE if word == STANDS else Status.OK if row else Status.REFUSED)
    assert (outcome.error is None) == bool(second)


def test_a_row_has_what_the_run_of_the_newer_answer_has_paid() -> None:
    def bill(first_run: str, second_run: str, second_at: float) -> tuple[str, int | None, float | None]:
        first = answer(1, run=first_run, prompt_tokens=100, cost_usd=0.25, at=1000.0)
        second = answer(2, run=second_run, prompt_tokens=30, cost_usd=1.0, at=second_at)
        found, _, _ = decided((first, Outcome(Status.OK, ("a",))), (second, Outcome(Status.OK, ("b",))))
        return found.run, found.prompt_tokens, found.cost_usd

    assert bill("run", "run", 1001.0) == ("run", 130, 1.25)
    assert bill("earlier", "run", 1001.0) == ("run", 30, 1.0)
    # The second one's was there, of a job that asks it alone, and the first one's is new.
    assert bill("run", "earlier", 999.0) == ("run", 100, 0.25)


@given(*[st.sampled_from(["one", "two", "three"])] * 2, *[st.floats(0, 9)] * 2, st.sampled_from(["", "b"]))
def test_what_each_run_has_paid_is_on_the_rows_bill_or_beside_it(
    first_run: str, second_run: str, first_at: float, second_at: float, label: str
) -> None:
    first = answer(1, run=first_run, prompt_tokens=100, cost_usd=0.25, at=first_at, request_id="a: b; c")
    second = answer(2, run=second_run, prompt_tokens=30, cost_usd=1.0, at=second_at)
    meaning = Outcome(Status.OK, (label,)) if label else Outcome(Status.REFUSED)
    row, _, source = decided((first, Outcome(Status.OK, ("a",))), (second, meaning))
    paid = Counter[str]({row.run: row.prompt_tokens})
    for run in ("one", "two", "three"):
        beside = paid_beside(source, run)
        paid[run] += beside.prompt_tokens or 0 if beside else 0
    assert +paid == Counter({first_run: 100}) + Counter({second_run: 30})


@given(st.lists(ANSWERS, unique_by=lambda each: each.key), st.lists(st.floats(0, 1), min_size=6, max_size=6))
def test_every_answer_is_either_kept_or_put_to_the_second_model(found, confidences) -> None:
    answered, is_asked = Answered(), asks(settings())
    meanings = {
        each.key: Outcome(Status.OK, ("a",), share) for each, share in zip(found, confidences, strict=False)
    }
    for each in found:
        answered.add(each, meanings[each.key])
    stays, asked = split(answered, is_asked)
    assert {each.key for each, _ in asked} == {
        key for key, meaning in meanings.items() if is_asked(meaning.status, meaning.confidence)
    }
    assert len(stays) + len(asked) == len(found)
    assert {key for answers, _ in stays.batches for key in answers} | {each.key for each, _ in asked} == set(
        meanings
    )


def test_labels_of_others_than_the_model_are_not_put_to_the_second_one() -> None:
    answered = Answered()
    answered.add(answer(1), Outcome(Status.OK, ("a",), 0.1), "carried")
    answered.add(answer(2), Outcome(Status.OK, ("a",), 0.1))
    stays, asked = split(answered, asks(settings()))
    assert [each.key for each, _ in asked] == [answer(2).key]
    assert stays.sources == {answer(1).key: "carried"}


def test_second_answers_without_a_label_are_asked_again_for_rows_that_are_unsure() -> None:
    assert second_retried({"unsure"}) == {"unsure"} | (set(Status) - LABELLED)
    assert second_retried({"refused"}) == {"refused"}
