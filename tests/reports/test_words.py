"""Texts are shown on a page as they are, but for what would spoil it."""

from pipeline.reports.words import clean


def test_characters_that_turn_the_direction_or_that_a_page_must_not_have_are_shown_as_unknown() -> None:
    assert clean("a\u202eb\x00c\ud800d\x1be\u2066f\ng\th") == "a�b�c�d�e�f\ng\th"
    assert clean("x" * 50, 10) == "x" * 9 + "…"
