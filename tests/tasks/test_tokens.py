"""A cut text is a prefix, whole characters, and within its bound."""

from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.tasks.tokens import BYTES_PER_TOKEN, cut, estimate_tokens


@given(st.text(st.characters(exclude_categories=["Cs"])), st.integers(1, 20))
@example("abcd", 1)
@example("abcde", 1)
@example("abc😀", 1)
@example("世界", 1)
def test_a_cut_text_is_the_longest_prefix_of_whole_characters_within_the_bound(text: str, limit: int) -> None:
    kept, was_cut = cut(text, limit)
    room = limit * BYTES_PER_TOKEN - len(kept.encode())
    assert text.startswith(kept)
    assert room >= 0
    assert was_cut == (kept != text)
    assert not was_cut or len(text[len(kept)].encode()) > room


@given(st.text(st.characters(exclude_categories=["Cs"])), st.integers(1, 20))
def test_cutting_twice_is_cutting_once(text: str, limit: int) -> None:
    kept, _ = cut(text, limit)
    assert cut(kept, limit) == (kept, False)


@given(st.text())
def test_cutting_and_estimating_never_fail(text: str) -> None:
    cut(text, 1)
    assert estimate_tokens(text) >= 0


def test_four_bytes_are_a_token_and_a_part_of_one_counts_as_one() -> None:
    assert [estimate_tokens(text) for text in ("", "abcd", "abcde", "世界")] == [0, 1, 2, 2]
