"""`compare` and `diff`: two configs of one table: which does better, and what it costs to go from one to the other."""

import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.console import is_json_lines, print_lines, print_result
from pipeline.cli.evaluate import GoldFrom
from pipeline.cli.options import ConfigFile, Date, Overrides, ProviderName, load
from pipeline.cli.tables import Table, figure, print_table, short
from pipeline.errors import UsageError
from pipeline.figures import NONE, count, duration, interval, number, p_value, percent, points, usd

if TYPE_CHECKING:  # `--help` must not wait for what judges
    from pipeline.commands.diff.command import Diff, Line
    from pipeline.config import Config
    from pipeline.quality.paired import Comparison

SAMPLE = 300

OtherConfig = Annotated[
    Path,
    typer.Argument(metavar="OTHER", readable=False, help="The YAML file of another job on the same table."),
]
SampleRows = Annotated[
    int | None,
    typer.Option(
        "--sample",
        min=1,
        metavar="N",
        help="Compare N random rows. The default is 300; with --no-ask all that both have answered.",
    ),
]
SampleSeed = Annotated[
    int, typer.Option("--seed", metavar="N", help="Choose which rows: the same seed takes the same.")
]
Ask = Annotated[
    bool,
    typer.Option(
        "--ask/--no-ask", help="Ask about rows of the sample that have no answer yet, and pay for them."
    ),
]
OldConfig = Annotated[
    Path,
    typer.Argument(metavar="OLD", readable=False, help="The config as it was, such as git has it."),
]
NewConfig = Annotated[
    Path, typer.Argument(metavar="NEW", readable=False, help="The config as it is, of the same table.")
]
CsvFile = Annotated[
    Path | None,
    typer.Option("--csv", metavar="FILE", help="Write all rows on which the two differ to a CSV file, too."),
]


def compare(  # noqa: PLR0913, PLR0917 - as many as the command has options
    config: ConfigFile,
    other: OtherConfig,
    sample: SampleRows = None,
    seed: SampleSeed = 0,
    ask: Ask = True,  # noqa: FBT002 - a command's options are its arguments
    gold: GoldFrom = None,
    csv: CsvFile = None,
    overrides: Overrides = None,
    provider: ProviderName = None,
    date: Date = None,
) -> int:
    """Say which of two configs is right more often on the same rows.

    Both label a sample of rows first, as far as these have no answer yet.
    """
    pair = [load(path, overrides, provider, date) for path in (config, other)]
    if pair[0].path == pair[1].path:
        raise UsageError(f"{config}: is compared with itself; give another config")
    from pipeline.commands import compare as command  # noqa: PLC0415

    if ask:
        sample = sample or SAMPLE
        command.ensure_comparable(pair[0], pair[1], gold)
        _ask(pair, sample, seed)
    found = command.compare(pair[0], pair[1], gold, sample=sample, seed=seed)
    if csv is not None:
        command.save(found, csv)
        print_lines([f"{len(found.differences):,} rows on which the two differ are in {csv}"])
    show(found)
    print_result(found.as_dict())
    return 0


def _ask(pair: "list[Config]", sample: int, seed: int) -> None:
    """Say what it costs to label the sample with both configs, and do it: as `run --sample` does, within their limits."""
    from pipeline import api  # noqa: PLC0415
    from pipeline.job.options import RunOptions  # noqa: PLC0415
    from pipeline.telemetry.progress import Bar  # noqa: PLC0415

    options = RunOptions(sample=sample, seed=seed)
    plans = [api.plan(config, options) for config in pair]
    for config, planned in zip(pair, plans, strict=True):
        cost = f"about {usd(planned.cost_usd)}" if planned.cost_usd else usd(planned.cost_usd)
        told = f"{planned.requests:,} requests, {cost}" if planned.requests else "nothing to ask"
        print_lines(
            [f"{config.path.name}: {planned.rows:,} rows, {planned.answered:,} answered already; {told}"]
        )
    for config in pair:
        result = api.run(config, options, watch=Bar() if sys.stderr.isatty() else None, handle_signals=True)
        if result.requests:
            print_lines(
                [
                    f"{config.path.name}: {result.requests:,} requests, {usd(result.cost_usd)}, {duration(result.seconds)}"
                ]
            )


