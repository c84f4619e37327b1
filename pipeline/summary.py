"""The result of a run: the JSON line of the command and the return value of `run`."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Side:
    """What a run was billed for answers that are no row's, such as those of the canary: it is in no row of the output.

    Attributes:
        requests: HTTP requests.
        prompt_tokens: Tokens billed for prompts.
        cached_tokens: Those of them that the provider read from its cache.
        completion_tokens: Tokens billed for replies.
        cost_usd: US dollars; None if no price is known.
    """

    requests: int
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    cost_usd: float | None


@dataclass(frozen=True, slots=True)
class RunResult:
    """The result of a published run.

    Attributes:
        run_id: The run's id.
        status: `done`, or `failed` if more rows failed than `limits.max_failed` allows; `held` in the report of a run
            whose output a gate holds back, `partial` for the output of a run that is not finished.
        rows: Rows of the output, without those that `input.where` excludes.
        ok: Rows with labels.
        failed: Rows with text but without labels.
        empty: Rows without text, which are never asked about; with those that are `ok`, `unsure`, `pending` and `failed`
            they are all rows.
        reused: Rows whose answer was paid for by an earlier run.
        duplicates: Rows that repeat an earlier row's prompt. What is left of all rows, less the empty ones, this run has
            asked about.
        requests: HTTP requests to the model, over all executions of the run; 0 if it had finished before.
        retries: Those of them that had to be repeated.
        throttled: Those of them that the endpoint refused because of a rate limit (429).
        prompt_tokens: Tokens that this run was billed for the prompts of its rows.
        cached_tokens: Those of them that the provider read from its cache.
        completion_tokens: Tokens that it was billed for the replies to them.
        cost_usd: US dollars that it was billed for its rows; None if no price is known.
        cost_source: Where the price comes from: `reply`, `config`, `endpoint`, `catalog`; None if it is unknown.
        seconds: Duration of all its executions together.
        output: Path of the output.
        report: Path of the report.
        again: Whether the job had finished before, so that nothing was left to do.
        unsure: Rows with labels whose confidence is below `task.unsure_below`.
        skipped: Rows of the output that `input.where` excludes.
        pending: Rows without an answer yet, in a partial output.
        side: What it was billed for answers that are no row's; None for nothing.
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
    unsure: int = 0
    skipped: int = 0
    pending: int = 0
    side: Side | None = None

    @property
    def exit_status(self) -> int:
        """0 if the run is done, 1 if too many rows failed."""
        return 1 if self.status == "failed" else 0

    def as_dict(self) -> dict[str, Any]:
        """Return the fields by name, in order."""
        return asdict(self)
