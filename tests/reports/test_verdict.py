"""The first sentence of a report says whether the labels are there, and the next ones what to look at."""

from typing import Any

import pytest

from pipeline.quality.gates import distance
from pipeline.reports.verdict import verdict
from tests.reports.made import made


def facts(**changes: Any) -> dict[str, Any]:
    return {**made(runs=1), "evaluation": None, **changes}


def counted(statuses: dict[str, int]) -> dict[str, Any]:
    rows = sum(statuses.values())
    failed = statuses.get("error", 0)
    return {
        "rows": rows,
        "statuses": statuses,
        "failed": failed,
        "empty": statuses.get("empty", 0),
        "truncated": 0,
    }


def test_a_whole_table_is_good_news() -> None:
    found = verdict(facts(**counted({"ok": 598, "empty": 2})))
    assert (found.tone, found.sentence) == (
        "good", "The table is labelled: 598 of 598 rows with text are labelled (100 %), none failed.",
    )  # fmt: skip


def test_too_many_failed_rows_are_bad_news_with_the_limit() -> None:
    found = verdict(facts(status="failed", **counted({"ok": 80, "error": 20})))
    assert found.tone == "bad"
    assert found.sentence.startswith("20.0 % of the rows failed, more than the 5 % that may")


def test_a_rehearsal_says_that_it_is_one() -> None:
    simulated = {**facts()["job"], "simulated": True}
    assert "mean nothing" in verdict(facts(job=simulated)).sentence


def test_a_table_without_texts_has_nothing_to_label() -> None:
    assert (
        verdict(facts(**counted({"empty": 3}))).sentence
        == "No row has a text, so there was nothing to label."
    )


@pytest.mark.parametrize(
    ("changes", "remark"),
    [
        ({"evaluation": {"rows": 200, "accuracy": 0.8, "accuracy_low": 0.74, "accuracy_high": 0.85}}, "80.0 % are right"),
        ({"cost_usd": 0.0143}, "It cost $0.0143"),
        ({"truncated": 3_000}, "3,000 texts"),
        ({"statuses": {"ok": 50, "unsure": 50}}, "50 rows"),
    ],
)  # fmt: skip
def test_what_else_one_ought_to_know_is_said(changes: dict[str, Any], remark: str) -> None:
    assert any(remark in sentence for sentence in verdict(facts(**changes)).remarks)


def test_labels_that_have_shifted_are_news_and_others_are_not() -> None:
    one, other = {"labels": {"a": 0.5, "b": 0.5}}, {"labels": {"a": 0.8, "b": 0.2}}
    assert any("shifted" in each for each in verdict(facts(history=[one, other])).remarks)
    assert not any("shifted" in each for each in verdict(facts(history=[one, one])).remarks)


def test_a_shift_is_the_share_of_rows_that_have_moved() -> None:
    assert distance({"a": 1.0}, {"b": 1.0}) == 1.0
    assert distance({"a": 0.5, "b": 0.5}, {"a": 0.5, "b": 0.5}) == 0.0
    assert distance({"a": 0.6, "b": 0.4}, {"a": 0.5, "b": 0.4, "c": 0.1}) == pytest.approx(0.1)
