"""The result of a run: the JSON line of the command and the return value of `run`."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import NoInputError
from pipeline.figures import usd

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True, slots=True)
class Side:
    """What a run was billed for answers that are no row's, such as those of the canary: it is in no row of the output.

    Attributes:
        requests: HTTP requests.
        prompt_tokens: Tokens billed for prompts.
        cached_tokens: Those of them that the provider read from its cache.
        completion_tokens: Tokens billed for replies.
        cost_usd: US dollars; None if no price is known.
    """

    requests: int
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    cost_usd: float | None

    def plus(self, other: "Side") -> "Side":
        """Return the sum of both."""
        costs = [cost for cost in (self.cost_usd, other.cost_usd) if cost is not None]
        return Side(
            self.requests + other.requests,
            self.prompt_tokens + other.prompt_tokens,
            self.cached_tokens + other.cached_tokens,
            self.completion_tokens + other.completion_tokens,
            sum(costs) if costs else None,
        )


@dataclass(frozen=True, slots=True)
class RunResult:
    """The result of a published run.

    Attributes:
        run_id: The run's id.
        status: `done`, or `failed` if more rows failed than `limits.max_failed` allows; `held` in the report of a run
            whose output a gate holds back, `partial` for the output of a run that is not finished.
        rows: Rows of the output, without those that `input.where` excludes.
        ok: Rows with labels.
        failed: Rows with text but without labels.
        empty: Rows without text, which are never asked about; with those that are `ok`, `unsure`, `pending` and `failed`
            they are all rows.
        reused: Rows whose answer was paid for by an earlier run.
        duplicates: Rows that repeat an earlier row's prompt. What is left of all rows, less the empty ones, this run has
            asked about.
        requests: HTTP requests to the model, over all executions of the run; 0 if it had finished before.
        retries: Those of them that had to be repeated.
        throttled: Those of them that the endpoint refused because of a rate limit (429).
        prompt_tokens: Tokens that this run was billed for the prompts of its rows.
        cached_tokens: Those of them that the provider read from its cache.
        completion_tokens: Tokens that it was billed for the replies to them.
        cost_usd: US dollars that it was billed for its rows; None if no price is known.
        cost_source: Where the price comes from: `reply`, `config`, `endpoint`, `catalog`; None if it is unknown.
        seconds: Duration of all its executions together.
        output: Path of the output.
        report: Path of the report.
        again: Whether the job had finished before, so that nothing was left to do.
        unsure: Rows with labels whose confidence is below `task.unsure_below`.
        skipped: Rows of the output that `input.where` excludes.
        pending: Rows without an answer yet, in a partial output.
        student: Rows that the student has answered.
        escalated: Rows that a second model has decided about.
        escalation: What became of the rows that were put to the second model, and what it has cost; None if there is none.
        carried: Rows whose labels an earlier config has found.
        side: What it was billed for answers that are no row's; None for nothing.
        evaluation: How the labels compare with those in `task.gold`; None if the config names no such column.
    """

    run_id: str
    status: str
    rows: int
    ok: int
    failed: int
    empty: int
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
    unsure: int = 0
    skipped: int = 0
    pending: int = 0
    student: int = 0
    escalated: int = 0
    carried: int = 0
    side: Side | None = None
    evaluation: dict[str, Any] | None = None
    escalation: dict[str, Any] | None = None

    @property
    def exit_status(self) -> int:
        """0 if the run is done, 1 if too many rows failed."""
        return 1 if self.status == "failed" else 0

    def as_dict(self) -> dict[str, Any]:
        """Return the fields by name, in order."""
        return asdict(self)

    def frame(self) -> "pl.DataFrame":
        """Return the output as a polars frame: the columns of the input that were kept, and the new ones.

        Raises:
            NoInputError: If the output is no longer there.
        """
        if "://" in self.output:
            raise NoInputError(f"{self.output}: is in an object store; polars.read_parquet reads it there")
        return _frame(Path(self.output))

    def labels(self) -> list[Any]:
        """Return the label of each row, in the order of the rows; a list of labels for kind multi, None where there is none.

        Raises:
            NoInputError: If the output is no longer there.
        """
        frame = self.frame()
        name = _label_column(frame.columns)
        is_json = name.endswith("labels")  # in CSV, which has no lists
        return [
            json.loads(each) if is_json and isinstance(each, str) else each for each in frame[name].to_list()
        ]

    def _repr_html_(self) -> str:
        """Return a small table of the figures, for notebooks."""
        return html_table(f"Run {self.run_id}: {self.status}", self.as_dict(), leave_out=("run_id", "status"))


def html_table(title: str, facts: Mapping[str, Any], *, leave_out: Collection[str] = ()) -> str:
    """Return *facts* as a small HTML table; whatever they hold, it is shown as text."""
    from html import escape  # noqa: PLC0415 - for notebooks only

    rows = "".join(
        f'<tr><th style="text-align:left">{escape(name.replace("_", " "))}</th>'
        f'<td style="text-align:left">{escape(_shown(name, value))}</td></tr>'
        for name, value in facts.items()
        if value is not None and name not in leave_out
    )
    return f"<table><caption>{escape(title)}</caption><tbody>{rows}</tbody></table>"


def _shown(name: str, value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if name == "cost_usd" and isinstance(value, float):
        return usd(value)
    return f"{value:,}" if isinstance(value, int | float) else str(value)


def _label_column(columns: Sequence[str]) -> str:
    """Return which of an output's columns has the labels; the new ones are the last, and have one prefix."""
    status = next(name for name in reversed(columns) if name.endswith("label_status"))
    single = status.removesuffix("_status")
    return single if single in columns else f"{single}s"


def _frame(output: Path) -> "pl.DataFrame":
    import polars as pl  # noqa: PLC0415 - a finished job must not wait for it

    if not output.exists():
        raise NoInputError(f"{output}: is no longer there; run again")
    files = sorted(file for file in output.rglob("*") if file.is_file()) if output.is_dir() else [output]
    if files[0].suffix == ".parquet":  # of a folder, polars knows what Hive folders say
        return pl.read_parquet(output, hive_partitioning=output.is_dir(), glob=False)
    return pl.concat(map(_read_text, files), how="diagonal_relaxed")


def _read_text(file: Path) -> "pl.DataFrame":
    """Return the rows of a CSV or JSON Lines file of ours."""
    import gzip  # noqa: PLC0415 - for frames only

    import polars as pl  # noqa: PLC0415 - a finished job must not wait for it

    with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as opened:
        content = opened.read()
    if ".jsonl" in file.suffixes:
        return pl.read_ndjson(content, infer_schema_length=None)
    names = pl.read_csv(content, n_rows=0, infer_schema=False).columns
    label = _label_column(names)  # a text, even if it looks like a number
    return pl.read_csv(content, infer_schema_length=None, schema_overrides={label: pl.String})
