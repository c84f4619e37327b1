"""What `calibrate` learns and keeps, and what it leaves as it is."""

from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.commands.answered import answered_rows, readable
from pipeline.commands.calibrate import calibrate, of_second, remove
from pipeline.commands.check import check
from pipeline.commands.evaluate import evaluate
from pipeline.errors import InputDataError, LockedError
from pipeline.job.decisions import save_calibration
from pipeline.job.workspace import workspace
from pipeline.records import Status
from pipeline.tasks.calibration import Calibration
from tests.jobs import JobFiles, command
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


@pytest.fixture
def both(tmp_path: Path) -> JobFiles:
    """Tickets that two models are too sure about, the second one of every other row: it is put to that for being unsure."""
    frame, replies = tickets(600, right=0.7)
    job = jobs_without_server(tmp_path, gold="gold")
    job.table(frame)
    answer_rows(job, [Reply(each.labels, 0.4 if row % 2 else 0.99) for row, each in enumerate(replies)])
    first = job.settings["model"]
    job.settings["model"] = {**first, "name": "big"}
    sure = [Reply(each.labels, 1 - (1 - (each.confidence or 0)) / 20) for each in replies]
    answer_rows(job, [each if row % 2 else None for row, each in enumerate(sure)])
    job.settings["model"] = first
    return job.set(escalate={"model": "big", "below": 0.5})


@pytest.mark.slow
def test_what_is_learned_of_one_model_is_not_applied_to_the_answers_of_the_other(both: JobFiles) -> None:
    before = published(both)
    found = calibrate(of_second(both.config()), "gold")
    after = published(both)
    assert found.fit.rows == 300
    assert found.fit.after.ece < found.fit.before.ece
    assert after[::2] == before[::2]
    assert all(new < old for (_, old), (_, new) in zip(before[1::2], after[1::2], strict=True))
    assert [labels for labels, _ in after] == [labels for labels, _ in before]
    with readable(both.config()) as job:
        assert job.second_calibration is not None
        assert (job.calibration, job.is_calibrated) == (None, False)
        save_calibration(
            job.config.state.dir, job.task.fingerprint, Calibration("temperature", 0.5, 0.0, 300)
        )
    assert remove(of_second(both.config()))
    others = published(both)
    assert others[1::2] == before[1::2]
    assert all(new < old for (_, old), (_, new) in zip(before[::2], others[::2], strict=True))


def test_which_rows_are_unsure_is_decided_by_what_the_confidence_of_their_own_model_is_worth(
    both: JobFiles,
) -> None:
    both.set(task={"unsure_below": 0.9})

    def unsure() -> set[int]:
        with readable(both.config()) as job:
            parts = [part for part in answered_rows(job) for part in part.outcomes]
        return {row % 2 for row, each in enumerate(parts) if each and each.status is Status.UNSURE}

    assert unsure() == set()
    calibrate(of_second(both.config()))
    assert unsure() == {1}


@pytest.mark.slow
def test_that_one_model_alone_is_calibrated_is_said_with_what_learns_the_other_one(both: JobFiles) -> None:
    assert check(both.config())[1] == []
    calibrate(of_second(both.config()))
    (note,) = check(both.config())[1]
    assert note.startswith("label_confidence is calibrated in rows of big, and in those of test-model it is")
    assert "`calibrate` learns the other one" in note
    assert note in evaluate(both.config()).remarks
    with readable(both.config()) as job:
        other = replace(job, calibration=job.second_calibration, second_calibration=None)
        assert "`calibrate --second` learns the other one" in other.mixed_confidence[0]
        assert replace(job, calibration=job.second_calibration).mixed_confidence == ()
    before = published(both)
    assert remove(of_second(both.config()))
    assert published(both) != before


@pytest.mark.slow
def test_a_calibration_of_either_model_makes_another_output(both: JobFiles) -> None:
    def identity() -> str:
        with readable(both.config()) as job:
            return job.identity

    before = identity()
    calibrate(of_second(both.config()))
    assert identity() != before
    remove(of_second(both.config()))
    assert identity() == before


def test_without_a_second_model_there_is_none_to_calibrate(job: JobFiles) -> None:
    done = command("calibrate", str(job.config_file()), "--second")
    assert done.returncode == 78
    assert "--second: the config has no section escalate" in done.stderr
