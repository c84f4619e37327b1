"""Prepare a job: check config and input, find the output, lock its state. Every command starts here."""

import logging
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline import storage
from pipeline.config import Config
from pipeline.config.paths import marked
from pipeline.config.providers import for_provider
from pipeline.config.slices import Slice
from pipeline.errors import CannotCreateError, ConfigError
from pipeline.inputs.intake.copies import bring_in, drop, tidy
from pipeline.inputs.source import GoneError, Source
from pipeline.inputs.survey import survey
from pipeline.job.decisions import decided, ensure_student, load_calibration, second_task
from pipeline.job.job import Job
from pipeline.job.options import RunOptions
from pipeline.job.result import ensure_held, finished
from pipeline.job.selection import remove_old_copies, select_rows
from pipeline.job.state import (
    as_it_is_cut,
    config_of,
    ensure_in_folder,
    ensure_state,
    has_batches,
    look_at_state,
    opened_state,
    slice_runs,
)
from pipeline.job.workspace import HELD, RUNNING, RunRecord, Workspace, workspace
from pipeline.job.writable import column_problems, ensure_writable, output_problems
from pipeline.outputs.writers.formats import PARQUET
from pipeline.storage import Both, Held
from pipeline.system.lock import Lock
from pipeline.system.places import Place
from pipeline.tasks.prompt import Task
from pipeline.telemetry.summary import RunResult

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Start:
    """A job whose state is locked.

    Attributes:
        job: The job.
        lock: The lock on its state.
        result: Its result if its latest run finished it, so that nothing is left to do; None otherwise.
    """

    job: Job
    lock: Held
    result: RunResult | None


@contextmanager
def started(config: Config, options: RunOptions) -> Iterator[Start]:
    """Prepare the job that *config* describes, and keep its state locked while the block runs.

    Raises:
        PipelineError: If it cannot run.
    """
    if options.on_ray:
        ensure_in_folder(config)
    if has_batches(config):
        from pipeline.llm.batch.checks import ensure_batches_fit  # noqa: PLC0415 - few jobs have any

        # The slices of a cluster are each the one process of their state.
        ensure_batches_fit(config, Slice(0, 1) if options.on_ray else options.part, wait=options.wait)
    whole = options.part is None and not (options.offline or options.on_ray)
    with (
        opened_state(config, options.part, whole=whole) as state,
        _locked(config, options) as (job, lock),
    ):
        job.workspace.tidy()
        if options.selection is not None:
            remove_old_copies(job.source, job.workspace.folder)
        else:
            tidy(job.workspace.input, job.source)
        result = finished(job)
        if result is None and options.anyway:
            ensure_held(job)
        if result is not None:
            tidy_after(job)
        yield Start(job if result else brought_in(job), Both(state, lock) if state else lock, result)


@contextmanager
def _locked(config: Config, options: RunOptions) -> Iterator[tuple[Job, Lock]]:
    job = prepare(config, options)
    if options.is_partial and finished(whole := _whole_of(job)):
        job = whole  # nothing is pending any more
    is_whole = not (options.offline or options.on_ray)
    with ExitStack() as held:
        with as_it_is_cut(config, options.part, job.config.state.dir, whole=is_whole):
            lock = held.enter_context(job.workspace.locked())
        yield job, lock


def tidy_after(job: Job) -> None:
    """Remove what is not needed any more once the output of *job* is there: copies, and its partial output.

    Called whenever that is published, and whenever it is found to be: the process that published it may have been killed.
    """
    if job.options.is_partial:  # the run that it is a part of still needs the copies
        return
    drop(job.source)
    partial = output_path(job.config, replace(job.options, offline=True, partial=True))
    place = workspace(job.config.state.dir, partial)
    if (record := place.load()) is None or place.holder() is not None:
        return
    # Only as it was written: whoever has worked on it since wants to keep it.
    if record.output and record.output == storage.whole_stamp(partial):
        storage.remove(partial)
    shutil.rmtree(place.folder, ignore_errors=True)


def _whole_of(job: Job) -> Job:
    """Return the job of which *job* publishes what is answered so far."""
    options = replace(job.options, offline=False, partial=False)
    output = output_path(job.config, options)
    return replace(job, options=options, output=output, workspace=workspace(job.config.state.dir, output))


