from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import TaskSettings
from pipeline.records import Answers, Status
from pipeline.tasks.calibration import Calibration
from pipeline.tasks.parse import Parser
from tests.answers import answer

CONFIDENCES = st.floats(0, 1)
CALIBRATIONS = st.builds(Calibration, st.just("platt"), st.floats(0.05, 5), st.floats(-4, 4), st.just(100))


@given(CALIBRATIONS, CONFIDENCES, CONFIDENCES)
def test_a_surer_row_stays_at_least_as_sure(calibration: Calibration, one: float, other: float) -> None:
    low, high = sorted([one, other])
    assert 0 <= calibration.of(low) <= calibration.of(high) <= 1


def test_slope_1_and_intercept_0_change_nothing() -> None:
    assert abs(Calibration("temperature", 1, 0, 60).of(0.9) - 0.9) < 1e-9


def _parser(calibration: Calibration | None = None, **more: object) -> Parser:
    task = {"instructions": "i", "text": "{t}", "labels": ["games", "sound"], **more}
    return Parser(TaskSettings.model_validate(task), calibration)


REPLY = answer(1, text="games", logprobs='[["games",-0.35667494393873245]]')  # 0.7


def test_a_row_below_the_bound_is_unsure_and_keeps_its_label() -> None:
    for parser in (_parser(unsure_below=0.8), _parser(Calibration("platt", 1, -2, 100), unsure_below=0.6)):
        single, many = parser.outcome(REPLY), parser.outcomes(Answers.of([REPLY]))
        assert (single.status, single.labels) == (Status.UNSURE, ("games",))
        assert (many["status"], tuple(many["labels"])) == ([Status.UNSURE], (("games",),))
        assert many["confidence"] == [single.confidence]


def test_a_row_at_the_bound_or_without_confidence_is_ok() -> None:
    assert _parser(unsure_below=0.7 - 1e-12).outcome(REPLY).status is Status.OK
    without = REPLY._replace(logprobs=None)
    assert _parser(unsure_below=0.9).outcome(without).status is Status.OK
    assert _parser(unsure_below=0.9).outcomes(Answers.of([without]))["status"][0] is Status.OK
