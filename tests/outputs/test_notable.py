"""The rows that are worth reading are the least sure ones of all, and the first that failed for each reason."""

import numpy as np
import pyarrow as pa

from pipeline.outputs.notable import FAILED, LEAST_SURE, Notable


def statuses(*names: str) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(names, pa.string())])


def test_the_least_sure_rows_of_all_portions_are_kept_in_order() -> None:
    chance, kept = np.random.default_rng(3), Notable()
    sureness = chance.random(10_000)
    for start in range(0, 10_000, 777):
        some = sureness[start : start + 777]
        kept.add(statuses(*["ok"] * len(some)), (), some)
    assert kept.least_sure == np.argsort(sureness)[:LEAST_SURE].tolist()


def test_a_row_without_a_confidence_is_not_among_the_least_sure() -> None:
    kept = Notable()
    kept.add(statuses("ok", "ok", "error"), {"error"}, np.array([np.nan, 0.4, np.nan]))
    assert kept.least_sure == [1]


def test_the_first_rows_that_failed_are_kept_for_each_reason() -> None:
    kept = Notable()
    for _ in range(30):
        kept.add(statuses("ok", "error", "invalid"), {"error", "invalid"}, np.full(3, np.nan))
    assert kept.failed == {
        "error": list(range(1, 30, 3))[:FAILED],
        "invalid": list(range(2, 32, 3))[:FAILED],
    }


def test_rows_that_the_condition_excludes_have_no_number() -> None:
    kept = Notable()
    kept.add(
        statuses("skipped", "ok", "skipped", "error"), {"error"}, np.array([np.nan, 0.5, np.nan, np.nan])
    )
    kept.add(statuses("skipped", "ok"), (), np.array([np.nan, 0.1]))
    assert kept.failed == {"error": [1]}
    assert kept.least_sure == [2, 0]
