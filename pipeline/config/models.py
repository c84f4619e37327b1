"""The whole config and its smaller sections; these models define what a config may contain."""

from fractions import Fraction
from pathlib import Path

from pydantic import Field, field_validator
from pydantic.json_schema import SkipJsonSchema
from pydantic_core.core_schema import ValidationInfo

from pipeline.config.base import Settings
from pipeline.config.endpoint import ModelSettings
from pipeline.config.notify import NotifySettings
from pipeline.config.paths import LocalPath, SourcePath, StatePath, output_clash, state_clash, suffix_clash
from pipeline.config.simulate import SimulateSettings
from pipeline.config.task import TaskSettings
from pipeline.config.values import (
    CONTROL,
    Allowance,
    Count,
    FailureAllowance,
    Line,
    Seconds,
    SecondsOrAuto,
    Usd,
    wrong,
)

# Used through factories below, so that the JSON schema can show the defaults as a user would write them.
_DEFAULT_OUTAGE_SECONDS = 1_800.0
_DEFAULT_DRAIN_SECONDS = 25.0


def _one_character(value: str) -> str:
    if len(value) != 1 or value in "\r\n":
        raise wrong('is not one character; write one such as ";" or "\\t"')
    return value


class CsvSettings(Settings):
    """How CSV input is written."""

    delimiter: str | None = Field(
        default=None, description="One character; by default a tab for .tsv files and a comma for others."
    )
    encoding: str = Field(default="utf-8", description="Character encoding of the files.")
    quote: str = Field(default='"', description="One character around cells that hold the delimiter.")

    @field_validator("delimiter", "quote")
    @classmethod
    def _is_one_character(cls, value: str | None) -> str | None:
        return value if value is None else _one_character(value)

    @field_validator("quote")
    @classmethod
    def _quote_is_not_the_delimiter(cls, quote: str, info: ValidationInfo) -> str:
        if quote == info.data.get("delimiter"):
            raise wrong("is the delimiter too; choose another one")
        return quote

    @field_validator("encoding")
    @classmethod
    def _is_an_encoding(cls, encoding: str) -> str:
        try:
            "".encode(encoding).decode(encoding)
        except (LookupError, ValueError):
            raise wrong("is not an encoding; write one such as utf-8, utf-16 or latin-1") from None
        return encoding


class InputSettings(Settings):
    """Where the rows come from."""

    path: SourcePath = Field(description="File, folder, glob or URL; relative to the config file.")
    id: Line | None = Field(default=None, description="Column that names a row in messages and in `explain`.")
    csv: CsvSettings = Field(default_factory=CsvSettings, description="How CSV files are written.")


class LimitSettings(Settings):
    """What the run may use up."""

    requests_per_minute: Count | None = Field(default=None, description="The account's RPM; null knows none.")
    tokens_per_minute: Count | None = Field(default=None, description="The account's TPM; null knows none.")
    max_concurrency: Count = Field(default=64, description="At most so many requests at once.")
    max_cost_usd: Usd | None = Field(default=None, description="Stop before the run costs more US dollars.")
    max_runtime: Seconds | None = Field(default=None, description="Stop after so long: 90s, 30m, 6h, 1d.")
    max_failed: Allowance = Field(
        default_factory=lambda: FailureAllowance(Fraction(1), is_percent=True),
        json_schema_extra={"default": "1%"},
        description="Share (1%) or number of rows that may fail before the run ends with exit status 1.",
    )
    max_outage: Seconds = Field(
        default_factory=lambda: _DEFAULT_OUTAGE_SECONDS,
        json_schema_extra={"default": "30m"},
        description="Give up when the provider is away for longer: 90s, 30m, 6h, 1d.",
    )
    drain: Seconds = Field(
        default_factory=lambda: _DEFAULT_DRAIN_SECONDS,
        json_schema_extra={"default": "25s"},
        description="How long a stopped run waits for the requests in flight.",
    )
    request_timeout: SecondsOrAuto = Field(
        default="auto", description="Longest wait for one reply; auto learns it from the replies."
    )


class ColumnsSettings(Settings):
    """Which columns the output has, and what the new ones are called."""

    prefix: str = Field(default="", description="Put before the name of every new column.")
    only: tuple[Line, ...] | None = Field(
        default=None, description="Keep only these columns of the input beside the new ones; null keeps all."
    )

    @field_validator("prefix")
    @classmethod
    def _prefix_is_one_line(cls, prefix: str) -> str:
        if CONTROL.search(prefix):
            raise wrong("has a line break or a control character; write letters, digits and _")
        return prefix

    @field_validator("only")
    @classmethod
    def _names_differ(cls, only: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if only is not None and len(set(only)) < len(only):
            raise wrong("names a column twice; name each once")
        return only


class OutputSettings(Settings):
    """Where the labelled table goes."""

    path: LocalPath = Field(
        description="A .parquet file, or a folder where the input is a folder or glob; relative to the config file."
    )
    columns: ColumnsSettings = Field(
        default_factory=ColumnsSettings, description="Names and choice of the columns."
    )

    @field_validator("path")
    @classmethod
    def _path_is_parquet_or_a_folder(cls, path: Path) -> Path:
        sentence = suffix_clash(path, many=None)
        if sentence:
            raise wrong(sentence)
        return path


class StateSettings(Settings):
    """Where paid answers and the progress of runs are kept."""

    dir: StatePath = Field(
        default=None,
        validate_default=True,
        description="Folder; by default .pipeline/<name of the config> beside the config, or beside its folder `configs`.",
    )


class Config(Settings):
    """A whole job, checked; every path in it is absolute.

    Attributes:
        path: The config file; not a key that can be written.
    """

    path: SkipJsonSchema[Path]
    input: InputSettings = Field(description="Where the rows come from.")
    task: TaskSettings = Field(description="What is asked about each row.")
    model: ModelSettings = Field(default_factory=ModelSettings, description="Who is asked.")
    limits: LimitSettings = Field(default_factory=LimitSettings, description="What the run may use up.")
    output: OutputSettings = Field(description="Where the labelled table goes.")
    state: StateSettings = Field(
        default_factory=dict, validate_default=True, description="Where paid answers and progress are kept."
    )
    notify: NotifySettings = Field(
        default_factory=NotifySettings, description="Who is told that a run began and how it ended."
    )
    simulate: SimulateSettings = Field(
        default_factory=SimulateSettings, description="How provider simulate behaves; no other heeds it."
    )

    @field_validator("output")
    @classmethod
    def _output_spares_the_input(cls, output: OutputSettings, info: ValidationInfo) -> OutputSettings:
        source = info.data.get("input")
        sentence = source and output_clash(source.path, output.path)
        if sentence:
            raise wrong(sentence, "path")
        return output

    @field_validator("state")
    @classmethod
    def _state_spares_input_and_output(cls, state: StateSettings, info: ValidationInfo) -> StateSettings:
        source, output = info.data.get("input"), info.data.get("output")
        sentence = source and output and state_clash(source.path, output.path, state.dir)
        if sentence:
            raise wrong(sentence, "dir")
        return state
