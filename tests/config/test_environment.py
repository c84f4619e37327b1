"""`${...}` in a scalar."""

import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config.environment import fill

NOW = datetime(2026, 11, 23, 18, 30, tzinfo=UTC)
ENV = {"A": "1", "B_2": "two", "EMPTY": "", "NESTED": "${A}"}


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("plain $A {A}", "plain $A {A}"),
        ("${A}", "1"),
        ("x${A}-${B_2}y", "x1-twoy"),
        ("${NONE:-rows}", "rows"),
        ("${NONE:-}", ""),
        ("${A:-rows}", "1"),
        ("${EMPTY:-rows}", "rows"),
        ("${EMPTY}", ""),
        ("${NONE:-a:-b\nc}", "a:-b\nc"),
        ("${NESTED}", "${A}"),
        ("${now:%Y-%m-%d}", "2026-11-23"),
        ("${now:%H%M}.parquet", "1830.parquet"),
    ],
)
def test_a_field_is_filled_in_once(text, filled):
    assert fill(text, ENV, NOW) == filled


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "${NONE}",
            "needs the environment variable NONE, which is not set; set it, or write ${NONE:-default}",
        ),
        ("${}", "is no name"),
        ("${A-b}", "is no name"),
        ("${1}", "is no name"),
        ("${now}", "needs the environment variable now"),
        ("${A", "without its }"),
        ("${${A}}", "without its }"),
        ("${now:\ud800}", "time format"),
    ],
)
def test_a_field_that_cannot_be_substituted_says_why(text, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        fill(text, ENV, NOW)


@given(st.text(alphabet="${}A:-b \n"))
def test_any_text_is_filled_in_or_refused(text):
    try:
        filled = fill(text, ENV, NOW)
    except ValueError:
        assert "${" in text
    else:
        assert filled == text or "${" in text
