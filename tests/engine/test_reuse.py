"""Which stored answers may be reused."""

import pytest

from pipeline.engine.reuse import Reuse
from pipeline.records import Outcome, Status
from tests.answers import answer

CUT = '{"label": "[redacted]"}'


@pytest.mark.parametrize(
    ("status", "changes", "may_be"),
    [
        (Status.OK, {}, True),
        (Status.REFUSED, {}, False),
        (Status.REFUSED, {"run": "run-2"}, True),
        (Status.UNSURE, {}, True),
        (Status.INVALID, {"asks": 1}, False),
        (Status.INVALID, {"asks": 2}, True),
        (Status.INVALID, {"asks": 2, "text": CUT}, False),
        (Status.INVALID, {"asks": 2, "text": CUT, "run": "run-2"}, True),
        (Status.OK, {"text": CUT}, True),
    ],
)
def test_final_answers_may_be_but_for_those_to_retry_and_those_that_lost_words(
    status: Status, changes: dict[str, object], *, may_be: bool
) -> None:
    reuse = Reuse({"refused", "unsure"}, "run-2")
    reuse.spares = lambda status, _: status is Status.UNSURE
    assert reuse.allows(answer(1, **changes), Outcome(status)) is may_be
    assert may_be or status in reuse.doubtful


def test_plan_is_no_run_that_has_paid_for_anything() -> None:
    assert not Reuse({"ok"}).allows(answer(1), Outcome(Status.OK))
