"""Counts over the rows of the output: all rows count, but only this run's tokens are billed."""

import json

import pyarrow as pa
import pytest

from pipeline.outputs.columns import published
from pipeline.outputs.tally import Tally
from pipeline.records import Outcome, Prompt, Status
from tests.answers import answer, key, made_part, prompt

OK = Outcome(Status.OK, ("games",))


def new_columns(batch: pa.RecordBatch, duplicates: list[bool]) -> pa.Table:
    return pa.Table.from_batches([published(batch, pa.array(duplicates))])


def tally(*portions: tuple[list[tuple[object, Outcome]], list[bool]], kind: str = "single") -> Tally:
    found = Tally("run-1")
    for rows, duplicates in portions:
        prompts = [prompt(number) for number, _ in enumerate(rows)]
        found.add(new_columns(made_part(kind, prompts, rows), duplicates))
    return found


def test_only_what_this_run_paid_for_is_on_its_bill() -> None:
    rows = [(answer(0), OK), (answer(1, run="run-0"), OK), (answer(2), OK)]
    found = tally((rows, [False, False, True]))
    assert (found.rows, found.reused, found.duplicates) == (3, 1, 1)
    assert (found.prompt_tokens, found.cached_tokens, found.completion_tokens) == (100, 10, 5)
    assert found.cost_usd == 0.25


def test_counts_of_several_batches_add_up() -> None:
    one = ([(answer(0), OK)], [False])
    found = tally(one, one, one)
    assert (found.rows, found.ok, found.prompt_tokens, found.cost_usd) == (3, 3, 300, 0.75)
    assert found.labels == {"games": 3}


@pytest.mark.parametrize(("costs", "total"), [([None, None], None), ([None, 0.5], 0.5), ([0.0, None], 0.0)])
def test_the_cost_is_unknown_only_if_no_row_has_one(costs: list[float | None], total: float | None) -> None:
    found = tally(*([([(answer(0, cost_usd=cost), OK)], [False]) for cost in costs]))
    assert found.cost_usd == total


def test_failed_rows_are_all_that_have_text_and_no_labels() -> None:
    outcomes = [
        OK,
        *(Outcome(status, error=f"it was {status}") for status in Status if status is not Status.OK),
    ]
    rows = [(answer(n), outcome) for n, outcome in enumerate(outcomes)]
    found = tally((rows, [False] * len(rows)))
    assert (found.ok, found.failed, found.rows) == (1, 5, 9)
    assert found.errors["refused"] == "it was refused"
    assert not {"ok", "empty"} & set(found.errors)


def test_every_label_of_a_row_with_several_is_counted() -> None:
    rows = [(answer(0), Outcome(Status.OK, ("games", "sound"))), (answer(1), Outcome(Status.OK))]
    assert tally((rows, [False, False]), kind="multi").labels == {"games": 1, "sound": 1}


def test_a_report_of_nothing_is_json_too() -> None:
    assert json.loads(json.dumps(Tally("run-1").as_dict())) == {
        "statuses": {}, "labels": {}, "errors": {}, "truncated": 0,
        "confidence": {"mean": None, "bins": [0] * 20}, "notable": {"failed": {}, "least_sure": []},
    }  # fmt: skip


def test_cut_texts_are_counted() -> None:
    batch = made_part("single", [Prompt(key(0), "a", truncated=True)], [(answer(0), OK)])
    found = Tally("run-1")
    found.add(new_columns(batch, [False]))
    assert found.truncated == 1
