"""What else than the labels differs between two questions: each such setting makes every row another question."""

from pipeline.config import Config, ModelSettings, TaskSettings
from pipeline.config.parameters import that_change_answers
from pipeline.student.taxonomy import REMOVE, Taxonomy, called_as_before

LABELS = {"labels", "gold", "unsure_below"}
"""Settings of a task that are compared label by label, or that nobody is asked."""

MODEL = ("provider", "name", "temperature", "top_p", "seed", "structured_output", "reasoning_effort")


def wording(old: Config, new: Config) -> list[str]:
    """Return the settings that differ, as the config calls them, and the order of the labels."""
    # Examples that differ by the names of their labels only are no others.
    task = called_as_before(old.task, new.task) or new.task
    found = [
        f"task.{name}"
        for name in TaskSettings.model_fields
        if name not in LABELS and getattr(old.task, name) != getattr(task, name)
    ]
    before, after = _of(old.model), _of(new.model)
    found += [f"model.{name}" for name, value in before.items() if value != after[name]]
    if _moved(old.task, new.task):
        found.append("the order of the labels")
    return found


def _of(model: ModelSettings) -> dict[str, object]:
    """Return what of a model's settings is part of the question: not how many rows are asked together, nor what only routes."""
    return {
        **{name: getattr(model, name) for name in MODEL},
        "parameters": that_change_answers(model.parameters),
        "rows_per_request": model.rows_per_request == 1,
    }


def _moved(old: TaskSettings, new: TaskSettings) -> bool:
    """Return whether labels that both have stand in another order."""
    taxonomy = Taxonomy(old, new)
    gone = {name for change in taxonomy.changes if change.kind == REMOVE for name in change.old}
    before = [taxonomy.now([label.name])[0] for label in old.labels if label.name not in gone]
    before = list(dict.fromkeys(name for name in before if name in {label.name for label in new.labels}))
    return before != [label.name for label in new.labels if label.name in before]
