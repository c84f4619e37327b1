"""Figures are written for people, and each kind of them in one way wherever they are read."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.figures import (
    budget,
    clock,
    count,
    duration,
    interval,
    limit,
    number,
    p_value,
    percent,
    points,
    rate,
    reached,
    usd,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (1234, "1,234"), (1_000_000, "1,000,000"), (2.5, "2.5"), (3.0, "3"), (None, "–")],  # noqa: RUF001 - a dash
)
def test_numbers_have_commas(value: float | None, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [(0, "0 %"), (1, "100 %"), (0.5, "50.0 %"), (0.987, "98.7 %"), (0.0001, "<0.1 %"), (0.9999, ">99.9 %"), (0.998, "99.8 %")],
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
    [(0, "0 s"), (0.25, "250 ms"), (2.0, "2 s"), (2.44, "2.4 s"), (59.7, "1 min"), (125, "2 min 5 s"), (3_600, "1 h"), (11_520, "3 h 12 min"), (180_000, "2 d 2 h")],
)  # fmt: skip
def test_times_are_in_units_that_one_thinks_in(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_differences_have_a_sign_but_for_none() -> None:
    assert (points(0.012), points(-0.012), points(0.0001)) == ("+1.2", "−1.2", "0")  # noqa: RUF001 - a minus


def test_nouns_agree_with_their_number() -> None:
    assert (count(1, "row"), count(2, "row"), count(1_000, "row")) == ("1 row", "2 rows", "1,000 rows")


def test_an_interval_has_one_sign() -> None:
    assert interval(0.71, 0.8561) == "71.0 to 85.6 %"
    assert interval(None, 0.8) == "–"  # noqa: RUF001 - a dash


@pytest.mark.parametrize(("share", "text"), [(0.02, "2 %"), (0.0025, "0.25 %"), (1, "100 %"), (0.07, "7 %")])
def test_a_share_that_was_set_is_written_as_it_was_set(share: float, text: str) -> None:
    assert limit(share) == text


@pytest.mark.parametrize(
    ("usd", "text"), [(5, "$5"), (0.005, "$0.005"), (1234.5, "$1,234.5"), (0.00002, "$0.00002")]
)
def test_a_budget_is_written_as_it_was_set(usd: float, text: str) -> None:
    assert budget(usd) == text


def test_no_chance_is_said_to_be_none() -> None:
    assert [p_value(p) for p in (1, 0.0312, 1e-9)] == ["= 1.000", "= 0.031", "< 0.001"]


def test_all_is_done_only_when_it_is() -> None:
    assert [reached(share) for share in (0, 0.29, 0.999, 1)] == ["0 %", "29 %", "99 %", "100 %"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "-:--"), (0, "0:00"), (43.2, "0:43"), (725, "12:05"), (3_753, "1:02:33"), (200_000, "2 d 7 h")],
)
def test_what_is_left_is_shown_as_on_a_clock(seconds: float | None, text: str) -> None:
    assert clock(seconds) == text


@pytest.mark.parametrize(
    ("rows", "text"), [(None, "-"), (0.034, "0.03"), (5.678, "5.7"), (48.84, "48.8"), (1234.5, "1,234")]
)
def test_a_rate_has_as_many_digits_as_say_something(rows: float | None, text: str) -> None:
    assert rate(rows) == text


def formatted_elsewhere(source: str) -> Iterator[str]:
    """Yield the f-strings of *source* that write shares or dollars by themselves."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.JoinedStr):
            continue
        for before, value, after in zip(
            [None, *node.values], node.values, [*node.values[1:], None], strict=False
        ):
            if not isinstance(value, ast.FormattedValue):
                continue
            form = ast.unparse(value.format_spec) if value.format_spec else ""
            texts = [str(each.value) if isinstance(each, ast.Constant) else "" for each in (before, after)]
            if form.rstrip("'").endswith("%") or texts[1].lstrip().startswith("%") or texts[0].endswith("$"):
                yield ast.unparse(node)


def test_the_search_for_other_ways_finds_them() -> None:
    others = ['f"{x:.1%}"', 'f"{x:.0f}%"', 'f"at {x} % of"', 'f"${x:.4f}"', 'f"about ${x}"']
    assert [len(list(formatted_elsewhere(other))) for other in others] == [1] * len(others)


def test_shares_and_dollars_are_written_in_one_module() -> None:
    package = Path(__file__).parent.parent / "pipeline"
    others = {
        f"{path.relative_to(package)}: {found}"
        for path in package.rglob("*.py")
        if path.name != "figures.py"
        for found in formatted_elsewhere(path.read_text())
    }
    assert others == set()
