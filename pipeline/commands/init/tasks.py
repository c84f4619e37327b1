"""Which task is proposed: its labels come from the user, from a column of the table, or from a template."""

import re
from dataclasses import dataclass

from pipeline.commands.init.choosing import gold_columns
from pipeline.commands.init.columns import column_cells, enumerated
from pipeline.commands.init.labels import described, labels_in
from pipeline.commands.init.looking import Looked
from pipeline.commands.init.templates import TEMPLATES, Label, Template
from pipeline.commands.init.wishes import Wishes

DEFAULT_TEMPLATE = "topics"
"""Where neither the table nor the user names labels: topics fit most texts."""

_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Chosen:
    """A task, and where it is from.

    Attributes:
        task: Kind, instructions and labels.
        why: Where the labels are from, and which flag changes that.
        gold: The column with the right labels.
        max_labels: Most labels in a row, for kind multi; None for any number.
        template: The template that it is from.
        notes: What the user should know.
    """

    task: Template
    why: str
    gold: str | None = None
    max_labels: int | None = None
    notes: tuple[str, ...] = ()
    template: str | None = None


def gold_column(looked: Looked, wishes: Wishes, taken: tuple[str | None, ...]) -> str | None:
    """Return the column whose labels are taken: the one that the user names, else the likeliest one."""
    if wishes.labels_from or wishes.labels or wishes.template:
        return wishes.labels_from
    return next(iter(gold_columns(looked.columns, filter(None, (*taken, *wishes.text)))), None)


def chosen_task(looked: Looked, wishes: Wishes, gold: str | None) -> Chosen:
    """Return the task, with the labels of the column *gold* if there is one.

    Raises:
        InputDataError: If its labels are too few or too many.
    """
    template = TEMPLATES[wishes.template] if wishes.template else None
    if gold is not None:
        return _from_column(looked, gold, template, is_named=wishes.labels_from is not None)
    if wishes.labels:
        known = template.labels if template else ()
        task = Template(
            template.kind if template else "single",
            template.instructions if template else "Choose the label that describes the text best.",
            described(wishes.labels, known),
        )
        return Chosen(task, "as you gave them")
    name = wishes.template or DEFAULT_TEMPLATE
    why = f"of the template {name}"
    if template is None:
        why += ", as no column looks like labels; --labels a,b,c, --labels-from COL or another --template changes that"
    return Chosen(TEMPLATES[name], why, template=name)


def _from_column(looked: Looked, gold: str, template: Template | None, *, is_named: bool) -> Chosen:
    column = next(each for each in looked.columns if each.name == gold)
    values = column_cells(looked.source, gold)
    if column.is_enumeration:  # as CSV files write lists
        values = (enumerated(each) if isinstance(each, str) else each for each in values)
    found = labels_in(gold, values)
    is_multi = column.kind == "list" or column.is_enumeration
    instructions = template.instructions if template else _instructions(gold, is_multi=is_multi)
    labels = described(found.names, template.labels if template else ())
    why = f"the values of column {gold}, which {found.rows:,} of {looked.rows:,} rows have"
    if not is_named:
        why += "; --labels a,b,c, --labels-from COL or --template NAME takes others"
    notes = []
    if found.left_out:
        shown = ", ".join(map(repr, found.left_out[:_SHOWN])) + (
            ", ..." if len(found.left_out) > _SHOWN else ""
        )
        notes.append(
            f"{len(found.left_out):,} values of {gold} are no labels or another spelling of one: {shown}"
        )
    if not any(label.description for label in labels):
        notes.append("the labels have no descriptions: write one for each, and the model knows what you mean")
    return Chosen(
        Template("multi" if is_multi else "single", instructions, labels),
        why,
        gold,
        found.most if is_multi else None,
        tuple(notes),
    )


def _instructions(gold: str, *, is_multi: bool) -> str:
    """Return what to do where only the name of a column tells what the labels are."""
    word = gold.replace("_", " ") if re.fullmatch("[A-Za-z][A-Za-z_]*", gold) else "label"
    return (
        f"Choose every one of the {word} that fits the text."
        if is_multi
        else f"Choose the {word} that fits the text best."
    )


def names_of(labels: tuple[Label, ...]) -> str:
    """Return the names of *labels* for a line, the first ones if there are many."""
    shown = 12
    more = f" and {len(labels) - shown:,} more" if len(labels) > shown else ""
    return ", ".join(label.name for label in labels[:shown]) + more
