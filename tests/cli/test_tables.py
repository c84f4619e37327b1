"""Tables in plain text: they fit, and what is in them stays in its cell."""

import pytest

from pipeline.cli import tables
from pipeline.cli.tables import bar, cells, fitted
from pipeline.cli.tables import table_lines as table


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "width", lambda: 40)


def test_a_text_is_cut_to_its_columns_also_where_characters_take_two_or_none() -> None:
    assert fitted("short", 8) == "short   "
    assert fitted("somewhat long", 8) == "somewha…"
    assert (fitted("日本語テキスト", 8), cells(fitted("日本語テキスト", 8))) == ("日本語… ", 8)
    assert cells("e\u0301") == 1
    assert cells(fitted("word " * 100_000, 20)) == 20


def test_a_cell_is_one_line_without_control_characters() -> None:
    lines = table(["text"], [["two\nlines\x1b[2J\u202e"]], wide=0)
    assert lines == ["  text", "  two lines\\x1b[2J\u202e"]


@pytest.mark.usefixtures("narrow")
def test_the_wide_column_gives_way_first() -> None:
    lines = table(
        ["id", "text", "label"], [["1", "x" * 100, "games"], ["10", "short", "sound"]], wide=1, right=(0,)
    )
    assert max(map(cells, lines)) < 40
    assert [line.split() for line in lines[1:]] == [["1", "x" * 25 + "…", "games"], ["10", "short", "sound"]]
    assert lines[1].startswith("   1  ")


@pytest.mark.usefixtures("narrow")
def test_the_others_give_way_where_that_is_not_enough() -> None:
    lines = table(["id", "text", "label"], [["i" * 50, "x" * 100, "l" * 20]], wide=1)
    assert max(map(cells, lines)) < 40


def test_a_bar_is_exact_to_half_a_column_and_what_is_there_is_seen() -> None:
    assert [bar(share, 4) for share in (0, 0.001, 0.5, 0.63, 1)] == ["", "╸", "━━", "━━╸", "━━━━"]
