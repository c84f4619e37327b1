"""Labels are compared by their characters, however these are encoded; letters that look alike are different."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.tasks.spelling import find_last, fold
from tests.tasks.make import answer, parser


@pytest.mark.parametrize(
    ("label", "said"),
    [
        ("caf\u00e9", "cafe\u0301"),
        ("cafe\u0301", "CAF\u00c9"),
        ("power tools", "power\u00a0tools"),
        ("power tools", " Power  tools\n"),
        ("children's", "children\u2019s"),
        ("children\u2019s", "Children's"),
    ],
)
def test_the_same_characters_encoded_otherwise_are_the_same_label(label: str, said: str) -> None:
    outcome = parser(labels=[label, "other"]).outcome(answer(orjson.dumps({"label": said}).decode()))
    assert outcome.labels == (label,)


def test_labels_that_differ_by_their_apostrophe_alone_are_told_apart_and_never_mixed_up() -> None:
    two = parser(labels=["it's", "it\u2019s"])
    assert [two.outcome(answer(said)).labels for said in ("it's", "it\u2019s", "IT'S")] == [
        ("it's",),
        ("it\u2019s",),
        (),
    ]


@given(
    before=st.text(max_size=5),
    label=st.sampled_from(["games", "caf\u00e9", "power tools"]),
    after=st.just("}"),
)
def test_a_label_is_found_where_it_stands(before: str, label: str, after: str) -> None:
    start, stop = find_last(before + label.upper() + after, label) or (0, 0)
    assert fold((before + label.upper() + after)[start:stop]) == fold(label)
    assert (start, stop) == (len(before), len(before) + len(label))


@pytest.mark.parametrize(
    ("text", "label"), [("gam", "games"), ("g\u0430mes", "games"), ("", "games"), ("x", " ")]
)
def test_what_is_not_there_is_not_found(text: str, label: str) -> None:
    assert find_last(text, label) is None
