"""What is a condition on a row, what is refused, and what is said about it."""

import pyarrow as pa
import pytest

from pipeline.errors import ConfigError, InputDataError
from pipeline.inputs.where.expression import parse

ROWS = pa.record_batch(
    {
        "section": ["net", "mail", None, "net"],
        "n": pa.array([1, 2, 3, None], pa.int64()),
        "price": ["1.5", "free", "7", None],
        "day": pa.array([20_000, 20_001, 20_002, None], pa.date32()),
        "tags": [["a"], [], ["a", "b"], None],
        "review.text": ["good", "bad", "", "good"],
        "two\nlines": ["a", "b", "c", "d"],
        "kind": pa.array(["x", "y", "x", "y"]).dictionary_encode(),
        "view": pa.array(["x", "y", "x", "y"], pa.string_view()),
        "is_new": [True, False, None, True],
        "more": [{"stars": stars} for stars in (1, 5, 3, 4)],
        "span": pa.array([None] * 4, pa.month_day_nano_interval()),
    }
)


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("section = 'net'", [0, 3]),
        ("section <> 'net'", [1]),
        ("section is null or section = 'mail'", [1, 2]),
        ("not (section = 'net')", [1]),
        ("section in ('mail', 'news')", [1]),
        ("n not in (1, 2)", [2]),
        ("section = 'net'\n  and length(\"review.text\") > 2 -- of some length", [0, 3]),
        ("\"two\nlines\" >= 'c'", [2, 3]),
        ("n between 2 and 3", [1, 2]),
        ("section like 'n%' and n = 1", [0]),
        ("try_cast(price as double) > 2", [2]),
        ("day > date '2024-10-04'", [1, 2]),
        ("array_contains(tags, 'b')", [2]),
        ("kind = 'y' and view = 'y'", [1, 3]),
        ("is_new", [0, 3]),
        ("more.stars > 3", [1, 3]),
        ("case when n > 1 then 'late' else section end = 'late'", [1, 2]),
        ("n > 0 or true", [0, 1, 2, 3]),
    ],
)
def test_a_row_matches_if_the_condition_is_true_for_it_and_not_if_that_is_unknown(text, rows):
    where = parse(text, ROWS.schema)
    assert [row for row, matches in enumerate(where.matches(ROWS).to_pylist()) if matches] == rows
    assert where.matches(ROWS).null_count == 0


def test_it_reads_only_the_columns_that_it_names():
    assert parse("n = 1 and section = 'net' or n = 2", ROWS.schema).columns == ("n", "section")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("secton = 'net'", "the input has no column 'secton'; did you mean 'section'?"),
        ("Section = 'net'", "the input has no column 'Section'; did you mean 'section'?"),
        ("review.text = 'good'", "the input has no column 'review'; did you mean 'review.text'?"),
        ('section = "net"', "the input has no column 'net'; names that are no plain words stand in \"double"),
        ("section = ", "is no SQL expression on a row: unable to parse"),
        ("n = 1; drop table x", "is no SQL expression on a row: invalid expression"),
        ("n in (select 1)", "is no SQL expression on a row:"),
        ("random() > n", "is no SQL expression on a row: unsupported function 'random'"),
        ("n > 1 limit 2", "is no SQL expression on a row:"),
        ("columns('n') > 1", "is no SQL expression on a row:"),
        ("n > avg(n)", 'looks beyond the row in col("n").mean(); leave out aggregates'),
        ("count(*) > n", "looks beyond the row in len()"),
        ("first(n) = n", "looks beyond the row in"),
        ("lag(n) over (order by n) = 1", "looks beyond the row in"),
        ("row_number() over (order by n) = n", "looks beyond the row in"),
        ("sum(n) over (partition by section) > 1", "looks beyond the row in"),
        ("unnest(tags) = 'a'", "looks beyond the row in"),
        ("1 = 1", "names no column; compare one"),
        ("section", "is neither true nor false; compare something"),
        ("n + 1", "is neither true nor false; compare something"),
        ("price > 2", "does not fit the columns (price is string): cannot compare string with numeric type"),
        ("n > '2'", "does not fit the columns (n is int64):"),
        ("day > '2024-10-04'", "does not fit the columns (day is date32[day]):"),
        ("span is null", "does not fit the columns (span is month_day_nano_interval):"),
    ],
)
def test_what_is_no_condition_on_a_row_is_refused_and_says_what_to_do(text, sentence):
    with pytest.raises(ConfigError) as caught:
        parse(text, ROWS.schema)
    (problem,) = caught.value.problems
    assert problem.startswith(f"input.where: {sentence}")
    assert "\n" not in problem
    assert "; " in problem


def test_a_name_that_two_columns_have_is_refused():
    schema = pa.schema([("a", pa.string()), ("a", pa.string()), ("b", pa.string())])
    with pytest.raises(ConfigError, match="2 columns named 'a'; rename all but one"):
        parse("a = 'x'", schema)
    assert parse("b = 'x'", schema).columns == ("b",)


def test_a_cell_for_which_it_cannot_be_computed_is_named_with_the_way_out():
    with pytest.raises(InputDataError, match=r"input\.where: .*\"free\".*; try_cast"):
        parse("cast(price as double) > 2", ROWS.schema).matches(ROWS)


def test_a_condition_is_another_one_with_another_text_and_with_another_today():
    net, mail = (parse(f"section = '{name}'", ROWS.schema) for name in ("net", "mail"))
    assert net.identity != mail.identity
    assert net.identity == parse("section = 'net'", ROWS.schema).identity
    first, later = (parse("day < now()", ROWS.schema) for _ in range(2))
    assert first.identity != later.identity
