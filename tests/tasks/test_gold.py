import pytest

from pipeline.config import TaskSettings
from pipeline.errors import InputDataError
from pipeline.tasks.gold import Agreement, GoldReader


def reader(kind: str = "single", *labels: str, null_words: tuple[str, ...] = ()) -> GoldReader:
    task = {"kind": kind, "instructions": "i", "text": "{t}", "labels": labels or ("games", "sound", "a, b")}
    return GoldReader(TaskSettings.model_validate(task), null_words)


@pytest.mark.parametrize(
    ("cell", "labels"),
    [
        (None, None),
        ("  ", None),
        ("games", {"games"}),
        ("games; sound|mail", {"games", "sound", "mail"}),
        ("games, a, b", {"games", "a, b"}),
        ('["a, b", "sound"]', {"a, b", "sound"}),
        ("['games', 'sound']", {"games", "sound"}),
        ("[]", set()),
        ([], set()),
        (["games", " Sound "], {"games", "sound"}),
        ("[games", {"[games"}),
    ],
)
def test_a_cell_has_several_labels_in_any_of_the_usual_forms(cell: object, labels: set[str] | None) -> None:
    found = reader("multi").labels(cell)
    assert found == labels if labels is None else set(found or ()) == labels


def test_a_cell_that_names_one_label_may_have_a_comma() -> None:
    assert reader().labels("a, b") == {"a, b"}
    with pytest.raises(InputDataError, match="names 2 right labels"):
        reader().labels(["games", "sound"])


def test_words_for_nothing_are_no_labels_unless_the_task_has_one_of_that_name() -> None:
    assert reader(null_words=("NULL",)).labels("NULL") is None
    assert reader("single", "NULL", "sound", null_words=("NULL",)).labels("NULL") == {"NULL"}


def test_rows_are_right_with_exactly_their_labels_and_count_where_these_are_known() -> None:
    agreement = Agreement(reader("multi"))
    agreement.add(
        [
            (["games", "sound"], "sound;games"),
            (["games"], "sound;games"),
            ([], "[]"),
            (None, "games"),
            (["games"], None),
            (["games"], ["games"]),
        ]
    )
    assert (agreement.right, agreement.rows) == (3, 5)


def test_a_cell_that_cannot_be_understood_is_not_right() -> None:
    agreement = Agreement(reader())
    agreement.add([(["games"], ["games", "sound"]), (["games"], "games")])
    assert (agreement.right, agreement.rows) == (1, 2)
