"""A run whose paid answers are unusable stops early; later it says so and goes on."""

import logging

import pytest

from pipeline.config import LimitSettings
from pipeline.engine.brake import FIRST_ANSWERS, WINDOW, Brake
from pipeline.errors import ConfigError
from pipeline.records import Outcome, Status
from tests.answers import answer

OK = Outcome(Status.OK, ("games",))
PROSE = Outcome(Status.INVALID, error='the reply is not one of the labels: "I cannot"')
CUT = Outcome(Status.INVALID, error="the reply was cut at max_tokens; raise model.max_tokens")


def stopped(*outcomes: Outcome, rows: int = 1000, max_failed: str = "1%") -> list[BaseException]:
    """What a run with *outcomes* is stopped with."""
    errors: list[BaseException] = []
    brake = Brake(LimitSettings(max_failed=max_failed), rows, errors.append)
    for number, outcome in enumerate(outcomes):
        brake.on_answer(answer(number), outcome, final=True)
    return errors


@pytest.mark.parametrize(
    ("outcomes", "stops"),
    [
        ([PROSE] * 19, True),
        ([OK] + [PROSE] * 19, True),
        ([PROSE] * 10 + [OK] + [PROSE] * 9, True),
        ([PROSE] * 18, False),
        ([OK] * 2 + [PROSE] * 100, False),
        ([PROSE, CUT] * 50, False),
        ([OK] * FIRST_ANSWERS + [PROSE] * 1000, False),
    ],
)
def test_19_of_the_first_20_paid_answers_unusable_for_one_reason_stop_the_run(
    outcomes: list[Outcome],
    stops: bool,  # noqa: FBT001
) -> None:
    assert len(stopped(*outcomes)) == stops


def test_the_error_gives_the_reason_and_an_example() -> None:
    (error,) = stopped(*[PROSE] * 19)
    assert isinstance(error, ConfigError)
    assert 'not one of the labels: "I cannot"' in str(error)


def test_a_run_in_which_all_rows_may_fail_is_never_stopped() -> None:
    assert stopped(*[PROSE] * 100, max_failed="100%") == []


def test_a_job_of_few_rows_is_not_stopped_with_nothing_left_to_save() -> None:
    assert stopped(*[PROSE] * 20, rows=20) == []
    assert len(stopped(*[PROSE] * 20, rows=21)) == 1


def test_ten_rows_that_are_asked_twice_are_too_few_to_judge_the_model_by() -> None:
    errors: list[BaseException] = []
    brake = Brake(LimitSettings(max_failed="1%"), 1000, errors.append)
    for number in range(20):
        brake.on_answer(answer(number // 2, asks=1 + number % 2), PROSE, final=bool(number % 2))
    assert errors == []


def test_a_model_that_answers_the_second_ask_is_not_stopped() -> None:
    errors: list[BaseException] = []
    brake = Brake(LimitSettings(max_failed="1%"), 1000, errors.append)
    for number in range(40):
        second = bool(number % 2)
        brake.on_answer(answer(number // 2, asks=1 + second), OK if second else PROSE, final=second)
    assert errors == []


@pytest.mark.parametrize(("second", "stops"), [(PROSE, True), (OK, False)])
def test_second_asks_that_come_late_are_waited_for(
    second: Outcome,
    stops: bool,  # noqa: FBT001
) -> None:
    errors: list[BaseException] = []
    brake = Brake(LimitSettings(max_failed="1%"), 1000, errors.append)
    for number in range(64):
        brake.on_answer(answer(number), PROSE, final=False)
    assert errors == []
    for number in range(64):
        brake.on_answer(answer(number, asks=2), second, final=True)
    assert len(errors) == stops


def test_refusals_that_were_not_paid_say_nothing_about_the_replies() -> None:
    errors: list[BaseException] = []
    brake = Brake(LimitSettings(max_failed="1%"), 1000, errors.append)
    for number in range(100):
        brake.on_answer(
            answer(number, text=None, status=Status.TOO_LONG),
            Outcome(Status.TOO_LONG, error="long"),
            final=True,
        )
    assert errors == []


@pytest.mark.parametrize(("failed", "warns"), [(10, False), (11, True), (500, True)])
def test_once_max_failed_cannot_be_met_the_log_says_so_once(
    caplog: pytest.LogCaptureFixture,
    failed: int,
    warns: bool,  # noqa: FBT001
) -> None:
    with caplog.at_level(logging.WARNING):
        stopped(*[OK] * FIRST_ANSWERS, *[PROSE] * failed)
    assert [("max_failed" in line, '"I cannot"' in line) for line in caplog.messages] == [
        (True, True)
    ] * warns


def test_a_large_run_whose_answers_become_unusable_says_so_after_a_few_hundred(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        assert stopped(*[OK] * WINDOW, *[PROSE] * WINDOW, rows=10_000_000) == []
    assert len(caplog.messages) == 1
