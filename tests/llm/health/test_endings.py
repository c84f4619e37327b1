"""A refusal of all rows ends the run with what its words say: money, config, or neither."""

import pytest

from pipeline.errors import ConfigError, KeyRefusedError, PipelineError, ProviderUnavailableError
from pipeline.llm.health.endings import ending
from pipeline.llm.replies import Failure, FailureKind


@pytest.mark.parametrize(
    ("status", "message", "code", "error"),
    [
        (422, "Budget has been exceeded!", "", KeyRefusedError),
        (400, "no", "budget_exceeded", KeyRefusedError),
        (400, "your spending cap is reached", "", KeyRefusedError),
        (418, "insufficient balance", "", KeyRefusedError),
        (418, "no credits left", "", KeyRefusedError),
        (418, "the load balancer has no route", "", ProviderUnavailableError),
        (418, "the service was suspended", "", ProviderUnavailableError),
        (400, "unknown deployment", "", ConfigError),
        (400, "no", "", ProviderUnavailableError),
    ],
)
def test_the_words_of_a_refusal_of_all_rows_decide_its_exit_status(
    status: int, message: str, code: str, error: type[PipelineError]
) -> None:
    found = ending(Failure(FailureKind.ROW, message, status, code=code), succeeded=True)
    assert type(found) is error
    assert message in str(found)
