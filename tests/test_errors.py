"""Every exception becomes an error with an exit status and one sentence."""

import pytest

from pipeline.errors import ConfigError, InterruptedRunError, NoInputError, PipelineError, as_pipeline_error


def test_an_error_of_ours_is_itself() -> None:
    error = ConfigError("one", "two")
    assert as_pipeline_error(error) is error
    assert (error.problems, str(error), error.exit_status) == (("one", "two"), "one\ntwo", 78)


def test_of_a_group_the_first_error_of_ours_counts_however_deep() -> None:
    error = NoInputError("gone")
    group = ExceptionGroup("", [ValueError("x"), ExceptionGroup("", [OSError("y"), error])])
    assert as_pipeline_error(group) is error


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (KeyboardInterrupt(), "stopped by a signal"),
        (SystemExit(1), "stopped by SystemExit"),
        (BaseExceptionGroup("", [KeyboardInterrupt()]), "stopped by a signal"),
    ],
)
def test_an_interruption_from_outside_can_be_continued(error: BaseException, words: str) -> None:
    found = as_pipeline_error(error)
    assert isinstance(found, InterruptedRunError)
    assert found.exit_status == 75
    assert str(found) == f"{words}; run the same command again to continue"


def test_any_other_exception_is_a_bug_and_keeps_its_cause() -> None:
    bug = ZeroDivisionError("division by zero")
    found = as_pipeline_error(bug)
    assert type(found) is PipelineError
    assert found.exit_status == 70
    assert "a bug in pipeline: ZeroDivisionError: division by zero" in str(found)
    assert found.__cause__ is bug
