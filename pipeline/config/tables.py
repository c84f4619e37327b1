"""The sections of the config about places: where the rows come from, where the labelled table goes, and where state is kept."""

from typing import Any, Literal

from pydantic import Field, ModelWrapValidatorHandler, PrivateAttr, field_validator, model_validator
from pydantic_core.core_schema import ValidationInfo

from pipeline.config.base import Settings
from pipeline.config.paths import (
    OutputFormat,
    OutputPath,
    SourcePath,
    StatePath,
    format_of,
    in_store,
    is_url,
    suffix_clash,
    working_copy,
)
from pipeline.config.slices import Slice, slice_folder, slice_store
from pipeline.config.values import CONTROL, Text, wrong
from pipeline.system.places import ObjectPath, Place


def _one_character(value: str) -> str:
    if len(value) != 1 or value in "\r\n":
        raise wrong('is not one character; write one such as ";" or "\\t"')
    return value


NULL_WORDS = (r"\N", "NULL", "null", "None", "NaN", "nan", "N/A", "n/a", "#N/A", "<NA>")
"""What databases and data frames write for a text that is missing."""


class CsvSettings(Settings):
    """How CSV input is written."""

    delimiter: str | None = Field(
        default=None, description="One character; by default a tab for .tsv files and a comma for others."
    )
    encoding: str = Field(default="utf-8", description="Character encoding of the files.")
    quote: str | None = Field(
        default='"',
        description="One character around cells that hold the delimiter; null where a quote is a character like others.",
    )
    escape: str | None = Field(
        default=None,
        description="One character that takes the meaning from the next one, such as the backslash of Spark and MySQL.",
    )
    comment: str | None = Field(default=None, description="One character that begins lines to leave out.")
    header: bool = Field(default=True, description="Whether the first line names the columns.")
    columns: tuple[Text, ...] | None = Field(
        default=None,
        description="Names of the columns where header is false; column_1, column_2, ... if null.",
    )
    skip_lines: int = Field(default=0, ge=0, description="Lines to leave out above the header.")
    nulls: tuple[str, ...] = Field(
        default=NULL_WORDS,
        description="What a cell says if its text is missing: it counts as empty, and the output keeps it as it is.",
    )

    @field_validator("delimiter", "quote", "escape", "comment")
    @classmethod
    def _is_one_character(cls, value: str | None) -> str | None:
        return value if value is None else _one_character(value)

    @field_validator("quote", "escape", "comment")
    @classmethod
    def _has_one_meaning(cls, value: str | None, info: ValidationInfo) -> str | None:
        for key in ("delimiter", "quote", "escape"):
            if value is not None and key in info.data and value == info.data[key]:
                raise wrong(f"is the {key} too; choose another one")
        return value

    @field_validator("encoding")
    @classmethod
    def _is_an_encoding(cls, encoding: str) -> str:
        try:
            "".encode(encoding).decode(encoding)
        except (LookupError, ValueError):
            raise wrong("is not an encoding; write one such as utf-8, utf-16 or latin-1") from None
        return encoding

    @field_validator("columns")
    @classmethod
    def _columns_stand_for_a_header(
        cls, columns: tuple[str, ...] | None, info: ValidationInfo
    ) -> tuple[str, ...] | None:
        if columns is not None and info.data.get("header"):
            raise wrong("names what the first line names; set header to false if it is a row of data")
        if columns is not None and len(set(columns)) < len(columns):
            raise wrong("names a column twice; name each once")
        return columns


class InputSettings(Settings):
    """Where the rows come from."""

    path: SourcePath = Field(
        description="File, folder, glob or the folder of a Delta table; relative to the config file. Or one in an object store: s3://, gs:// or az://."
    )
    version: int | None = Field(
        default=None, ge=0, description="Version of a Delta table; null is the newest when a run begins."
    )
    id: Text | None = Field(default=None, description="Column that names a row in messages and in `explain`.")
    where: Text | None = Field(
        default=None,
        description="SQL expression; rows for which it is not true are not labelled: section = 'net'.",
    )
    untrusted: Text | None = Field(
        default=None,
        description="Column; rows are alone in a request (model.rows_per_request) unless it says false, no or 0.",
    )
    csv: CsvSettings = Field(default_factory=CsvSettings, description="How CSV files are written.")


