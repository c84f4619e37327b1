"""Options that several commands share, and the values that they stand for."""

from collections.abc import Callable, Sequence
from datetime import datetime
from enum import StrEnum
from functools import wraps
from inspect import Parameter, signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.errors import UsageError

if TYPE_CHECKING:  # `--help` must wait neither for pyarrow nor for pydantic
    from pipeline.config import Config
    from pipeline.job.options import RunOptions
    from pipeline.telemetry.prometheus import MetricsFile

ConfigFile = Annotated[
    Path, typer.Argument(metavar="CONFIG", readable=False, help="The YAML file that describes the job.")
]
Row = Annotated[
    str,
    typer.Argument(
        metavar="ROW", help="The row: its index, counted from 0, or its value in the column input.id."
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Override a setting of the config, such as limits.max_concurrency=8. May be given several times.",
    ),
]
ProviderName = Annotated[
    str | None,
    typer.Option(
        "--provider",
        metavar="NAME",
        help="Ask this endpoint instead of the config's: oxen, openai, openai-compatible, local (the embedded model) or simulate (a rehearsal with an output and a ledger of its own).",
    ),
]
RunProvider = Annotated[
    str | None,
    typer.Option(
        "--provider",
        metavar="NAME",
        help="The endpoint that was asked, where --provider named another than the config's: local or simulate, for example.",
    ),
]
Date = Annotated[
    str | None,
    typer.Option(
        "--date",
        metavar="DATE",
        help="What ${now:...} in the config stands for, such as 2026-01-31 or 2026-01-31T02:00: for a night that was missed. The default is now.",
    ),
]
Limit = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        help="Label only the first N rows, into <output>.limit-N.parquet; the answers are kept for later. By default all rows are labelled.",
    ),
]
Sample = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help="Label N random rows, into <output>.sample-N-SEED.parquet."),
]
Seed = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Choose which rows --sample takes: the same seed takes the same rows. The default is 0.",
    ),
]
LimitOfRun = Annotated[
    int | None, typer.Option("--limit", min=1, metavar="N", help="The run that was made with this --limit.")
]
SampleOfRun = Annotated[
    int | None, typer.Option("--sample", min=1, metavar="N", help="The run that was made with this --sample.")
]
SeedOfRun = Annotated[int | None, typer.Option("--seed", metavar="N", help="Its --seed, if it had one.")]
Retry = Annotated[
    str | None,
    typer.Option(
        metavar="STATUS,...",
        help="Ask again, and pay again, for rows that ended with these statuses: invalid, refused, filtered, too_long, error, unsure, ok, or all. By default none. Rows without text (empty) are never asked.",
    ),
]
Metrics = Annotated[
    Path | None,
    typer.Option(
        "--metrics-file",
        metavar="FILE",
        help="Write metrics for Prometheus's node exporter there when the run ends, such as /var/lib/node_exporter/tags.prom: a file for each config, replaced every time. A part of the rows and a rehearsal write none.",
    ),
]

DryRun = Annotated[bool, typer.Option("--dry-run", help="Send nothing: the same as the command plan.")]
Overwrite = Annotated[
    bool, typer.Option(help="Replace what is at output.path even if another program wrote it.")
]
Partial = Annotated[
    bool,
    typer.Option("--partial", help="If the run stops early, write what is answered to NAME.partial.SUFFIX."),
]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print nothing but problems and the JSON line.")]
ShowProgress = Annotated[bool, typer.Option(help="Show a progress bar, if stderr is a terminal.")]
Show = Annotated[
    bool, typer.Option("--show", help="Print the first rows of the output, at most 20, once it is published.")
]
AsJson = Annotated[
    bool,
    typer.Option(
        "--json",
        help="Print the result as a line of JSON, as in a pipe, at a terminal too.",
    ),
]


class LogFormat(StrEnum):
    """The format of log lines on stderr."""

    TEXT = "text"
    JSON = "json"


LinesAs = Annotated[
    LogFormat, typer.Option("--log-format", help="Write all lines on stderr as plain text or as JSON.")
]


