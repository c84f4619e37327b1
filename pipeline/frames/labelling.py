"""`classify`: label the rows of a table in memory, with the engine and the ledger of a run."""

from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from enum import Enum
from functools import partial, wraps
from itertools import chain
from os import PathLike
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.api import load_config, run
from pipeline.config import Config
from pipeline.config.given import Overrides
from pipeline.errors import ConfigError, InputDataError, PipelineError, UsageError
from pipeline.frames.given import Given, given
from pipeline.frames.scratch import Scratch, scratch
from pipeline.frames.texts import TEXT
from pipeline.frames.told import in_our_words, warn_of_failures
from pipeline.job.options import RunOptions
from pipeline.outputs.columns import output_names
from pipeline.system.shutdown import Stop
from pipeline.system.threads import run_aside
from pipeline.telemetry.summary import RunResult

P = ParamSpec("P")
T = TypeVar("T")
Frame = TypeVar("Frame")

STATE = Path(".pipeline") / "classify"
"""Where paid answers are kept if nothing else is said, below the working directory."""

INSTRUCTIONS = {
    "single": "Choose the label that fits the text best.",
    "multi": "Choose every label that fits the text, and none if none does.",
}
"""What the model has to do if nothing else is said."""


def classify(  # noqa: PLR0913 - each is a setting that users know by its name
    frame: Frame,
    labels: Sequence[str | Mapping[str, str]] | Mapping[str, str] | type[Enum],
    text: str | None = None,
    *,
    instructions: str | None = None,
    kind: str = "single",
    examples: Sequence[Mapping[str, Any]] | Mapping[str, Any] = (),
    model: str | Mapping[str, Any] | None = None,
    provider: str | None = None,
    limits: Mapping[str, Any] | None = None,
    gold: str | None = None,
    prefix: str = "",
    retry: Collection[str] = (),
    settings: Overrides = (),
    state_dir: str | PathLike[str] | None = None,
    progress: bool | None = None,
    on_result: Callable[[RunResult], object] | None = None,
    stop: Stop | None = None,
) -> Frame:
    """Label each row of *frame*; what it has been asked before costs nothing.

    Args:
        frame: A DataFrame or LazyFrame of polars, a DataFrame of pandas, a Table or RecordBatch of pyarrow, anything else
            that gives an Arrow stream, or a list or a Series of texts.
        labels: The labels to choose from: their names, or a dict of names to descriptions, or an Enum with names as values.
        text: What the model reads about a row: text with {column} names; by default the column `text`.
        instructions: What the model has to do; by default to choose what fits best.
        kind: `single`, exactly one label a row; or `multi`, any number of them.
        examples: Texts with their right answers: a dict of texts to labels, or a list as in `task.examples` of a config.
        model: The model's name, or a dict as in the section `model` of a config.
        provider: Who is asked: `openai`, `local` (the embedded model), ...; by default as in a config.
        limits: What may be used up, as in the section `limits` of a config: `{"max_cost_usd": 2}`.
        gold: A column with the right labels, where they are known.
        prefix: Put before the name of every new column.
        retry: Ask again for rows whose stored answer has one of these statuses, such as `"error"`.
        settings: Any other settings of a config, by their dotted names.
        state_dir: Where paid answers are kept; by default `.pipeline/classify` below the working directory.
        progress: Whether to show a progress bar; by default in a notebook or at a prompt only.
        on_result: Called with the RunResult: counts, tokens, cost.
        stop: Lets another thread end the call gently: pass the reason to its `ask`.

    Returns:
        The same kind of thing, with the same rows and columns, and the new columns of a run's output. For a list the list of
        its labels, for a Series a Series of them: None where a row has no text, or no label.

    Raises:
        PipelineError: If the call could not finish; the subclass is the reason. Calling again continues.
    """
    options = RunOptions(retry=retry)
    table = given(frame)
    words = {
        "instructions": _usual(kind) if instructions is None else instructions,
        "text": _template(table) if text is None else text,
        "labels": _labels(labels),
        "examples": _examples(examples, kind),
    }
    task = {"kind": kind, **words, "gold": gold}
    sections = {"task": task, "model": _model(model, provider), "limits": limits}
    with scratch(Path(STATE if state_dir is None else state_dir).absolute()) as files, in_our_words(files):
        config = load_config({**sections, **_places(files, prefix)}, overrides=settings)
        _write(table, config, files.input)
        result = run(config, options, progress=progress, stop=stop)
        new = _new_columns(result)
        if on_result is not None:
            on_result(result)
    warn_of_failures(new)
    labelled: Frame = table.labelled(new)
    return labelled


