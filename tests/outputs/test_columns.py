"""The new columns of a row."""

import pyarrow as pa
import pytest

from pipeline.outputs.columns import Answered, failed_rows, output_names, part_batch, part_schema, published
from pipeline.records import Answers, Outcome, Prompt, Status, columns_by_name
from tests.answers import answer, answers, key, made_part, part, prompt, prompts


def row(outcome: Outcome, kind: str = "single", **changes: object) -> dict[str, object]:
    batch = made_part(kind, [prompt(1)], [(answer(1, **changes), outcome)])
    return batch.to_pylist()[0]


def test_a_row_holds_what_its_answer_says_and_costs() -> None:
    found = row(Outcome(Status.OK, ("games",), 0.75))
    assert found == {
        "key": key(1), "label": "games", "label_status": "ok", "label_source": None, "label_confidence": 0.75, "label_error": None,
        "label_truncated": False, "label_model": "test-model", "label_run": "run-1", "prompt_tokens": 100,
        "cached_tokens": 10, "completion_tokens": 5, "cost_usd": 0.25,
    }  # fmt: skip


@pytest.mark.parametrize("status", [status for status in Status if status not in {Status.OK, Status.UNSURE}])
def test_only_a_row_that_is_ok_or_unsure_has_a_label(status: Status) -> None:
    found = row(Outcome(status, ("games",), error="so it is"))
    assert (found["label"], found["label_status"], found["label_error"]) == (None, status.value, "so it is")


def test_several_labels_are_a_list_and_none_of_them_fits_is_an_empty_one() -> None:
    assert row(Outcome(Status.OK, ("games", "sound")), "multi")["labels"] == ["games", "sound"]
    assert row(Outcome(Status.OK), "multi")["labels"] == []
    assert row(Outcome(Status.INVALID), "multi")["labels"] is None


def test_unreported_tokens_and_costs_stay_null() -> None:
    found = row(Outcome(Status.OK, ("games",)), prompt_tokens=None, cost_usd=None)
    assert (found["prompt_tokens"], found["cost_usd"]) == (None, None)


def test_a_row_without_text_is_empty_and_free() -> None:
    found = part([None]).to_pylist()[0]
    assert (found["label_status"], found["label_run"], found["prompt_tokens"], found["cost_usd"]) == (
        "empty", None, 0, 0.0,
    )  # fmt: skip


def test_a_cut_text_is_marked_in_its_own_row_only() -> None:
    rows = [Prompt(key(1), "a", truncated=True), Prompt(key(1), "a", truncated=False)]
    batch = made_part("single", rows, [(answer(1), Outcome(Status.OK, ("games",)))])
    assert batch.column("label_truncated").to_pylist() == [True, False]


def test_a_part_without_rows_has_the_schema() -> None:
    assert part([]).schema == part_schema("single")


def test_batches_and_single_answers_end_up_in_the_rows_of_their_keys() -> None:
    labels = ["games", "sound", "mail", "chat"]
    outcomes = [Outcome(Status.OK, (label,), 0.5) for label in labels]
    found, answered = answers(0, 4), Answered()
    answered.add(found[2], outcomes[2])
    known = {name: column[:2] for name, column in columns_by_name(Outcome._fields, outcomes).items()}
    answered.add_all(Answers.of(found[:2]), known)
    answered.add(found[3], outcomes[3])
    rows = [prompt(3), None, prompt(1), prompt(0), prompt(3), prompt(2)]
    batch = part_batch("single", prompts(*rows), answered)
    assert len(answered) == 4
    assert batch.column("label").to_pylist() == ["chat", None, "sound", "games", "chat", "mail"]
    assert batch.column("key").to_pylist() == [each and each.key for each in rows]


def test_failed_rows_have_text_and_no_labels() -> None:
    outcomes = [Outcome(Status.OK, ("games",)), Outcome(Status.INVALID), Outcome(Status.ERROR)]
    meant = [(answer(n), outcome) for n, outcome in enumerate(outcomes)]
    assert failed_rows(made_part("single", [prompt(0), prompt(1), prompt(2), None], meant)) == 2


def test_a_duplicate_says_so_and_costs_nothing_but_keeps_its_label() -> None:
    plain = published(part([1, 1, None]), pa.array([False, True, False])).to_pydict()
    assert plain["label_source"] == ["model", "duplicate", "none"]
    assert plain["prompt_tokens"] == [100, 0, 0]
    assert plain["cost_usd"] == [0.25, 0.0, 0.0]
    assert plain["label"] == ["games", "games", None]
    assert plain["label_run"] == ["run-1", "run-1", None]


@pytest.mark.parametrize("kind", ["single", "multi"])
def test_what_is_published_is_named_and_ordered_as_announced(kind: str) -> None:
    names = published(part([1], kind), pa.array([False])).schema.names
    assert [f"x_{name}" for name in names] == output_names(kind, "x_")
    assert "key" not in names
