"""The small model that the student is."""

import numpy as np
import pytest

from pipeline.student.model import Student, out_of_fold

NAMES = ["cars", "boats", "ice"]
WORDS = {"cars": "wheel road engine", "boats": "sail water hull", "ice": "frost"}


def lesson(rows: int, seed: int = 0) -> tuple[list[str], list[tuple[str, ...]]]:
    """Texts about cars or boats, one in fifty about ice, with much else in them."""
    random = np.random.default_rng(seed)
    truth = [str(name) for name in random.choice(NAMES, rows, p=[0.49, 0.49, 0.02])]
    texts = [
        " ".join([*random.permutation(WORDS[name].split()), *(f"w{n}" for n in random.integers(0, 500, 8))])
        for name in truth
    ]
    return texts, [(name,) for name in truth]


def taught(**settings: object) -> Student:
    student = Student(NAMES, single=True, **settings)  # type: ignore[arg-type]
    texts, answers = lesson(600)
    return student.fit(student.features(texts), answers)


def test_it_learns_and_is_sure_of_what_it_has_learned() -> None:
    texts, truth = lesson(400, seed=1)
    found = taught().propose(texts)
    right = np.array([said == true for said, true in zip(found.labels, truth, strict=True)])
    assert right.mean() > 0.95
    assert found.scores[right].mean() > 0.8
    assert ((found.scores >= 0) & (found.scores <= 1)).all()


def test_the_same_lesson_makes_the_same_student() -> None:
    first, second = taught(), taught()
    texts, _ = lesson(50, seed=2)
    assert first.fingerprint == second.fingerprint
    assert (first.propose(texts).scores == second.propose(texts).scores).all()


def test_scores_out_of_fold_are_of_rows_that_the_student_has_not_seen() -> None:
    texts, answers = lesson(600)
    random = np.random.default_rng(0)
    shuffled = [answers[row] for row in random.permutation(600)]
    student = Student(NAMES, single=True)
    _, agree, _ = out_of_fold(lambda: Student(NAMES, single=True), student.features(texts), shuffled)
    assert agree.mean() < 0.6  # there is nothing to learn; those it was taught by it would know by heart
    _, agree, _ = out_of_fold(lambda: Student(NAMES, single=True), student.features(texts), answers)
    assert agree.mean() > 0.95


def test_a_label_that_is_always_asked_is_likely_where_it_is_likelier_than_elsewhere() -> None:
    found = taught(reserved=["ice"]).propose(["frost w1 w2", "wheel road engine w3", "hull sail water"])
    assert found.likely.tolist() == [True, False, False]
    assert not taught().propose(["frost w1 w2"]).likely.any()


def test_a_label_that_no_answer_has_is_never_said() -> None:
    student = Student([*NAMES, "never"], single=True)
    texts, answers = lesson(600)
    student.fit(student.features(texts), answers)
    assert ("never",) not in student.propose(texts).labels


@pytest.mark.parametrize("text", ["", "   ", "\n", "!!!", "世界"])
def test_a_text_without_known_words_is_no_error(text: str) -> None:
    assert len(taught().propose([text]).labels) == 1


def test_several_labels_are_as_sure_as_the_least_sure_of_them() -> None:
    random = np.random.default_rng(0)
    sets = [tuple(name for name in NAMES if random.random() < 0.5) for _ in range(600)]
    texts = [" ".join([*(WORDS[name] for name in names), f"w{random.integers(500)}"]) for names in sets]
    student = Student(NAMES, single=False)
    student.fit(student.features(texts), sets)
    found = student.propose(["wheel road engine sail water hull", "w1"])
    assert found.labels == [("cars", "boats"), ()]
    assert (found.scores > 0.5).all()
