"""An earlier config whose labels a run carries over: whether it may, and what it has asked."""

import difflib
from collections.abc import Iterator
from importlib.util import find_spec

from pipeline.config import Config
from pipeline.config.providers import for_provider
from pipeline.errors import ConfigError
from pipeline.job.decisions import ConfiguredTask
from pipeline.job.options import RunOptions
from pipeline.student.taxonomy import called_as_before, unknown_pasts
from pipeline.tasks.prompt import Task


def previous_of(config: Config) -> ConfiguredTask:
    """Return what *config*, an earlier one, has asked."""
    config = for_provider(config)
    return ConfiguredTask(config, Task.from_config(config))


def only_renamed(old: ConfiguredTask, new: Config) -> bool:
    """Return whether *new* asks what *old* asked, but for the names of the labels."""
    task = called_as_before(old.config.task, new.task)
    if task is None:
        return False
    return Task.from_config(new.model_copy(update={"task": task})).fingerprint == old.task.fingerprint


def ensure_comparable(old: Config, new: Config) -> None:
    """Check that *old* and *new* ask about the same texts, so that labels of the one may be labels of the other.

    Raises:
        ConfigError: If they do not; a line for each problem.
    """
    if problems := list(_apart(old, new)):
        raise ConfigError(*problems)


def ensure_carries(config: Config, options: RunOptions) -> None:
    """Check that a run of *config* with *options* may carry labels over from the config in them.

    Raises:
        ConfigError: If it cannot; a line for each problem.
    """
    old = options.previous
    assert old is not None, "there is one"  # noqa: S101
    problems = list(_apart(old, config))
    if options.part is not None or options.workers > 1 or options.on_ray or options.selection is not None:
        problems.append(
            "--from: one process decides about all rows; leave out --slice, --workers, --engine, --limit and --sample"
        )
    if config.student is not None:
        problems.append(
            "student: a student and --from would both answer rows in place of the model; leave the section out, "
            "until the run with --from is done"
        )
    if config.escalate is not None or old.escalate is not None:
        problems.append(
            "escalate: labels that a second model has decided about are not carried over; run without --from, or take the section "
            f"out of this config and of {old.path.name}"
        )
    if config.model.lane == "batch":
        problems.append("model.lane: batch: would ask about all rows before it is known which; write live")
    if config.state.store is not None:
        problems.append("--from: needs a state.dir on this machine, where its coins are safe before it asks")
    if find_spec("scipy") is None and not problems and not only_renamed(previous_of(old), config):
        problems.append(
            "--from: scipy cannot be imported; install what audits: pip install 'nano-pipeline[student]'"
        )
    if problems:
        raise ConfigError(*problems)


def _apart(old: Config, new: Config) -> Iterator[str]:
    """Yield why labels of *old* cannot be labels of *new*."""
    name = old.path.name
    if old.path == new.path and old.path.exists():  # those that were given as mappings have no file
        yield f"{name}: is this very config; give the one before, such as `git show HEAD~:{name} > before.yaml`"
        return
    for key in ("kind", "text", "max_text_tokens"):
        if getattr(old.task, key) != getattr(new.task, key):
            yield f"task.{key}: is another one than in {name}, so that its labels are about other texts or of another kind; run without --from"
    names = [label.name for label in old.task.labels]
    for index, place, was in unknown_pasts(old.task, new.task):
        near = difflib.get_close_matches(was, names, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(names[:20])}"
        yield f"task.labels[{index}].was[{place}]: {name} has no label {was!r}; {hint}"
    if old.state.store is not None:
        yield f"{name}: its state is in an object store, and its answers are read from this machine"
    elif not any(old.state.dir.glob("**/ledger.sqlite")):
        yield f"{name}: has never been run, or its state is not in {old.state.dir}; run it first, or leave it out"
