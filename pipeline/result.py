"""What a run comes to: the JSON line of the command, the return value of `run`, the report."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from pipeline.durable import write
from pipeline.job import Job
from pipeline.state import PUBLISHED, RunRecord, stamp

if TYPE_CHECKING:  # counting brings pyarrow.compute, for which a finished job must not wait
    from pipeline.outputs.report import Tally


@dataclass(frozen=True, slots=True)
class RunResult:
    """The result of a published run.

    Attributes:
        run_id: The run's id.
        status: `done`, or `failed` if more rows failed than `limits.max_failed` allows.
        rows: Rows of the output.
        ok: Rows with labels.
        failed: Rows that have text and no labels.
        reused: Rows whose answer was paid for by an earlier run.
        duplicates: Rows that repeat an earlier row's prompt.
        requests: HTTP calls to the model, by all executions of the run; 0 if it had finished before.
        retries: Calls among them that had to be repeated.
        throttled: Calls among them that the endpoint refused because of a rate limit (429).
        prompt_tokens: Tokens that this run was billed for its prompts.
        cached_tokens: Those among them that the provider had in its cache.
        completion_tokens: Tokens that it was billed for replies.
        cost_usd: US dollars that it was billed; None where no price is known.
        cost_source: Who told the price: `reply`, `config`, `endpoint`, `table`; None if nobody did.
        seconds: How long its executions took together.
        output: Path of the output.
        report: Path of the report.
        again: Whether the job had finished before, so that nothing was done.
    """

    run_id: str
    status: str
    rows: int
    ok: int
    failed: int
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
        """Return the fields, in order."""
        return asdict(self)


def result_of(record: RunRecord, tally: "Tally", job: Job, *, price_source: str | None) -> RunResult:
    """Return the result of a run whose output has just been written."""
    allowed = job.config.limits.max_failed.allows(tally.failed, tally.rows)
    return RunResult(
        run_id=record.run_id,
        status="done" if allowed else "failed",
        rows=tally.rows,
        ok=tally.ok,
        failed=tally.failed,
        reused=tally.reused,
        duplicates=tally.duplicates,
        requests=record.requests,
        retries=record.retries,
        throttled=record.throttled,
        prompt_tokens=tally.prompt_tokens,
        cached_tokens=tally.cached_tokens,
        completion_tokens=tally.completion_tokens,
        cost_usd=tally.cost_usd,
        cost_source=price_source,
        seconds=round(record.seconds, 3),
        output=str(job.output),
        report=str(job.workspace.report),
    )


def finished(job: Job) -> RunResult | None:
    """Return the result of running *job* once more, if its latest run did it and its output is still there.

    Nothing is sent then, and the result says so.
    """
    record = job.workspace.load()
    if job.options.retry:  # each such call asks once more
        return None
    if record is None or (record.status, record.identity) != (PUBLISHED, job.identity):
        return None
    if not record.output or record.output != stamp(job.output):
        return None
    try:
        result = RunResult(**(record.summary or {}))
    except TypeError:  # another version wrote it in another form
        return None
    allowed = job.config.limits.max_failed.allows(result.failed, result.rows)
    status = "done" if allowed else "failed"
    # Whoever adds up the bills of all nights must not find one twice.
    return replace(
        result,
        status=status,
        requests=0,
        retries=0,
        throttled=0,
        prompt_tokens=0,
        cached_tokens=0,
        completion_tokens=0,
        cost_usd=0.0,
        seconds=0.0,
        again=True,
    )


def save_report(path: Path, result: RunResult, tally: "Tally") -> None:
    """Write the report: the result and counts by status and label."""
    write(path, orjson.dumps({**result.as_dict(), **tally.as_dict()}, option=orjson.OPT_INDENT_2))
