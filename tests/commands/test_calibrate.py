"""What `calibrate` learns and keeps, and what it leaves as it is."""

from pathlib import Path

import pytest

from pipeline.commands.answered import answered_rows, readable
from pipeline.commands.calibrate import calibrate, remove
from pipeline.commands.evaluate import evaluate
from pipeline.errors import InputDataError, LockedError
from pipeline.job.workspace import workspace
from tests.jobs import JobFiles
from tests.judged import Reply, answer_rows, jobs_without_server, tickets


@pytest.fixture
def job(tmp_path: Path) -> JobFiles:
    """Tickets that a model is too sure about."""
    frame, replies = tickets(400, right=0.7)
    job = jobs_without_server(tmp_path, gold="gold")
    job.table(frame)
    sure = [Reply(reply.labels, 1 - (1 - (reply.confidence or 0)) / 20) for reply in replies]
    answer_rows(job, sure)
    return job


def published(job: JobFiles) -> list[tuple[tuple[str, ...], float]]:
    with readable(job.config()) as made:
        return [
            (outcome.labels, outcome.confidence or 0.0)
            for part in answered_rows(made)
            for outcome in part.outcomes
            if outcome is not None
        ]


def test_confidences_become_true_surer_rows_stay_surer_and_no_label_changes(job: JobFiles) -> None:
    before, error = published(job), evaluate(job.config()).ece
    found = calibrate(job.config())
    after = published(job)
    assert [labels for labels, _ in after] == [labels for labels, _ in before]
    order = sorted(range(400), key=lambda row: before[row][1])
    rising = [after[row][1] for row in order]
    assert rising == sorted(rising)
    judged = evaluate(job.config())
    assert (found.fit.method, judged.calibrated) == ("platt", True)
    assert found.fit.before.ece == error
    assert found.fit.before.ece > 0.2
    assert found.fit.after.ece < found.fit.before.ece
    assert found.fit.after.brier < found.fit.before.brier


def test_learning_again_starts_from_reported_confidences(job: JobFiles) -> None:
    first = calibrate(job.config())
    assert calibrate(job.config()).fit == first.fit


def test_a_removed_calibration_is_gone(job: JobFiles) -> None:
    before = published(job)
    calibrate(job.config())
    assert published(job) != before
    assert remove(job.config())
    assert published(job) == before
    assert not remove(job.config())


def test_rows_that_are_unsure_teach_as_well(job: JobFiles) -> None:
    plain = calibrate(job.config()).fit
    job.set(task={"unsure_below": 0.97})
    assert calibrate(job.config()).fit == plain


def test_fewer_than_50_rows_with_a_right_label_are_refused_and_nothing_is_kept(tmp_path: Path) -> None:
    frame, replies = tickets(49)
    job = jobs_without_server(tmp_path, gold="gold")
    job.table(frame)
    answer_rows(job, [*replies])
    with pytest.raises(InputDataError, match="at least 50"):
        calibrate(job.config())
    assert not list((tmp_path / "state").glob("decisions/*"))


def test_without_confidences_there_is_nothing_to_learn_from(tmp_path: Path) -> None:
    frame, replies = tickets(60)
    job = jobs_without_server(tmp_path, gold="gold")
    job.table(frame)
    answer_rows(job, [Reply(reply.labels) for reply in replies])
    with pytest.raises(InputDataError, match="log-probabilities"):
        calibrate(job.config())


def test_a_run_that_is_on_is_not_disturbed(job: JobFiles) -> None:
    config = job.config()
    with workspace(config.state.dir, config.output.path).locked(), pytest.raises(LockedError):
        calibrate(config)


def test_kind_multi_is_right_where_all_labels_are(tmp_path: Path) -> None:
    frame, replies = tickets(120, right=0.7)
    job = jobs_without_server(tmp_path, gold="gold", kind="multi")
    job.table(frame.with_columns(gold=frame["gold"].cast(str) + ";mail"))
    both = [
        Reply([str(reply.labels), "mail"], reply.confidence) if n % 2 else Reply([str(reply.labels)], 0.3)
        for n, reply in enumerate(replies)
    ]
    answer_rows(job, both)
    found = calibrate(job.config())
    right = sum({*each.labels} == {gold, "mail"} for each, gold in zip(both, frame["gold"], strict=True))
    assert found.fit.rows == 120
    assert sum(round(each.right * each.rows) for each in found.fit.before.table) == right
