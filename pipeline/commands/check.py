"""`check`: all problems of a job that can be found without sending anything."""

from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from pipeline import storage
from pipeline.config import Config
from pipeline.config.nights import unknown_zone
from pipeline.config.paths import format_of
from pipeline.errors import PipelineError
from pipeline.figures import count
from pipeline.job.job import Job
from pipeline.job.options import RunOptions
from pipeline.job.prepare import prepare
from pipeline.job.readiness import ensure_ready, remarks
from pipeline.job.state import ensure_state, ensure_store, has_batches
from pipeline.job.workspace import workspace
from pipeline.job.writable import ensure_output, ensure_replaceable

T = TypeVar("T")


def check(config: Config, options: RunOptions = RunOptions()) -> tuple[Job, list[str]]:  # noqa: B008 - frozen
    """Check all that a run needs before its first request: config, input, output, state, key, network and budget.

    Returns:
        If there are no problems, the job, and remarks on what a run will meet.

    Raises:
        PipelineError: With a line for each problem; its class is that of the first one.
    """
    with TemporaryDirectory(prefix="pipeline-check-") as folder:
        return _check(config, options, Path(folder))


def _check(config: Config, options: RunOptions, spare: Path) -> tuple[Job, list[str]]:
    errors: list[PipelineError] = []
    job = _collect(errors, lambda: prepare(config, options, copies=spare))
    if job is not None:
        _collect(errors, lambda: ensure_output(job))
        _collect(errors, lambda: ensure_state(config.state.dir, job.workspace.parts))
    else:  # the input is unknown, so the output's name must show whether it is meant to be one file
        state = workspace(config.state.dir, config.output.path)
        single = format_of(config.output.path) is not None
        if not config.output.is_table:  # whose columns are unknown, too
            _collect(errors, lambda: ensure_replaceable(state, config.output.path, single=single))
        _collect(errors, lambda: ensure_state(config.state.dir))
    _collect(errors, lambda: ensure_store(config))
    _collect(errors, lambda: _ensure_ledger(config.state.dir))
    _collect(errors, lambda: ensure_ready(config))
    if has_batches(config):
        from pipeline.llm.batch.checks import ensure_batches_fit  # noqa: PLC0415 - few jobs have any

        _collect(errors, lambda: ensure_batches_fit(config, None, wait=True))
    if errors or job is None:
        raise type(errors[0])(*dict.fromkeys(problem for error in errors for problem in error.problems))
    holder = job.workspace.holder()
    return job, [
        *_tables(job),
        *remarks(config),
        *job.remarks,
        *_second(job),
        *job.mixed_confidence,
        *_zone(config),
        *([f"another run has the output now: {holder}"] if holder else []),
    ]


def _tables(job: Job) -> Iterator[str]:
    """Yield what is read of a Delta table, and to which one labels go."""
    files = job.source.files
    if job.source.version is not None:
        yield f"{job.config.input.path}: version {job.source.version} of the Delta table is read, in {count(len(files), 'file')}"
    if job.config.output.is_table:
        verb = "are appended to" if storage.is_delta_table(job.output) else "make"
        yield f"{job.output}: labels {verb} the Delta table, by {', '.join(job.config.output.columns.only or ())}"


def _second(job: Job) -> Iterator[str]:
    """Yield why nothing is below `escalate.below`, if that is known."""
    settings, model = job.config.escalate, job.config.model
    if settings is None or not settings.below:
        return
    from pipeline.llm.form_memory import FormMemory  # noqa: PLC0415 - few jobs have a second model
    from pipeline.llm.protocol.form import first_form  # noqa: PLC0415 - as above
    from pipeline.system.clock import Clock  # noqa: PLC0415 - as above

    if not (FormMemory(job.config, job.task, Clock()).recall() or first_form(model)).logprobs:
        yield f"escalate.below: {model.name} tells no probabilities, so that only rows without a label are put to the second model"


def _zone(config: Config) -> Iterator[str]:
    """Yield in which time zone the run is to be done, if that is not the one that the environment names."""
    if (by := config.limits.finish_by) is not None and (unknown := unknown_zone()):
        yield f'limits.finish_by: "{by}" is in {unknown}'


def _ensure_ledger(state: Path) -> None:
    """Check that a ledger that is there was written by no other version of the program."""
    if any(state.glob("ledger.sqlite")):
        from pipeline.ledger.opening import ensure_known  # noqa: PLC0415 - a job that is new needs no database

        ensure_known(state)


def _collect(errors: list[PipelineError], check: Callable[[], T]) -> T | None:
    """Return the result of *check*; if it fails, append the error to *errors* and return None."""
    try:
        return check()
    except PipelineError as error:
        errors.append(error)
        return None
