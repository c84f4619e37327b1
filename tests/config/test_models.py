"""What the sections of a config accept, and the line for what they refuse."""

import pytest


def counted(value: str) -> str:
    return f"{value} is not a whole number above 0; write digits only, such as 500 or 200_000"


# Limits that are none, and the line behind its place.
LIMITS = {
    'requests_per_minute: "10 000"': counted('requests_per_minute: "10 000"'),
    "requests_per_minute: 0": counted("requests_per_minute: 0"),
    "requests_per_minute: -1": counted("requests_per_minute: -1"),
    "requests_per_minute: .NaN": counted("requests_per_minute: .NaN"),
    "requests_per_minute: true": counted("requests_per_minute: true"),
    "tokens_per_minute: 1.5": counted("tokens_per_minute: 1.5"),
    "max_concurrency: 0": counted("max_concurrency: 0"),
    "max_concurrency: 99999999999999": counted("max_concurrency: 99999999999999"),
    "max_cost_usd: 0": "max_cost_usd: 0 is not an amount above 0; write US dollars such as 5 or 0.50",
    "max_cost_usd: .inf": "max_cost_usd: .inf is not an amount above 0; write US dollars such as 5 or 0.50",
    "max_runtime: 6 hours": "max_runtime: 6 hours is not a duration above 0; "
    "write one such as 90s, 30m, 6h or 1d, or a number of seconds",
    "drain: 0": "drain: 0 is not a duration above 0; write one such as 90s, 30m, 6h or 1d, or a number of seconds",
    "request_timeout: never": "request_timeout: never is not a duration above 0; "
    "write one such as 90s, 30m, 6h or 1d, or a number of seconds",
    "max_failed: 101%": "max_failed: 101% is not an allowance; write a share such as 1% or a whole number of rows",
    "max_failed: 0.01": "max_failed: 0.01 is not an allowance; write a share such as 1% or a whole number of rows",
}


@pytest.mark.parametrize("limit", LIMITS)
def test_an_invalid_limit_is_refused(job, limit):
    assert job.problems(limits=f"{{{limit}}}") == [f"job.yaml:4: limits.{LIMITS[limit]}"]
