"""What else than the labels differs between two questions: each such setting makes every row another question."""

from pipeline.config import Config, ModelSettings, TaskSettings
from pipeline.student.taxonomy import REMOVE, Taxonomy, called_as_before

LABELS = {"labels", "gold", "unsure_below"}
"""Settings of a task that are compared label by label, or that nobody is asked."""

MODEL = (
    "provider", "name", "temperature", "top_p", "seed", "structured_output", "reasoning_effort", "parameters",
    "rows_per_request",
)  # fmt: skip


def wording(old: Config, new: Config) -> list[str]:
    """Return the settings that differ, as the config calls them, and the order of the labels."""
    # Examples that differ by the names of their labels only are no others.
    task = called_as_before(old.task, new.task) or new.task
    found = [
        f"task.{name}"
        for name in TaskSettings.model_fields
        if name not in LABELS and getattr(old.task, name) != getattr(task, name)
    ]
    found += [f"model.{name}" for name in MODEL if _of(old.model, name) != _of(new.model, name)]
    if _moved(old.task, new.task):
        found.append("the order of the labels")
    return found


def _of(model: ModelSettings, name: str) -> object:
    return getattr(model, name)


def _moved(old: TaskSettings, new: TaskSettings) -> bool:
    """Return whether labels that both have stand in another order."""
    taxonomy = Taxonomy(old, new)
    gone = {name for change in taxonomy.changes if change.kind == REMOVE for name in change.old}
    before = [taxonomy.now([label.name])[0] for label in old.labels if label.name not in gone]
    before = list(dict.fromkeys(name for name in before if name in {label.name for label in new.labels}))
    return before != [label.name for label in new.labels if label.name in before]