def show(found: "Comparison") -> None:
    """Print a comparison for people, to stderr; the verdict stands last."""
    sides = (found.a, found.b)
    rows = [
        [Path(each.config).name, short(each.model, 30), f"{each.labelled:,}", percent(each.accuracy), interval(each.low, each.high), usd(each.cost_usd)]
        for each in sides
    ]  # fmt: skip
    columns = ["config", "model", ">labelled", ">right", ">with 95 % confidence", ">cost"]
    print_table(Table(f"{found.rows:,} rows", columns, rows))
    if found.differences:
        names = [Path(each.config).name for each in sides]
        print_table(_changes(found, names))
        print_table(_differences(found, names))
    lines = [
        f"the same labels for {percent(found.agreement)} ({interval(found.agreement_low, found.agreement_high)}), kappa {figure(found.kappa)}"
    ]
    if found.unanswered:
        lines.append(f"{found.unanswered:,} rows have no answer of one of them, and are not compared")
    if found.paired:
        only = (
            f"{found.paired.only_a:,} rows only the first has right, {found.paired.only_b:,} only the second"
        )
        ends = f"{points(found.paired.low)} to {points(found.paired.high)} points"
        lines.append(
            f"of {count(found.paired.rows, 'row')} with a right label {only}; difference {points(found.paired.difference)} points ({ends}), McNemar p {p_value(found.paired.p)}"
        )
    print_lines(["", *lines, found.words])


def _changes(found: "Comparison", names: Sequence[str]) -> Table:
    """Return how often which labels became which others, and who is right then."""
    from pipeline.quality.changes import TOP, changes  # noqa: PLC0415 - --help must not wait for it

    kinds = changes(found.differences)
    rows = [
        [short(", ".join(each.a) or NONE, 30), short(", ".join(each.b) or NONE, 30), number(each.rows), number(each.right_a), number(each.right_b)]
        for each in kinds[:TOP]
    ]  # fmt: skip
    heads = [*names, ">rows", f">{names[0]} is right", f">{names[1]} is right"]
    kept = len(heads) if found.paired else 3
    more = f", the {TOP} most frequent of {count(len(kinds), 'kind')}" if len(kinds) > TOP else ""
    return Table(
        f"What changes in {count(len(found.differences), 'row')}{more}",
        heads[:kept],
        [row[:kept] for row in rows],
    )


def _differences(found: "Comparison", names: Sequence[str]) -> Table:
    """Return the rows that changed most surprisingly."""
    from pipeline.quality.changes import TOP  # noqa: PLC0415 - as above

    rows = [
        [
            short(each.id or str(each.row), 28),
            *([short(", ".join(each.gold or [NONE]), 20)] if found.paired else []),
            short(", ".join(each.a) or NONE, 20), percent(each.confidence_a, 0),
            short(", ".join(each.b) or NONE, 20), percent(each.confidence_b, 0),
            short(each.text, 60),
        ]
        for each in found.differences[:TOP]
    ]  # fmt: skip
    heads = ["row", *(["right"] if found.paired else []), names[0], ">sure", names[1], ">sure", "text"]
    return Table("Rows that change, the most surprising first: where both are sure", heads, rows)


def diff(old: OldConfig, new: NewConfig, provider: ProviderName = None, date: Date = None) -> int:
    """Say what a change of the labels touches and costs. Sends nothing."""
    return print_diff(load(old, None, provider, date), load(new, None, provider, date))


def print_diff(old: "Config", new: "Config") -> int:
    """Print what has changed from *old* to *new*."""
    from pipeline.commands.diff import command  # noqa: PLC0415
    from pipeline.telemetry.logs import configure  # noqa: PLC0415

    configure(json_lines=is_json_lines(), level=logging.WARNING)
    found = command.diff(old, new)
    _show_diff(found)
    print_result(found.as_dict())
    return 0


def _show_diff(found: "Diff") -> None:
    """Print a diff for people, to stderr."""
    lines = [*found.changes, found.total, found.everything]
    title = f"{Path(found.old).name} to {Path(found.new).name}: {count(found.rows, 'row')}, {found.carried:,} prompts may keep their labels"
    heads = ["change", "labels", ">rows touched", ">asked", ">audited", ">about"]
    print_table(Table(title, heads, [_cells(line) for line in lines]))
    source = "" if found.cost_source is None else f"prices from {found.cost_source}"
    if found.cost_source == "free":
        source = "this model is free"
    print_lines(["", *found.remarks, *([source] if source else []), "nothing was sent"])


def _cells(line: "Line") -> list[str]:
    rows = "any" if line.rows is None and line.kind != "together" else number(line.rows)
    asked = [number(value) if value else NONE for value in (line.forced, line.audits)]
    return [line.kind, short(line.what, 60), rows, *asked, usd(line.cost_usd)]
