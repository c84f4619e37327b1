"""The result of a run, new or remembered, and its report."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from pipeline import storage
from pipeline.errors import InterruptedRunError
from pipeline.job.job import Job
from pipeline.job.workspace import HELD, PUBLISHED, RunRecord, Workspace
from pipeline.system.atomic import write
from pipeline.telemetry.summary import RunResult, Side

if TYPE_CHECKING:  # imports pyarrow.compute, for which a finished job must not wait
    from pipeline.job.kept.history import PublishedRun
    from pipeline.outputs.tally import Tally


def result_of(
    record: RunRecord, tally: "Tally", job: Job, *, price_source: str | None, side: Side | None = None,
    escalation: dict[str, Any] | None = None,
) -> RunResult:  # fmt: skip
    """Return the result of a run that has just published its output."""
    allowed = job.config.limits.max_failed.allows(tally.failed, tally.rows)
    status = "partial" if job.options.is_partial else "done" if allowed else "failed"
    return RunResult(
        run_id=record.run_id,
        status=status,
        rows=tally.rows,
        ok=tally.ok,
        failed=tally.failed,
        empty=tally.empty,
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
        unsure=tally.unsure,
        skipped=tally.skipped,
        pending=tally.pending,
        student=tally.student,
        escalated=tally.escalated,
        carried=tally.carried,
        side=side,
        escalation=escalation,
    )


def finished(job: Job) -> RunResult | None:
    """Return the result of running *job* again, if its latest run finished it and its output is unchanged.

    Nothing is sent then, and the result says so.
    """
    record = job.workspace.load()
    # Each such run asks once more, or has more answers; and what a slice has is known to its ledger alone.
    if job.options.retry or job.options.is_partial or job.options.part:
        return None
    if record is None or (record.status, record.identity) != (PUBLISHED, job.identity):
        return None
    if not record.output or record.output != storage.whole_stamp(job.output):
        return None
    try:
        facts = {**(record.summary or {})}
        result = RunResult(**{**facts, "side": Side(**facts["side"]) if facts.get("side") else None})
    except TypeError:  # another version wrote it, with other fields
        return None
    # Judged anew: max_failed is no part of the job's identity and may have been changed since.
    allowed = job.config.limits.max_failed.allows(result.failed, result.rows)
    status = "done" if allowed else "failed"
    # The effort and the cost were reported by the run that had them: a sum over all results counts them once.
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
        side=None,
        escalation=result.escalation and {**result.escalation, "cost_usd": 0.0},
        report=str(job.workspace.report),  # the state may have been moved since
        evaluation=evaluation_in(str(job.workspace.report)) if job.config.task.gold else None,
        again=True,
    )


def ensure_held(job: Job) -> None:
    """Ensure that a gate holds the output of *job* back.

    Raises:
        InterruptedRunError: If none does.
    """
    record = job.workspace.load()
    if record is not None and record.status == HELD:
        return
    held = [
        f"what is held back is published with: {told}" for told in _held_below(job.workspace.folder.parent)
    ]
    raise InterruptedRunError(
        f"{job.output}: no gate holds this output back; label it with: {job.config.command('run')}", *held
    )


def _held_below(folder: Path) -> Iterator[str]:
    """Yield the commands that publish the outputs which are held back, and whose workspaces are in *folder*."""
    for each in sorted(folder.iterdir()):
        record = Workspace(each, each).load()
        if record is not None and record.status == HELD and "publish" in record.job:
            yield record.job["publish"]


@dataclass(frozen=True, slots=True)
class Course:
    """How a run went, as its last execution saw it.

    Attributes:
        series: Samples of its progress, by field.
        latencies: Number of replies by the buckets of `telemetry.latency`.
        packs: What it has found out about rows that are asked together; None where each is asked alone.
    """

    series: Mapping[str, Any]
    latencies: Mapping[float, int]
    packs: Mapping[str, Any] | None = None


def save_report(
    job: Job, result: RunResult, tally: "Tally", course: Course, closed: Sequence[str] = ()
) -> "PublishedRun":
    """Write the report: the result and what was counted; return what the run came to, for the history."""
    # A finished job must not wait for them.
    from pipeline.job.kept.history import PublishedRun, shares  # noqa: PLC0415
    from pipeline.telemetry.latency import latency_facts  # noqa: PLC0415

    latency = latency_facts(course.latencies)
    run = PublishedRun(
        run_id=result.run_id,
        published_at=round(time.time(), 3),
        task=job.task.fingerprint.hex(),
        model=job.config.model.name,
        selection=job.options.selection,
        rows=tally.rows,
        statuses=dict(tally.statuses),
        labels=shares(tally.labels, tally.labelled),
        mean_confidence=tally.mean_confidence,
        cost_usd=tally.cost_usd,
        latency_p50=latency.get("p50"),
        latency_p95=latency.get("p95"),
        requests=result.requests,
        reused=tally.reused,
        seconds=result.seconds,
    )
    facts = {
        **result.as_dict(),
        **tally.as_dict(),
        "published_at": run.published_at,
        "closed_gates": list(closed),
        "this_run": asdict(run),
        "latency": latency,
        "series": course.series,
        **({"packs": course.packs} if course.packs else {}),
        **_nights(job),
    }
    write(job.workspace.report, orjson.dumps(facts, option=orjson.OPT_INDENT_2))
    return run


def _nights(job: Job) -> dict[str, Any]:
    """Return what was decided about those who answer in place of the model, night by night."""
    from pipeline.job.decisions import load_nights  # noqa: PLC0415 - as above
    from pipeline.outputs.columns import CARRIED, STUDENT  # noqa: PLC0415 - as above

    stand_ins = (("student_nights", STUDENT, job.config.student), ("carried_nights", CARRIED, job.carried))
    return {name: list(load_nights(job, who)) for name, who, is_there in stand_ins if is_there}


def evaluation_in(report: str) -> dict[str, Any] | None:
    """Return the evaluation in the file of a *report*; None if there is none, or it cannot be read."""
    try:
        found: dict[str, Any] | None = orjson.loads(Path(report).read_bytes()).get("evaluation")
    except (OSError, ValueError, AttributeError):
        return None
    return found and {name: value for name, value in found.items() if not isinstance(value, list | dict)}
