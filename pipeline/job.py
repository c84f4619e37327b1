"""A job made ready: config and input checked, the output's place known. Run, plan, check and explain start here."""

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path

import pyarrow as pa

from pipeline.config import Config
from pipeline.durable import make_private
from pipeline.errors import CannotCreateError, ConfigError, UsageError
from pipeline.inputs.source import Source
from pipeline.inputs.survey import survey
from pipeline.llm.providers import PROVIDERS
from pipeline.outputs.columns import output_names
from pipeline.outputs.place import OURS, ensure_creatable, output_name
from pipeline.records import Status
from pipeline.state import Workspace, workspace
from pipeline.tasks.prompt import Task

FORMAT = 1
"""Version of the output's columns; another one is another output."""


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What the command line adds to the config for one run.

    Attributes:
        limit: Label only the first so many rows, into an output of their own.
        sample: Label so many random rows, into an output of their own.
        seed: Chooses them.
        retry: Ask again for rows whose stored answer has one of these statuses.
        overwrite: Replace an output that is not ours.
    """

    limit: int | None = None
    sample: int | None = None
    seed: int = 0
    retry: frozenset[Status] = frozenset()
    overwrite: bool = False

    @property
    def selection(self) -> str | None:
        """A name for the rows that are selected; None for all."""
        if self.sample is not None:
            return f"sample-{self.sample}-{self.seed}"
        return f"limit-{self.limit}" if self.limit is not None else None


@dataclass(frozen=True, slots=True)
class Job:
    """Everything that is known before the first row is read.

    Attributes:
        config: The config, with the model's name as the provider has it.
        options: What the command line added.
        source: The input, surveyed.
        task: The task.
        output: Where the output goes.
        workspace: The output's state.
    """

    config: Config
    options: RunOptions
    source: Source
    task: Task
    output: Path
    workspace: Workspace = field(repr=False)

    @property
    def identity(self) -> str:
        """Hash of all that decides the output, apart from the ledger: 32 hexadecimal digits."""
        columns = self.config.output.columns
        parts = [
            FORMAT,
            self.task.fingerprint.hex(),
            self.source.fingerprint,
            [self.config.task.text, self.config.task.max_text_tokens],
            [columns.prefix, columns.only],
            [file.name for file in self.source.files],
            sorted(self.options.retry),
        ]
        return blake2b(json.dumps(parts).encode(), digest_size=16).hexdigest()

    def kept_columns(self) -> list[str]:
        """Return the names of the input's columns that the output keeps."""
        new = set(output_names(self.config.task.kind, self.config.output.columns.prefix))
        only = self.config.output.columns.only
        kept = self.source.schema.names if only is None else only
        return [name for name in kept if name not in new]

    def kept_schema(self) -> pa.Schema:
        """Return the schema of the input's columns that the output keeps, with its metadata."""
        fields = [self.source.schema.field(name) for name in self.kept_columns()]
        return pa.schema(fields, self.source.schema.metadata)


def statuses(names: Collection[str]) -> frozenset[Status]:
    """Return the statuses that *names* name, those that can be asked again; `all` names every one.

    Raises:
        UsageError: If one names none.
    """
    if list(names) == ["all"]:
        return frozenset(Status)
    asked = [status for status in Status if status is not Status.EMPTY]
    if Status.EMPTY in names:
        raise UsageError("rows without text (empty) are never asked; leave that status out")
    unknown = [name for name in names if name not in asked]
    if unknown:
        raise UsageError(f"there is no status {unknown[0]!r}; there are {', '.join(asked)} and all")
    return frozenset(map(Status, names))


