"""What `RunOptions` takes and refuses: what the command line takes and refuses."""

from typing import Any

import pytest

from pipeline import RunOptions
from pipeline.errors import UsageError
from pipeline.records import Status


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"limit": -3}, "limit: -3 is not a whole number above 0"),
        ({"limit": 0}, "limit: 0 is not a whole number above 0"),
        ({"limit": True}, "limit: True is not a whole number above 0"),
        ({"limit": 1.5}, "limit: 1.5 is not a whole number above 0"),
        ({"limit": "3"}, "limit: '3' is not a whole number above 0"),
        ({"sample": -1}, "sample: -1 is not a whole number above 0"),
        ({"sample": False}, "sample: False is not a whole number above 0"),
        ({"limit": 3, "sample": 3}, "limit and sample: both choose the rows"),
        ({"seed": 3}, "seed: chooses the rows of sample"),
        ({"sample": 1, "seed": "x"}, "seed: 'x' is not a whole number"),
        ({"retry": "sometimes"}, "there is no status 'sometimes'"),
        ({"retry": ["error", "often"]}, "there is no status 'often'"),
        ({"retry": "empty"}, "rows without text (empty) are never asked"),
        ({"retry": ""}, "there is no status ''"),
        ({"retry": None}, "retry: None is no list of statuses"),
        ({"retry": [["error"]]}, "is no list of statuses"),
        ({"retry": b"all"}, "is no list of statuses"),
        ({"retry": True}, "retry: True is no list of statuses"),
        ({"overwrite": "no"}, "overwrite: 'no' is not True or False"),
    ],
)
def test_options_that_the_command_line_refuses_are_refused_when_they_are_made(
    options: dict[str, Any], said: str
) -> None:
    with pytest.raises(UsageError) as caught:
        RunOptions(**options)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("all", set(Status)),
        (["all"], set(Status)),
        (frozenset(Status), set(Status)),
        ("error", {Status.ERROR}),
        ("error, invalid", {Status.ERROR, Status.INVALID}),
        (("error", Status.INVALID), {Status.ERROR, Status.INVALID}),
        ((), set()),
    ],
)
def test_statuses_to_retry_are_names_or_a_text_with_commas(given: Any, kept: set[Status]) -> None:
    assert RunOptions(retry=given).retry == frozenset(kept)


def test_options_that_say_the_same_are_equal() -> None:
    assert RunOptions(retry="error") == RunOptions(retry=[Status.ERROR])
    assert hash(RunOptions(retry="error")) == hash(RunOptions(retry={"error"}))
