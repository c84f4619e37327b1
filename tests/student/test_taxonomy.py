"""What has become of labels: which stay, under which name, and which have to be asked about."""

import pytest

from pipeline.config import LabelSettings, TaskSettings
from pipeline.student.taxonomy import Taxonomy, called_as_before, unknown_pasts


def task(*labels: str | dict[str, object], **more: object) -> TaskSettings:
    return TaskSettings(
        instructions="x",
        text="{text}",
        labels=tuple(LabelSettings.model_validate(each) for each in labels),
        **more,
    )  # type: ignore[arg-type]


OLD = task("a", "b", "c", "d", "e", "f")
NEW = task(
    {"name": "A", "was": "a"},
    {"name": "bc", "was": ["b", "c"]},
    "d",
    {"name": "d2", "was": "d"},
    {"name": "e", "description": "other"},
    "new",
)


def test_each_change_has_its_kind() -> None:
    found = [(each.kind, str(each)) for each in Taxonomy(OLD, NEW).changes]
    assert found == [
        ("rename", "a → A"),
        ("merge", "b, c → bc"),
        ("split", "d → d, d2"),
        ("remove", "f"),
        ("edit", "e"),
        ("add", "new"),
    ]


@pytest.mark.parametrize(
    ("labels", "now"),
    [
        (["a"], ("A",)),
        (["b", "c"], ("bc",)),
        (["a", "b"], ("A", "bc")),
        ([], ()),
        (["d"], None),
        (["e"], None),
        (["f"], None),
        (["a", "f"], None),
    ],
)
def test_what_must_be_asked_is_what_is_gone_or_split_or_edited(
    labels: list[str], now: tuple[str, ...] | None
) -> None:
    assert Taxonomy(OLD, NEW).carried(labels) == now


def test_a_row_with_more_labels_than_it_may_have_now_is_asked() -> None:
    taxonomy = Taxonomy(task("a", "b", kind="multi"), task("a", "b", kind="multi", max_labels=1))
    assert taxonomy.carried(["a"]) == ("a",)
    assert taxonomy.carried(["a", "b"]) is None


def test_a_label_that_takes_another_in_is_a_merge_though_it_keeps_its_name() -> None:
    taxonomy = Taxonomy(task("a", "b"), task({"name": "a", "was": "b"}, "x"))
    assert taxonomy.carried(["b"]) == taxonomy.carried(["a"]) == ("a",)
    assert taxonomy.is_merged(["a"])
    assert taxonomy.is_merged(["b"])


def test_labels_that_mean_what_they_meant_are_settled_and_those_that_nothing_was_are_added() -> None:
    taxonomy = Taxonomy(OLD, NEW)
    assert taxonomy.settled == {"A", "bc"}
    assert taxonomy.added == {"new"}


def test_a_renamed_task_is_the_old_one_once_its_labels_and_examples_are_called_as_before() -> None:
    old = task("a", "b", examples=[{"text": "t", "label": "a"}])
    new = task({"name": "z", "was": "a"}, "b", examples=[{"text": "t", "label": "z"}])
    before = called_as_before(old, new)
    assert before is not None
    assert [label.name for label in before.labels] == ["a", "b"]
    assert before.examples == old.examples


@pytest.mark.parametrize(
    "new",
    [
        task("a", "b", "c"),
        task("a", "x"),
        task({"name": "a", "was": "b"}, "c"),
        task({"name": "a", "description": "x"}, "b"),
    ],
)
def test_a_task_with_other_labels_is_no_renamed_one(new: TaskSettings) -> None:
    assert called_as_before(task("a", "b"), new) is None


def test_pasts_that_the_old_task_does_not_have_are_named_with_their_places() -> None:
    new = task("a", {"name": "x", "was": ["b", "z"]})
    assert unknown_pasts(task("a", "b"), new) == [(1, 1, "z")]