class ColumnsSettings(Settings):
    """Which columns the output has, and what the new ones are called."""

    prefix: str = Field(default="", description="Put before the name of every new column.")
    only: tuple[Text, ...] | None = Field(
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

    path: OutputPath = Field(
        description="A .parquet, .csv, .csv.gz, .jsonl or .jsonl.gz file, or a folder where the input is a folder or "
        "glob; relative to the config file. Or such a place in an object store: s3://, gs:// or az://."
    )
    format: OutputFormat | None = Field(
        default=None,
        description="Format of the files in an output folder; null is parquet. Or delta: the folder is a Delta table, to "
        "which rows are appended.",
    )
    columns: ColumnsSettings = Field(
        default_factory=ColumnsSettings,
        validate_default=True,
        description="Names and choice of the columns.",
    )
    unmatched: Literal["drop", "keep"] = Field(
        default="drop",
        description="Rows that input.where excludes: left out, or kept with label_status skipped.",
    )

    report: bool = Field(
        default=True,
        description="Whether a run that has published draws its report, a page beside report.json.",
    )

    @property
    def file_format(self) -> str:
        """Format of its files, one of `OUTPUT_FORMATS`."""
        return format_of(self.path) or self.format or "parquet"

    @field_validator("format")
    @classmethod
    def _format_is_that_of_the_path(cls, form: str | None, info: ValidationInfo) -> str | None:
        path = info.data.get("path")
        if form and path and format_of(path) not in {None, form}:
            raise wrong("is not what output.path ends in; it is for folders, leave it out")
        return form

    @property
    def is_table(self) -> bool:
        """Whether it is a table to which rows are appended, rather than files that are replaced."""
        return self.file_format == "delta"

    @field_validator("columns")
    @classmethod
    def _a_table_has_keys(cls, columns: ColumnsSettings, info: ValidationInfo) -> ColumnsSettings:
        if info.data.get("format") == "delta" and not columns.only:
            raise wrong(
                "is to name the columns by which the table is joined: labels go to a table of their own",
                "only",
            )
        return columns

    @field_validator("path")
    @classmethod
    def _path_is_a_known_file_or_a_folder(cls, path: Place) -> Place:
        sentence = suffix_clash(path, many=None)
        if sentence:
            raise wrong(sentence)
        return path


class StateSettings(Settings):
    """Where paid answers and the progress of runs are kept."""

    dir: StatePath = Field(
        default=None,
        validate_default=True,
        description="Folder; by default .pipeline/<name of the config> beside the config, or beside its folder `configs`. "
        "Or one in an object store: s3://, gs:// or az://; then work is done in a copy of it on this machine.",
    )

    _store: ObjectPath | None = PrivateAttr(default=None)

    @model_validator(mode="wrap")
    @classmethod
    def _works_in_a_copy(
        cls, data: Any, inner: ModelWrapValidatorHandler["StateSettings"]
    ) -> "StateSettings":
        url = data.get("dir") if isinstance(data, dict) else None
        if not isinstance(url, str) or not is_url(url):
            return inner(data)
        store = in_store(url)
        made = inner({**data, "dir": str(working_copy(store))})
        made._store = store  # noqa: SLF001 - its own
        return made

    @property
    def store(self) -> ObjectPath | None:
        """The folder in an object store of which `dir` is a copy; None where `dir` is all there is."""
        return self._store

    def of_slice(self, part: Slice) -> "StateSettings":
        """Return where a slice keeps its own."""
        found = self.model_copy(update={"dir": slice_folder(self.dir, part)})
        found._store = self._store and slice_store(self._store, part)  # noqa: SLF001 - its own
        return found
