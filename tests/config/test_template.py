"""Templates: text with {column} names."""

import re
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config.template import Column, column_names, parse_template, render_rows

NAMES = st.text(
    st.characters(exclude_characters="{}", exclude_categories=["Cs"]), min_size=1, max_size=8
).filter(str.strip)
CELLS = st.none() | st.text(max_size=8)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("{a}", (Column("a"),)),
        ("{a}\n{b}", (Column("a"), "\n", Column("b"))),
        ("x {a}{b} y", ("x ", Column("a"), Column("b"), " y")),
        ("{{{a}}}", ("{", Column("a"), "}")),
        ("{{a}} {b c}", ("{a} ", Column("b c"))),
        ("{0}{ü-€}", (Column("0"), Column("ü-€"))),
    ],
)
def test_a_template_is_split_into_texts_and_columns(text, parts):
    assert parse_template(text) == parts


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "names no column; write {column} where the row's text belongs"),
        ("{{a}}", "names no column; write {column} where the row's text belongs"),
        (
            "ab{",
            "has a single { at character 3; write {{ for a brace, and rename a column whose name holds one",
        ),
        (
            "{a}}",
            "has a single } at character 4; write }} for a brace, and rename a column whose name holds one",
        ),
        (
            "{a{b}",
            "has a single { at character 1; write {{ for a brace, and rename a column whose name holds one",
        ),
        ("x{}", "has empty braces at character 2; put a column's name between them"),
        ("{ }", "has empty braces at character 1; put a column's name between them"),
    ],
)
def test_a_template_that_cannot_be_filled_says_why(text, sentence):
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        parse_template(text)


@pytest.mark.parametrize(
    "name", ["review.text", "Comment (free text)", "Q1: why?", "text[en]", "a!r", "a:>3", " a", "a\nb", "0"]
)
def test_what_stands_between_the_braces_is_the_columns_name_as_it_stands(name):
    assert parse_template(f"<{{{name}}}>") == ("<", Column(name), ">")
    assert render_rows(f"<{{{name}}}>", {name: ["x"]}) == ["<x>"]
    assert render_rows(f"{{{name}}} {{other}}", {name: ["x"], "other": ["y"]}) == ["x y"]


@given(st.text(alphabet="{}ab.[]!: \n\0€"))
def test_any_text_is_a_template_or_refused_in_one_line(text):
    with suppress(ValueError):
        assert column_names(parse_template(text))
        return
    with pytest.raises(ValueError, match=r"^[^\n\0]+; [^\n\0]+$"):
        parse_template(text)


@given(st.lists(st.text(max_size=5) | NAMES.map(Column), max_size=8))
def test_a_written_template_is_read_back(parts):
    parts = [*parts, Column("last")]
    text = "".join(
        part.replace("{", "{{").replace("}", "}}") if isinstance(part, str) else f"{{{part.name}}}"
        for part in parts
    )
    read = parse_template(text)
    assert all(read)
    assert column_names(read) == column_names(tuple(parts))
    assert "".join(part if isinstance(part, str) else part.name for part in read) == "".join(
        part if isinstance(part, str) else part.name for part in parts
    )


def test_columns_come_once_in_the_order_of_their_first_use():
    assert column_names(parse_template("{b}{a}{b}")) == ("b", "a")


def test_rows_are_rendered_in_order():
    columns = {"a": ["1", "2"], "b": ["x", "y"], "unused": ["", ""]}
    assert list(render_rows("{b}: {a} {{%s}} {b}", columns)) == ["x: 1 {%s} x", "y: 2 {%s} y"]


def test_a_null_among_other_cells_is_rendered_as_nothing():
    assert list(render_rows("{a}-{b}", {"a": [None, "1"], "b": ["x", None]})) == ["-x", "1-"]


def test_a_row_without_text_is_not_rendered():
    assert list(render_rows("text: {a}{b}", {"a": [None, "", " \n"], "b": [None, None, "\t"]})) == [None] * 3


def test_columns_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match="shorter"):
        list(render_rows("{a}{b}", {"a": ["1", "2"], "b": ["x"]}))


@given(st.lists(st.tuples(CELLS, CELLS), max_size=5))
def test_a_cell_is_rendered_unchanged(rows):
    columns = {"a": [first for first, _ in rows], "b": [second for _, second in rows]}
    expected = [f"{a or ''}|{b or ''}" if (a or "").strip() or (b or "").strip() else None for a, b in rows]
    assert list(render_rows("{a}|{b}", columns)) == expected
