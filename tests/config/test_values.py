"""Numbers, durations and allowances."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from pipeline.config import FailureAllowance
from pipeline.config.values import Allowance, Count, Line, Seconds

SECONDS = TypeAdapter(Seconds)
ALLOWANCE = TypeAdapter(Allowance)
COUNT = TypeAdapter(Count)
UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


@given(st.integers(1, 3_000), st.sampled_from(sorted(UNITS)))
def test_a_duration_is_its_number_times_its_unit(amount, unit):
    assert SECONDS.validate_python(f"{amount}{unit}") == amount * UNITS[unit]


@given(st.floats(0.001, 1e6))
def test_a_number_alone_is_seconds(seconds):
    assert SECONDS.validate_python(seconds) == seconds


@given(st.text(max_size=8) | st.floats() | st.booleans() | st.none() | st.integers(max_value=0))
def test_whatever_else_is_a_duration_above_zero_or_refused(value):
    try:
        seconds = SECONDS.validate_python(value)
    except ValidationError:
        return
    assert seconds > 0


@pytest.mark.parametrize(
    "value", ["", "s", "1w", "1.5.0h", "-1s", "1h30m", "9999999999s", "٣s", "1 h", True, 0, 1e300]
)
def test_what_is_no_duration_is_refused(value):
    with pytest.raises(ValidationError, match="is not a duration above 0"):
        SECONDS.validate_python(value)


@given(st.integers(1, 10**12))
def test_a_count_may_be_text_with_marks(count):
    assert COUNT.validate_python(f"{count:_}") == COUNT.validate_python(count) == count


@pytest.mark.parametrize("value", [True, 1.0, "1.0", "", "1e3", "0x10", "٣", "1,000", None, [], 10**13])
def test_what_is_no_count_is_refused(value):
    with pytest.raises(ValidationError, match="is not a whole number above 0"):
        COUNT.validate_python(value)


@given(st.integers(0, 100), st.integers(0, 10_000))
def test_a_share_allows_exactly_its_part_of_the_rows(percent, rows):
    allowance = ALLOWANCE.validate_python(f"{percent}%")
    most = rows * percent // 100
    assert allowance.allows(most, rows)
    assert not allowance.allows(most + 1, rows)


@pytest.mark.parametrize(("text", "failed", "rows"), [("29%", 29, 100), ("0.1%", 1, 1_000), ("7 %", 7, 100)])
def test_a_share_is_counted_without_rounding(text, failed, rows):
    assert ALLOWANCE.validate_python(text).allows(failed, rows)


@given(st.integers(0, 10_000), st.integers(0, 10_000))
def test_a_count_allows_that_many_whatever_the_rows(count, rows):
    allowance = ALLOWANCE.validate_python(count)
    assert allowance.allows(count, rows)
    assert not allowance.allows(count + 1, rows)


def test_none_may_be_allowed_to_fail():
    assert ALLOWANCE.validate_python("0%") == FailureAllowance(Fraction(0), is_percent=True)
    assert not ALLOWANCE.validate_python(0).allows(1, 10**6)
    assert ALLOWANCE.validate_python(0).allows(0, 0)


@pytest.mark.parametrize("text", ["1 %", "0.5 %", "100 %", "0", "25"])
def test_an_allowance_is_shown_as_it_is_written(text):
    assert str(ALLOWANCE.validate_python(text)) == text


@pytest.mark.parametrize("value", ["1 %%", "%", "101%", "-1%", -1, 0.5, True, None, "all"])
def test_what_is_no_allowance_is_refused(value):
    with pytest.raises(ValidationError, match="is not an allowance"):
        ALLOWANCE.validate_python(value)


@pytest.mark.parametrize("value", ["a\u00a0b", "می‌خواهم", "日本"])
def test_a_line_may_hold_any_script(value):
    assert TypeAdapter(Line).validate_python(value) == value


@pytest.mark.parametrize("value", ["", " ", "a\nb", "a\u2028b", "a\x85b", "\x00"])
def test_a_line_is_one_line_with_something_in_it(value):
    with pytest.raises(ValidationError):
        TypeAdapter(Line).validate_python(value)