class Commands(typer.Typer):
    """The commands of the program or of a group: all have `-h`, and print their result as JSON if `--json` asks for it."""

    def __init__(self, **settings: Any) -> None:
        names = {"help_option_names": ["-h", "--help"]}
        super().__init__(no_args_is_help=True, context_settings=names, **settings)

    def command(self, *names: Any, **settings: Any) -> Callable[[Any], Any]:
        """Register the decorated function as a command."""
        register = super().command(*names, **settings)

        def decorate(function: Callable[..., int]) -> Callable[..., int]:
            register(_with_json(function))
            return function

        return decorate


def _with_json(function: Callable[..., int]) -> Callable[..., int]:
    """Return *function* with the option `--json`, which `console.choose_form` has read by the time it is called."""

    @wraps(function)
    def command(*arguments: Any, as_json: bool = False, **options: Any) -> int:
        del as_json
        return function(*arguments, **options)

    shape = signature(function)
    option = Parameter("as_json", Parameter.KEYWORD_ONLY, default=False, annotation=AsJson)
    command.__signature__ = shape.replace(parameters=[*shape.parameters.values(), option])  # type: ignore[attr-defined]
    command.__annotations__ = {**function.__annotations__, "as_json": AsJson}
    return command


def run_options(  # noqa: PLR0913, PLR0917 - as many as the command has options
    limit: int | None,
    sample: int | None,
    seed: int | None,
    retry: str | None,
    part: str | None = None,
    workers: int = 1,
    engine: str | None = None,
    address: str | None = None,
    previous: "Config | None" = None,
    *,
    overwrite: bool = False,
    partial: bool = False,
    wait: bool = True,
) -> "RunOptions":
    """Return the options of a run that the command line gives.

    Raises:
        UsageError: If they contradict each other.
    """
    from pipeline.job.options import RunOptions, statuses  # noqa: PLC0415

    if limit is not None and sample is not None:
        raise UsageError("--limit and --sample: both choose the rows; give one of them")
    if seed is not None and sample is None:
        raise UsageError("--seed: chooses the rows of --sample; give --sample N too, or leave --seed out")
    names = [] if retry is None else [name.strip() for name in retry.split(",")]
    try:
        retried = statuses(names)
    except UsageError as error:
        raise UsageError(f"--retry: {error}") from None
    return RunOptions(
        limit, sample, seed or 0, retried, overwrite, partial=partial, workers=workers, wait=wait, slice=part,
        engine=engine, address=address, previous=previous,
    )  # fmt: skip


def asks_model(path: Path, overrides: Sequence[str] | None, provider: str | None) -> bool:
    """Return whether a real model is to be asked, before the config is checked: one that is wrong may be a rehearsal's."""
    from pipeline.config import named_provider  # noqa: PLC0415

    return named_provider(path, overrides or (), provider) != "simulate"


def moment(text: str | None) -> datetime | None:
    """Return the time that `--date` names; None for now.

    Raises:
        UsageError: If it names none.
    """
    from pipeline.config.environment import moment_of  # noqa: PLC0415

    try:
        return None if text is None else moment_of(text)
    except UsageError as error:
        raise UsageError(f"--date: {error}") from None


def load(path: Path, overrides: Sequence[str] | None, provider: str | None, date: str | None) -> Any:
    """Load the config file at *path*, with the changes that the command line makes.

    Raises:
        PipelineError: With all problems.
    """
    from pipeline.config import load_config  # noqa: PLC0415

    return load_config(path, overrides=overrides or (), provider=provider, now=moment(date))


def metrics_of(
    file: Path | None, config: Path, overrides: Sequence[str] | None, provider: str | None, *, of_part: bool
) -> "MetricsFile":
    """Return where the metrics go: nowhere for a run of some rows, or one that asks no real model."""
    from pipeline.telemetry.prometheus import MetricsFile  # noqa: PLC0415 - --help must not wait for it

    is_told = file is not None and not of_part and asks_model(config, overrides, provider)
    return MetricsFile(file if is_told else None, config)
