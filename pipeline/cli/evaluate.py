"""`evaluate`: print how right the labels are, or draw rows for a person to label."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli.console import print_lines, print_result
from pipeline.cli.options import ConfigFile, Date, Overrides, RunProvider, load
from pipeline.cli.tables import Table, figure, print_table, short
from pipeline.errors import UsageError
from pipeline.figures import NONE, interval, number, percent, usd

if TYPE_CHECKING:  # `--help` must not wait for what judges
    from pipeline.config import Config
    from pipeline.quality.evaluation import Evaluation
    from pipeline.quality.metrics import Confusion

MOST_CONFUSED = 12
"""Labels up to which the confusion table is shown."""

MOST_LABELS = 40
"""Labels that are shown."""

GoldFrom = Annotated[
    str | None,
    typer.Option(
        "--gold",
        metavar="COLUMN|FILE",
        help="The right labels: a column of the input, or a table of id,label (CSV, Parquet, JSON Lines, ...). The default is task.gold.",
    ),
]
MinAccuracy = Annotated[
    float | None,
    typer.Option(
        min=0, max=1, metavar="SHARE", help="Exit with status 1 if the accuracy is lower, such as 0.8."
    ),
]
MakeGold = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        help="Draw N answered rows, half at random and half evenly over the labels, and write them to a CSV file to fill in.",
    ),
]
To = Annotated[
    Path | None,
    typer.Option(
        "--to",
        metavar="FILE",
        help="Where --make-gold writes. The default is <output>-gold.csv beside the output.",
    ),
]
ShowLabels = Annotated[
    bool,
    typer.Option(
        "--show-labels",
        help="Have --make-gold write the model's labels, too. They sway whoever fills the file in.",
    ),
]
GoldSeed = Annotated[
    int | None,
    typer.Option("--seed", metavar="N", help="Choose which rows --make-gold draws. The default is 0."),
]


def evaluate(  # noqa: PLR0913, PLR0917 - as many as the command has options
    config: ConfigFile,
    gold: GoldFrom = None,
    min_accuracy: MinAccuracy = None,
    make_gold: MakeGold = None,
    to: To = None,
    show_labels: ShowLabels = False,  # noqa: FBT002 - a command's options are its arguments
    seed: GoldSeed = None,
    overrides: Overrides = None,
    provider: RunProvider = None,
    date: Date = None,
) -> int:
    """Say how right the labels are, where right ones are known. Sends nothing."""
    if make_gold is None and (to is not None or show_labels or seed is not None):
        raise UsageError("--to, --show-labels and --seed: are about the file of --make-gold N; give that too")
    if make_gold is not None and (gold is not None or min_accuracy is not None):
        raise UsageError("--make-gold: draws rows to label; evaluate them, once they are, with --gold FILE")
    loaded = load(config, overrides, provider, date)
    if make_gold is not None:
        made = _made(loaded, make_gold, to, show_labels=show_labels, seed=seed or 0)
        print_result(made)
        return 0
    from pipeline.commands.evaluate import evaluate  # noqa: PLC0415

    found = evaluate(loaded, gold)
    show(found)
    low = min_accuracy is not None and found.accuracy < min_accuracy
    if low:
        print_lines(
            [f"the accuracy, {percent(found.accuracy)}, is below --min-accuracy {min_accuracy:g}"], "error"
        )
    print_result(found.as_dict())
    return 1 if low else 0


def _made(config: "Config", rows: int, to: Path | None, *, show_labels: bool, seed: int) -> dict[str, Any]:
    """Draw rows to label, say what to do with the file, and return the facts about it."""
    from pipeline.commands.make_gold import make_gold  # noqa: PLC0415

    found = make_gold(config, rows, to, show_labels=show_labels, seed=seed)
    several = "; several names with ; between them, and [] where none fits" if found.kind == "multi" else ""
    print_lines([
        f"{found.rows:,} of {found.of:,} labelled rows are in {found.file}",
        f"fill in the column label{several}; rows left blank are not judged. Then:",
        f"  {config.command('evaluate', '--gold', found.file)}",
    ])  # fmt: skip
    return found.as_dict()


def show(found: "Evaluation") -> None:
    """Print an evaluation for people, to stderr; the verdict stands last, where it is seen first."""
    print_table(_labels(found))
    if found.confusion is not None and len(found.confusion.labels) - 1 <= MOST_CONFUSED:
        print_table(_confusion(found))
    elif found.confusion is not None:
        print_table(_mixed_up(found.confusion))
    if found.reliability:
        print_table(_reliability(found))
    if found.mistakes:
        print_table(_mistakes(found))
    print_lines(["", *_measures(found), *_cautions(found), verdict(found)])


def verdict(found: "Evaluation") -> str:
    """Return an evaluation in one sentence."""
    what = "exactly the right labels" if found.kind == "multi" else "the right label"
    missing = found.rows - round(found.coverage * found.rows)
    apart = f"; {missing:,} of them failed or are unsure, and count as wrong" if missing else ""
    between = f"{interval(found.accuracy_low, found.accuracy_high)} with 95 % confidence"
    return f"{percent(found.accuracy)} of {found.rows:,} rows have {what} ({between}){apart}"


def _labels(found: "Evaluation") -> Table:
    rows = []
    most = sorted(found.labels, key=lambda name: -found.labels[name].support)[:MOST_LABELS]
    for name, score in found.labels.items():
        if name not in most:
            continue
        share = found.shares.get(name)
        counted = percent(share.naive if share else None)
        between = interval(share.low, share.high) if share else NONE
        rows.append([
            short(name, 30), f"{score.precision:.2f}", f"{score.recall:.2f}", f"{score.f1:.2f}", f"{score.support:,}", counted, between,
        ])  # fmt: skip
    title = (
        "Labels"
        if len(most) == len(found.labels)
        else f"The {len(most)} most frequent of {len(found.labels):,} labels"
    )
    return Table(title, ["label", ">precision", ">recall", ">F1", ">rows", ">counted", ">really"], rows)


def _confusion(found: "Evaluation") -> Table:
    confusion = found.confusion
    if confusion is None:
        raise AssertionError
    # No row of gold has no label, and few tables have rows without one.
    places = [place for place in range(len(confusion.labels)) if any(row[place] for row in confusion.counts)]
    rows = [
        [short(name, 20), *(str(counts[place] or "·") for place in places)]
        for name, counts in zip(confusion.labels, confusion.counts, strict=True)
        if any(counts)
    ]
    names = [f">{short(confusion.labels[place], 10)}" for place in places]
    return Table("Right labels (down) and those given (across)", ["", *names], rows)


def _mixed_up(confusion: "Confusion") -> Table:
    """Return the most frequent mistakes, where there are too many labels for a table of all pairs."""
    pairs = [
        (count, right, given)
        for right, counts in zip(confusion.labels, confusion.counts, strict=True)
        for given, count in zip(confusion.labels, counts, strict=True)
        if count and right != given
    ]
    rows = [
        [short(right, 30), short(given, 30), number(count)]
        for count, right, given in sorted(pairs, key=lambda pair: -pair[0])[:MOST_CONFUSED]
    ]
    return Table("What is taken for what", ["right", "given", ">rows"], rows)


def _reliability(found: "Evaluation") -> Table:
    rows = [
        [
            percent(each.confidence),
            percent(each.right),
            interval(each.low, each.high),
            f"{each.rows:,}",
        ]
        for each in found.reliability
    ]
    return Table("Confidence", [">says", ">is right", ">with 95 % confidence", ">rows"], rows)


def _mistakes(found: "Evaluation") -> Table:
    rows = [
        [short(each.id or str(each.row), 28), percent(each.confidence), short(", ".join(each.gold), 30), short(", ".join(each.label), 30), short(each.text, 70)]
        for each in found.mistakes
    ]  # fmt: skip
    return Table("The surest mistakes", ["row", ">sure", "right", "given", "text"], rows)


def _measures(found: "Evaluation") -> list[str]:
    """Return the lines with the other measures."""
    f1 = f"F1: macro {figure(found.macro_f1)}, micro {figure(found.micro_f1)}, weighted {figure(found.weighted_f1)}"
    lines = [f"{f1}; kappa {figure(found.kappa)}, MCC {figure(found.mcc)}"]
    if found.kind == "multi":
        lines.append(f"Hamming loss {figure(found.hamming)}, Jaccard {figure(found.jaccard)}")
    if found.ece is not None and found.ece_floor is not None and found.brier is not None:
        which = "calibrated" if found.calibrated else "reported"
        floor = f"{found.ece_floor.mean:.3f} by chance alone, at most {found.ece_floor.high:.3f}"
        lines.append(
            f"{which} confidence: ECE {found.ece:.3f} (a perfect one: {floor}), Brier {found.brier:.3f}"
        )
    table = found.accuracy_table
    if table is not None and table.share is not None:
        ends = interval(table.low, table.high)
        lines.append(
            f"over the whole table, each label as often as it was given: about {percent(table.share)} right ({ends})"
        )
    if found.cost_per_1000_right_usd is not None:
        cost = found.cost_per_1000_right_usd
        lines.append(f"a thousand right labels cost {usd(cost) if cost else 'nothing'}")
    return lines


def _cautions(found: "Evaluation") -> list[str]:
    lines = [*found.remarks]
    if found.unanswered:
        lines.append(f"{found.unanswered:,} rows with a right label have no answer yet, and are not judged")
    if found.empty:
        lines.append(f"{found.empty:,} rows with a right label have no text, and are not judged")
    if found.unknown_gold:
        names = ", ".join(
            f"{short(name, 30)} ({rows:,})" for name, rows in list(found.unknown_gold.items())[:10]
        )
        more = f" and {len(found.unknown_gold) - 10:,} others" if len(found.unknown_gold) > 10 else ""  # noqa: PLR2004
        which = "right labels that the task does not know" + (
            ", whose rows count as wrong" if found.kind == "single" else ""
        )
        lines.append(f"{which}: {names}{more}")
    return lines