def prepare(config: Config, options: RunOptions = RunOptions()) -> Job:
    """Check *config* and its input, and return the job.

    Raises:
        PipelineError: Whatever is wrong, as much at once as can be known.
    """
    if options.limit is not None and options.sample is not None:
        raise UsageError("--limit and --sample: both choose the rows; give one of them")
    config = for_provider(config)
    output = _output_path(config, options)
    place = workspace(config.state.dir, output)
    if options.selection is not None:
        source = _selected(config, options, place.folder)
    else:
        source = survey(config.input, _used(config), cache=_cache(config))
    problems = [*_output_problems(source, output), *_column_problems(config, source)]
    if problems:
        raise ConfigError(*problems)
    return Job(config, options, source, Task.from_config(config), output, place)


def ensure_output(job: Job) -> None:
    """Find out before the first request that the output can be created.

    Raises:
        CannotCreateError: If something else is there, or the folder cannot be written.
    """
    ensure_creatable(job.output, single=job.source.single, overwrite=job.options.overwrite)


def for_provider(config: Config) -> Config:
    """Name the model that will answer: an endpoint with one model has it, whatever the config names."""
    only = PROVIDERS[config.model.provider].model
    if only is None:
        return config
    return config.model_copy(update={"model": config.model.model_copy(update={"name": only})})


def _selected(config: Config, options: RunOptions, folder: Path) -> Source:
    """Cut the selected rows out of the input into a file of their own, which then is the input."""
    try:
        make_private(folder)
    except OSError as error:
        raise CannotCreateError(f"{folder}: cannot be written: {error}; check state.dir") from error
    from pipeline.inputs.sample import cut_rows, sample_rows  # noqa: PLC0415 - reading brings pyarrow.compute: 50 ms

    whole = survey(config.input, _used(config), cache=_cache(config))
    if options.sample is not None:
        rows = sample_rows(whole.rows, options.sample, options.seed)
    else:
        rows = range(min(options.limit or 0, whole.rows))
    # Named after the input's bytes, and cut once: the same rows again are the same job again.
    path = folder / f"{options.selection}-{whole.fingerprint[:12]}.parquet"
    if not path.exists():
        cut_rows(whole, rows, path)
    return survey(config.input.model_copy(update={"path": str(path)}), _used(config), cache=None)


def _used(config: Config) -> list[str]:
    return list(dict.fromkeys([*config.task.columns, *([config.input.id] if config.input.id else [])]))


def _cache(config: Config) -> Path:
    return config.state.dir / "survey.json"


def _output_path(config: Config, options: RunOptions) -> Path:
    path = config.output.path
    return path if options.selection is None else path.with_name(f"{path.stem}.{options.selection}.parquet")


def _output_problems(source: Source, path: Path) -> Iterator[str]:
    """Yield what is wrong between the input's files and the output's."""
    if source.single and path.suffix != ".parquet":
        yield f"output.path: {path}: the input is one file; give the output a name ending in .parquet"
    if not source.single and path.suffix == ".parquet":
        yield f"output.path: {path}: the input is a folder or a glob, so the output is a folder; drop .parquet"
    names: dict[str, str] = {}
    for file in source.files:
        other = names.setdefault(output_name(file.name), file.name)
        if other != file.name:
            yield f"input.path: {other} and {file.name} would both become {output_name(file.name)}; rename one"


def _column_problems(config: Config, source: Source) -> Iterator[str]:
    """Yield what is wrong between the input's columns and the output's."""
    names, columns = source.schema.names, config.output.columns
    for name in columns.only or ():
        if name not in names:
            yield f"output.columns.only: {name}: the input has no such column; it has {', '.join(names)}"
    earlier_output = OURS in (source.schema.metadata or {})
    kept = columns.only if columns.only is not None else names
    clashes = [name for name in output_names(config.task.kind, columns.prefix) if name in kept]
    if clashes and not earlier_output:
        yield (
            f"output.columns.prefix: the input already has {', '.join(clashes)}; "
            "set a prefix for the new columns, such as tag_"
        )
    if len(set(names)) < len(names) and columns.only is None:
        yield "input.path: the input has two columns of one name; name the columns to keep in output.columns.only"