def prepare(config: Config, options: RunOptions = RunOptions(), *, copies: Path | None = None) -> Job:  # noqa: B008 - frozen
    """Check *config* and its input, and return the job.

    Args:
        config: The config.
        options: What one run does differently.
        copies: Where to copy what has to be copied and cannot be in the state directory, such as the rows that *options*
            select; by default the state directory has to take it.

    Raises:
        PipelineError: With all problems that can be found at once.
    """
    config = given = for_provider(config)
    _ensure_possible(config, options)
    members = slice_runs(config) if options.part is None and options.selection is None else ()
    if options.part is not None:
        config = config_of(config, options.part)
    output = output_path(config, options)
    state = workspace(config.state.dir, output)
    used = _used_columns(config)
    taken_in = _input_copies(config, copies)
    source = _surveyed(config, used, taken_in, _open(members, state, options) or _begun(config, options))
    if config.input.where is not None:
        from pipeline.inputs.where.matching import matching_rows  # noqa: PLC0415 - imports polars

        # Counted once for all commands, as the input is taken in once: counting needs the copies that a finished job has dropped.
        whole = workspace(config.state.dir, config.output.path).folder
        source = matching_rows(source, config.input.where, whole / "matching.json", taken_in)
    problems = [] if options.selection else [*output_problems(source, config.output)]
    problems += column_problems(config, source)
    if problems:
        raise ConfigError(*problems)
    task, decisions = Task.from_config(config), given.state.dir
    second = second_task(config, options, task)
    job = Job(
        config, options, source, task, output, state, members=members, billed=state.billed(),
        calibration=load_calibration(decisions, task.fingerprint), second=second,
        second_calibration=load_calibration(decisions, second.fingerprint) if second else None,
    )  # fmt: skip
    job = replace(job, remarks=tuple(ensure_writable(job)))
    if options.selection is None:
        return decided(job, given)
    kept = list(dict.fromkeys([*job.kept_columns(), *used, *filter(None, [config.task.gold])]))
    selected = select_rows(source, options, config.input, kept, used, copies or state.folder)
    return replace(job, source=selected)


def _ensure_possible(config: Config, options: RunOptions) -> None:
    ensure_student(config, options)
    if options.previous is not None:
        from pipeline.job.previous import ensure_carries  # noqa: PLC0415 - few runs have one

        ensure_carries(config, options)
    look_at_state(config, options.part)


def _open(members: Sequence[RunRecord], state: Workspace, options: RunOptions) -> list[RunRecord]:
    """Return those of the slices' runs that are to be published; the others are past, and the next night has another version."""
    told = frozenset() if options.offline else state.billed()
    return [each for each in members if each.run_id not in told]


def _begun(config: Config, options: RunOptions) -> Iterator[RunRecord]:
    """Yield the record of the run that is to be continued, or of which something is to be published.

    What a gate holds back is not waited for: the next night has another version.
    """
    whole = output_path(config, replace(options, offline=False, partial=False))
    record = workspace(config.state.dir, whole).load()
    if record is not None and (record.status == RUNNING or (record.status == HELD and options.anyway)):
        yield record


def _surveyed(config: Config, used: Sequence[str], copies: Path, begun: Iterable[RunRecord]) -> Source:
    """Survey the input; what has been *begun* with a version of a Delta table goes on with that one."""
    versions = {run.job.get("version") for run in begun if run.job.get("input") == config.input.path}
    if config.input.version is None and len(versions) == 1 and (version := versions.pop()) is not None:
        try:
            return survey(config.input.model_copy(update={"version": version}), used, copies=copies)
        except GoneError as error:
            log.warning("%s; the run goes on with the newest version", error)
    return survey(config.input, used, copies=copies)


def brought_in(job: Job, folder: Path | None = None) -> Job:
    """Return the job with all copies of its input in place, those that have gone in *folder*; call it to read rows."""
    return replace(job, source=bring_in(job.source, folder))


def _used_columns(config: Config) -> list[str]:
    others = filter(None, [config.input.id, config.input.untrusted])
    return list(dict.fromkeys([*config.task.columns, *others]))


def _input_copies(config: Config, spare: Path | None) -> Path:
    """Return the folder for copies of the input: that of the whole table's output, or *spare* if it cannot be written."""
    folder = workspace(config.state.dir, config.output.path).input
    if spare is not None:
        try:
            ensure_state(folder)
        except CannotCreateError:
            return spare
    return folder


def output_path(config: Config, options: RunOptions) -> Place:
    """Return where the output goes: that of some rows, or of a run that is not finished, has a name of its own."""
    output = config.output
    path = output.path
    form = PARQUET if output.is_table else output.file_format
    for mark in [options.selection, "partial" if options.is_partial else None]:
        path = marked(path, mark, f".{form}") if mark else path
    return path
