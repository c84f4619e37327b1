"""What the user has said about the job, by flags or at the terminal."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from pipeline.commands.init.labels import FEWEST, folded
from pipeline.commands.init.templates import TEMPLATES
from pipeline.config.providers import PROVIDERS
from pipeline.errors import UsageError
from pipeline.inputs.schema import nearest


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the user has said; None or nothing where it is to be found out.

    Attributes:
        text: The columns that the model reads.
        id: The column that names a row.
        labels_from: The column with the right labels.
        labels: The labels themselves.
        template: A name in `TEMPLATES`.
        provider: Who is asked.
        model: The name of the model.
        base_url: Where the endpoint is.
    """

    text: tuple[str, ...] = ()
    id: str | None = None
    labels_from: str | None = None
    labels: tuple[str, ...] = ()
    template: str | None = None
    provider: str | None = None
    model: str | None = None
    base_url: str | None = None

    @property
    def columns(self) -> list[str]:
        """The columns that are named."""
        return [*self.text, *filter(None, (self.id, self.labels_from))]

    def ensure_consistent(self) -> None:
        """Check what shows without a table.

        Raises:
            UsageError: With a line for each problem.
        """
        if problems := list(self._problems()):
            raise UsageError(*problems)

    def _problems(self) -> Iterator[str]:
        if self.labels_from is not None and self.labels:
            yield "--labels and --labels-from: both name the labels; give one of them"
        if self.template is not None and self.template not in TEMPLATES:
            yield f"--template: {self.template!r} is none; the templates are {', '.join(TEMPLATES)}"
        if self.provider is not None and self.provider not in PROVIDERS:
            yield f"--provider: {self.provider!r} is none; the providers are {', '.join(PROVIDERS)}"
        if self.provider == "openai-compatible" and not self.base_url:
            yield "--provider openai-compatible: needs --base-url, such as http://127.0.0.1:8080/v1"
        if self.labels and len({folded(name) for name in self.labels}) < max(FEWEST, len(self.labels)):
            yield f"--labels: gives fewer than {FEWEST} labels, or one of them twice"
        if self.labels_from is not None and self.labels_from in self.text:
            yield f"--text {self.labels_from}: is the column with the right labels; the model must not read it"


def split_list(text: str | None, known: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the parts of a list that commas separate; a name that is *known* may hold commas itself."""
    if not text or text in known:
        return (text,) if text else ()
    return tuple(part for each in text.split(",") if (part := each.strip()))


def with_labels(wishes: Wishes, said: str, columns: Sequence[str]) -> Wishes:
    """Return *wishes* with what a user has *said* of the labels: one of the *columns*, a template, or the labels themselves.

    Raises:
        UsageError: If it is a single word, and neither column nor template.
    """
    if said in columns:
        return replace(wishes, labels_from=said)
    if said in TEMPLATES:
        return replace(wishes, template=said)
    labels = split_list(said)
    if len(labels) > 1:
        return replace(wishes, labels=labels)
    near = nearest(said, [*columns, *TEMPLATES])
    hint = f"did you mean {near!r}?" if near else "write the labels with commas between them: a,b,c"
    raise UsageError(f"{said!r} is no column and no template, and one label is no choice; {hint}")
