"""`calibrate`: learn what confidences are worth, and print it."""

from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.console import print_lines, print_result
from pipeline.cli.evaluate import GoldFrom
from pipeline.cli.options import ConfigFile, Date, Overrides, RunProvider, load
from pipeline.cli.tables import Table, print_table
from pipeline.errors import UsageError
from pipeline.figures import interval, percent

if TYPE_CHECKING:
    from pipeline.commands.calibrate import Calibrated

Remove = Annotated[
    bool,
    typer.Option("--remove", help="Drop the calibration: the next run publishes confidences as reported."),
]

Second = Annotated[
    bool,
    typer.Option("--second", help="That of the model in the section escalate, from the rows put to it."),
]


def calibrate(
    config: ConfigFile,
    gold: GoldFrom = None,
    second: Second = False,  # noqa: FBT002 - a command's options are its arguments
    remove: Remove = False,  # noqa: FBT002 - a command's options are its arguments
    overrides: Overrides = None,
    provider: RunProvider = None,
    date: Date = None,
) -> int:
    """Learn from right labels what confidences are worth. Sends nothing.

    It takes 50 of them at least. No label changes: the next run writes label_confidence anew.
    """
    if remove and gold is not None:
        raise UsageError("--remove: drops a calibration, --gold is to learn one; give one of them")
    loaded = load(config, overrides, provider, date)
    from pipeline.commands import calibrate as command  # noqa: PLC0415

    again = f"`{loaded.command('run')}` publishes"
    if second:
        loaded = command.of_second(loaded)
    if remove:
        was_there = command.remove(loaded)
        print_lines(
            [f"removed; {again} confidences as the model reports them, and asks nothing"]
            if was_there
            else ["there is no calibration"]
        )
        print_result({"status": "removed" if was_there else "none"})
        return 0
    found = command.calibrate(loaded, gold)
    _print(found, again)
    print_result(found.as_dict())
    return 0


def _print(found: "Calibrated", again: str) -> None:
    """Print what was learned; *again* is what publishes it."""
    before, after = found.fit.before, found.fit.after
    rows = [
        [
            percent(each.confidence),
            percent(each.right),
            interval(each.low, each.high),
            f"{each.rows:,}",
        ]
        for each in after.table
    ]
    columns = [">says", ">is right", ">with 95 % confidence", ">rows"]
    print_table(Table("Calibrated confidence, on rows that it was not fitted on", columns, rows))
    floor = f"a perfect one: {after.floor.mean:.3f} by chance alone, at most {after.floor.high:.3f}"
    small = before.ece <= before.floor.high
    without = f"; {found.without:,} more have no confidence" if found.without else ""
    print_lines([
        "",
        *(["the reported confidences are as true as so many rows can tell: this changes little"] if small else []),
        f"fitted ({found.fit.method}) on {found.fit.rows:,} rows of {found.gold}{without}",
        f"ECE {before.ece:.3f} before, {after.ece:.3f} after ({floor}); Brier {before.brier:.3f} before, {after.brier:.3f} after",
        f"{again} it as label_confidence, and asks nothing; the labels stay as they are",
    ])  # fmt: skip