def _usual(kind: str) -> str:
    return INSTRUCTIONS.get(kind, INSTRUCTIONS["single"])


def _model(model: str | Mapping[str, Any] | None, provider: str | None) -> dict[str, Any]:
    """Return the section `model` of a config."""
    named = {"name": model} if isinstance(model, str) else model or {}
    return {**named, **({"provider": provider} if provider else {})}


def _places(files: Scratch, prefix: str) -> dict[str, Any]:
    """Return the sections of a config that say where what is; nobody looks at the report of a call."""
    output = {"path": files.output, "report": False, "columns": {"prefix": prefix, "only": []}}
    return {"input": {"path": files.input}, "output": output, "state": {"dir": files.state}}


def _new_columns(result: RunResult) -> pa.Table:
    """Return the columns of a run's output, without its metadata."""
    found = pq.read_table(result.output)
    return pa.Table.from_arrays(found.columns, names=found.column_names)


def _awaitable(function: Callable[P, T]) -> Callable[P, Coroutine[Any, Any, T]]:
    @wraps(function)
    async def call(*arguments: P.args, **settings: P.kwargs) -> T:
        stop: Any = settings.get("stop") or Stop()
        settings["stop"] = stop
        return await run_aside(partial(function, *arguments, **settings), stop.ask)

    call.__name__ = call.__qualname__ = f"a{function.__name__}"
    call.__doc__ = f"""Do what `{function.__name__}` does, while the running event loop goes on.

    A cancellation stops it gently: nothing more is sent, the requests in flight may finish, and then CancelledError is
    raised. Calling again continues.

    {function.__doc__}
    """
    return call


aclassify = _awaitable(classify)


def _template(table: Given) -> str:
    if TEXT in table.names:
        return f"{{{TEXT}}}"
    raise UsageError(
        f"text: is missing; write what the model reads, such as '{{title}}'; the frame has {', '.join(table.names) or 'no columns'}"
    )


def _labels(labels: object) -> object:
    """Return labels as a config has them; what they cannot be, the config says."""
    if isinstance(labels, type) and issubclass(labels, Enum):
        return [member.value for member in labels]
    if isinstance(labels, Mapping):
        return [{"name": name, "description": description} for name, description in labels.items()]
    return labels


def _examples(examples: object, kind: str) -> object:
    if not isinstance(examples, Mapping):
        return examples
    key = "labels" if kind == "multi" else "label"
    return [{"text": text, key: answer} for text, answer in examples.items()]


def _write(table: Given, config: Config, path: Path) -> None:
    """Write the columns that are read, and nothing else of the frame.

    Raises:
        ConfigError: If there is no such column, or a new one would take the place of one that is not ours.
        InputDataError: If Arrow has no such values.
    """
    task, names = config.task, list(table.names)
    wanted = {"text": task.columns, "gold": (task.gold,) if task.gold else ()}
    problems = [
        f"{key}: {column}: the frame has {_said(names.count(column))}; its columns are {', '.join(names)}"
        for key, columns in wanted.items()
        for column in columns
        if names.count(column) != 1
    ]
    new = output_names(task.kind, config.output.columns.prefix)
    clashes = [name for name in new if name in names]
    if clashes and clashes != new:  # those of an earlier call are replaced
        problems.append(
            f"prefix: the frame already has {', '.join(clashes)}; set a prefix for the new columns, such as tag_"
        )
    if problems:
        raise ConfigError(*problems)
    used = list(dict.fromkeys(chain.from_iterable(wanted.values())))
    pq.write_table(pa.table({name: _column(table, name) for name in used}), path)


def _said(count: int) -> str:
    return f"{count} columns of that name" if count else "no such column"


def _column(table: Given, name: str) -> pa.Array | pa.ChunkedArray:
    try:
        return table.column(name)
    except PipelineError:
        raise
    except Exception as error:  # each library has errors of its own
        what = " ".join(str(error).split())
        raise InputDataError(
            f"frame: column {name!r} cannot be read ({what}); make its values texts"
        ) from error
