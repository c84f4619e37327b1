"""The section `task`: what to ask about each row."""

from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    GetJsonSchemaHandler,
    WithJsonSchema,
    field_validator,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema
from pydantic_core.core_schema import ValidationInfo

from pipeline.config.answers import example_problems, repeated_names, wrong_pasts
from pipeline.config.base import Settings
from pipeline.config.template import column_names, parse_template
from pipeline.config.values import CONTROL, Count, Probability, Text, Within, all_wrong, wrong

_FEWEST_LABELS = 2
# OpenAI's limit on the enum values in a JSON schema for structured outputs.
_MOST_LABELS = 1_000
_LONGEST_LABEL = 200
_DEFAULT_MAX_TEXT_TOKENS = 2_000


_TEXTS = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
Names = Annotated[
    tuple[Text, ...],
    BeforeValidator(lambda value: (value,) if isinstance(value, str) else value),
    WithJsonSchema(_TEXTS),
]


class LabelSettings(Settings):
    """A label; a plain text in the list is short for a label with only a name."""

    name: str = Field(description="The label as it stands in the output.")
    description: str = Field(
        default="", description="What belongs to it, in a few words; the model reads it."
    )
    was: Names = Field(
        default=(),
        description="What it was called before, or the labels that it is made of: for `run --from`.",
    )

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @field_validator("name")
    @classmethod
    def _is_one_short_line(cls, name: str) -> str:
        if not name.strip():
            raise wrong("is an empty label; write its name")
        if CONTROL.search(name):
            raise wrong("has a line break or a control character; write the label on one line")
        if name != name.strip():
            raise wrong("has blanks around it; take them away")
        if len(name) > _LONGEST_LABEL:
            raise wrong(
                f"is {len(name)} characters long; write at most {_LONGEST_LABEL}, the rest belongs into description"
            )
        return name

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        schema = handler.resolve_ref_schema(handler(core_schema))
        text = {"type": "string", "minLength": 1, "maxLength": _LONGEST_LABEL}
        whole = dict(schema)
        schema.clear()
        schema.update({"anyOf": [text, whole]})
        return schema


class ExampleSettings(Settings):
    """A text with its right answer, shown to the model before every row."""

    text: Text = Field(description="The text, as the template would render it.")
    label: str | None = Field(default=None, description="Its label, for kind single.")
    labels: tuple[str, ...] | None = Field(
        default=None, description="Its labels, perhaps none, for kind multi."
    )


def _or_in_a_file(schema: dict[str, Any]) -> None:
    """Extend the JSON schema of the labels by what `config.files` takes in their place."""
    array = {key: schema.pop(key) for key in ("type", "items")}
    file = {
        "type": "string",
        "description": "A .csv, .tsv, .yaml or .json file, relative to the config file.",
    }
    mapping = {
        "type": "object",
        "properties": {"file": file},
        "required": ["file"],
        "additionalProperties": False,
    }
    schema["anyOf"] = [array, mapping]


class TaskSettings(Settings):
    """What is asked: instructions, labels, examples and the template of a row's text."""

    kind: Literal["single", "multi"] = Field(
        default="single", description="single: exactly one label a row; multi: any number of them."
    )
    instructions: Text = Field(description="What the model has to do.")
    text: str = Field(
        description="What it reads about a row: text with {column} names, as the table has them; {{ and }} for braces."
    )
    max_text_tokens: Count = Field(
        default=_DEFAULT_MAX_TEXT_TOKENS, description="Longer text is cut at the end, and the row says so."
    )
    labels: tuple[LabelSettings, ...] = Field(
        description="The labels to choose from: 2 to 1000, in quotes if in doubt; or {file: labels.csv}.",
        json_schema_extra=_or_in_a_file,
    )
    max_labels: Count | None = Field(
        default=None, description="At most so many labels a row, for kind multi."
    )
    examples: tuple[ExampleSettings, ...] = Field(
        default_factory=tuple, description="Texts with their right answers."
    )
    gold: Text | None = Field(
        default=None, description="A column of the input with the right labels, where they are known."
    )
    unsure_below: Probability | None = Field(
        default=None,
        description="Rows whose confidence is lower have the status unsure; they keep their label.",
    )

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that the template uses, without repetitions, in the order of their first use."""
        return column_names(parse_template(self.text))

    @field_validator("text")
    @classmethod
    def _is_a_template(cls, text: str) -> str:
        try:
            parse_template(text)
        except ValueError as error:
            raise wrong(str(error)) from None
        return text

    @field_validator("labels")
    @classmethod
    def _labels_differ(cls, labels: tuple[LabelSettings, ...]) -> tuple[LabelSettings, ...]:
        if len(labels) < _FEWEST_LABELS:
            raise wrong(f"has {len(labels) or 'no'} label to choose from; write at least {_FEWEST_LABELS}")
        if len(labels) > _MOST_LABELS:
            raise wrong(f"has {len(labels)} labels; write at most {_MOST_LABELS}")
        problems = [
            *repeated_names(label.name for label in labels),
            *wrong_pasts([(label.name, label.was) for label in labels]),
        ]
        if problems:
            raise all_wrong(problems)
        return labels

    @field_validator("max_labels")
    @classmethod
    def _max_labels_is_for_multi(cls, bound: int | None, info: ValidationInfo) -> int | None:
        if bound is not None and info.data.get("kind") == "single":
            raise wrong("is given, but kind single always gives one label; leave it out or set kind: multi")
        return bound

    @field_validator("examples")
    @classmethod
    def _examples_answer_the_task(
        cls, examples: tuple[ExampleSettings, ...], info: ValidationInfo
    ) -> tuple[ExampleSettings, ...]:
        known = {"kind", "labels", "max_labels"} & info.data.keys()
        if len(known) < 3:  # noqa: PLR2004 - the number of names above: one of them is itself invalid
            return examples
        names = [label.name for label in info.data["labels"]]
        problems: list[tuple[Within, str]] = []
        for index, example in enumerate(examples):
            found = example_problems(example, info.data["kind"], names, info.data["max_labels"] or len(names))
            problems += [((index, *within), sentence) for within, sentence in found]
        if problems:
            raise all_wrong(problems)
        return examples
