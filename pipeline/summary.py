"""The result of a run: the JSON line of the command and the return value of `run`."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class RunResult:
    """The result of a published run.

    Attributes:
        run_id: The run's id.
        status: `done`, or `failed` if more rows failed than `limits.max_failed` allows.
        rows: Rows of the output.
        ok: Rows with labels.
        failed: Rows with text but without labels.
        empty: Rows without text, which are never asked about; with those that are `ok` and `failed` they are all rows.
        reused: Rows whose answer was paid for by an earlier run.
        duplicates: Rows that repeat an earlier row's prompt. What is left of all rows, less the empty ones, this run has
            asked about.
        requests: HTTP requests to the model, over all executions of the run; 0 if it had finished before.
        retries: Those of them that had to be repeated.
        throttled: Those of them that the endpoint refused because of a rate limit (429).
        prompt_tokens: Tokens that this run was billed for its prompts.
        cached_tokens: Those of them that the provider read from its cache.
        completion_tokens: Tokens that it was billed for replies.
        cost_usd: US dollars that it was billed; None if no price is known.
        cost_source: Where the price comes from: `reply`, `config`, `endpoint`, `catalog`; None if it is unknown.
        seconds: Duration of all its executions together.
        output: Path of the output.
        report: Path of the report.
        again: Whether the job had finished before, so that nothing was left to do.
    """

    run_id: str
    status: str
    rows: int
    ok: int
    failed: int
    empty: int
    reused: int
    duplicates: int
    requests: int
    retries: int
    throttled: int
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    cost_usd: float | None
    cost_source: str | None
    seconds: float
    output: str
    report: str
    again: bool = False

    @property
    def exit_status(self) -> int:
        """0 if the run is done, 1 if too many rows failed."""
        return 0 if self.status == "done" else 1

    def as_dict(self) -> dict[str, Any]:
        """Return the fields by name, in order."""
        return asdict(self)
