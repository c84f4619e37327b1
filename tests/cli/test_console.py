"""What a command prints: lines for people on stderr, a JSON object as the last line of stdout."""

import json

import pytest

from pipeline.cli.console import fact_lines, print_failure, print_lines, print_result
from pipeline.errors import ConfigError, InterruptedRunError

Printed = pytest.CaptureFixture[str]


def test_a_line_may_hold_several_and_no_control_characters(capsys: Printed) -> None:
    print_lines(["one\ntwo", "\x1b[31mthree"])
    assert capsys.readouterr().err == "one\ntwo\n\\x1b[31mthree\n"


def test_facts_that_are_not_known_have_no_line() -> None:
    assert fact_lines({"rows": 3, "seconds": None}) == ["rows               3"]


def test_a_result_is_a_line_of_json(capsys: Printed) -> None:
    print_result({"rows": 3, "cost_usd": None})
    assert capsys.readouterr().out == '{"rows":3,"cost_usd":null}\n'


@pytest.mark.parametrize(
    ("error", "status"),
    [(ConfigError("a\nb", "second"), "error"), (InterruptedRunError("a\nb"), "interrupted")],
)
def test_a_failure_is_the_last_line_too(
    capsys: Printed, error: ConfigError | InterruptedRunError, status: str
) -> None:
    print_failure(error)
    facts = json.loads(capsys.readouterr().out)
    assert facts == {"status": status, "error": "a\\nb", "exit_status": error.exit_status}
