"""Advice is given where it spares more than a hundredth of the bill, and with its figure."""

from typing import Any

import pytest

from tests.jobs import JobFiles, command, last_line, texts

PRICE = {"input": 0.1, "cached": 0.025, "output": 0.4}


def advised(job: JobFiles, **sections: Any) -> list[str]:
    told = last_line(command("plan", str(job.set(**sections).config_file())))
    advice: list[str] = told["advice"]
    return advice


@pytest.fixture
def priced(job: JobFiles) -> JobFiles:
    job.table(texts(50))
    return job.set(model={"price": PRICE})


def about(words: int) -> dict[str, Any]:
    """Instructions of so many words, of a token each."""
    return {"instructions": " ".join(["choose the label that fits best"] * (words // 6))}


def test_a_job_without_waste_gets_no_advice(priced: JobFiles) -> None:
    assert advised(priced) == []


@pytest.mark.parametrize(("words", "is_worth_it"), [(300, False), (1_000, True), (1_800, False)])
def test_a_prefix_that_is_nearly_long_enough_to_be_cached_is_worth_lengthening(
    priced: JobFiles, words: int, *, is_worth_it: bool
) -> None:
    found = [each for each in advised(priced, task=about(words)) if "lengthen" in each]
    assert bool(found) is is_worth_it
    for each in found:
        assert "cache from 1,024 on" in each
        assert "% of the bill, $0.00" in each


def test_a_prefix_is_not_lengthened_where_cached_tokens_cost_as_much(priced: JobFiles) -> None:
    assert advised(priced, task=about(1_000), model={"price": {"input": 0.1, "output": 0.4}}) == []


def test_texts_that_differ_in_case_or_blanks_are_counted(priced: JobFiles) -> None:
    rows = [f"ticket number {n} about the printer" for n in range(40)]
    priced.table([*rows, *(row.upper() for row in rows[:10])])
    (told,) = advised(priced)
    assert told.startswith("10 of 50 texts differ from another one only in case or blanks")
    assert "20.0 % of the bill" in told


def test_a_few_very_long_texts_are_worth_a_cut(priced: JobFiles) -> None:
    priced.table([*texts(60), "a very long story " * 1_500])
    (told,) = advised(priced)
    assert told.startswith("1 text of 61 have")
    assert "task.max_text_tokens: 50 would spare" in told
    assert advised(priced, task={"max_text_tokens": 50}) == []


def test_long_names_of_labels_are_paid_for_in_every_reply(priced: JobFiles) -> None:
    names = [
        f"{area} / {part} of the customer"
        for area in ("billing", "delivery")
        for part in ("questions", "complaints")
    ]
    (told,) = advised(priced, task={"labels": [{"name": name} for name in names]})
    assert told.startswith("the labels' names are long")
