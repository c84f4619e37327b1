"""Numbers, times and texts are written for people."""

import pytest

from pipeline.reports.words import clean, count, duration, number, percent, points, usd


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (1234, "1,234"), (1_000_000, "1,000,000"), (2.5, "2.5"), (3.0, "3"), (None, "–")],  # noqa: RUF001 - a dash
)
def test_numbers_have_commas(value: float | None, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [(0, "0 %"), (1, "100 %"), (0.5, "50 %"), (0.987, "98.7 %"), (0.0001, "<0.1 %"), (0.9999, ">99.9 %"), (0.998, "99.8 %")],
)  # fmt: skip
def test_a_share_is_nothing_or_all_only_if_it_is(share: float, text: str) -> None:
    assert percent(share) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "unknown"), (0, "$0"), (0.0143, "$0.0143"), (0.00001, "<$0.0001"), (2.5, "$2.50"), (1234.4, "$1,234")],
)  # fmt: skip
def test_dollars_have_as_many_digits_as_matter(value: float | None, text: str) -> None:
    assert usd(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.25, "250 ms"), (2.0, "2 s"), (2.44, "2.4 s"), (59.7, "1 min"), (125, "2 min 5 s"), (3_600, "1 h"), (11_520, "3 h 12 min"), (180_000, "2 d 2 h")],
)  # fmt: skip
def test_times_are_in_units_that_one_thinks_in(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_differences_have_a_sign_but_for_none() -> None:
    assert (points(0.012), points(-0.012), points(0.0001)) == ("+1.2", "−1.2", "0")  # noqa: RUF001 - a minus


def test_characters_that_turn_the_direction_or_that_a_page_must_not_have_are_shown_as_unknown() -> None:
    assert clean("a\u202eb\x00c\ud800d\x1be\u2066f\ng\th") == "a�b�c�d�e�f\ng\th"
    assert clean("x" * 50, 10) == "x" * 9 + "…"


def test_nouns_agree_with_their_number() -> None:
    assert (count(1, "row"), count(2, "row"), count(1_000, "row")) == ("1 row", "2 rows", "1,000 rows")
