"""Parse a chat completion request into a question that an embedding model can answer.

Pure: bytes in, a value or an error out. A run sends the same request to every provider, so only its public shape is
read: a JSON schema with the labels, a system message that describes them, and a user message whose last line is the
row's text as a JSON string.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import orjson

from pipeline.servers.protocol.errors import BadRequestError
from pipeline.servers.protocol.request import read_request

MODEL = "multilingual-e5-small"

MAX_TEXT_BYTES = 65_536
"""Longest text of a row, in UTF-8 bytes: about 16,000 tokens, which take some ten seconds on two cores.

The model's window is 512 tokens; a longer text is the mean of its windows.
"""

MAX_LABELS = 1000
"""Most labels of a schema, as in OpenAI's structured outputs."""


@dataclass(frozen=True, slots=True)
class Choices:
    """The labels to choose from: the same for all rows of a task, and hashable.

    Attributes:
        system: The system message, which describes the labels.
        field: The answer's field: `label` for one label, `labels` for several.
        names: The labels.
        most: Most labels that an answer may have.
    """

    system: str
    field: str
    names: tuple[str, ...]
    most: int

    @property
    def is_several(self) -> bool:
        """Whether an answer may have any number of labels, none among them."""
        return self.field == "labels"

    @property
    def descriptions(self) -> list[str]:
        """Each label's line in the system message, `name: description`; only the name if it has none."""
        listed = ("\n" + self.system).rpartition("\nLabels:\n")[2]
        lines = [line[2:] for line in listed.split("\n") if line.startswith("- ")]
        return [next((line for line in lines if line.startswith(f"{name}: ")), name) for name in self.names]

    @property
    def examples(self) -> list[tuple[str, Sequence[str]]]:
        """The example texts in the system message, with their labels; what cannot be parsed is left out."""
        lines = self.system.split("\n")  # not splitlines: JSON strings may contain a literal U+2028
        pairs = pairwise(lines)
        found = [_example(text, answer, self.field) for text, answer in pairs if text.startswith("Text: ")]
        return [example for example in found if example is not None]


@dataclass(frozen=True, slots=True)
class Question:
    """One row to be labelled.

    Attributes:
        choices: The labels to choose from.
        text: The row's text.
        logprobs: Whether the reply must have log probabilities.
        n: How many choices the reply must have.
        stream: Whether the reply must come as events.
        stream_usage: Whether these must end with the usage.
    """

    choices: Choices
    text: str
    logprobs: bool
    n: int = 1
    stream: bool = False
    stream_usage: bool = False


def read_question(body: bytes) -> Question:
    """Return the question in the request *body*.

    Raises:
        BadRequestError: If this endpoint cannot answer the request.
    """
    request = read_request(body)
    if request["model"] != MODEL:
        raise unknown_model(request["model"])
    field, names, most = _labels(request.get("response_format"))
    choices = Choices(_content(request, "system", ""), field, names, most)
    return Question(
        choices,
        _text(_content(request, "user")),
        logprobs=request.get("logprobs") is True,
        n=request.get("n") or 1,
        stream=request.get("stream") is True,
        stream_usage=bool((request.get("stream_options") or {}).get("include_usage")),
    )


def unknown_model(name: object) -> BadRequestError:
    """Return the error for a model that this endpoint does not have."""
    message = f"the model {str(name)[:80]!r} does not exist; this endpoint has {MODEL!r}"
    return BadRequestError(message, param="model", code="model_not_found", status=404)


def _labels(response_format: Any) -> tuple[str, tuple[str, ...], int]:
    """Return the answer's field, the labels, and the most labels that an answer may have."""
    try:
        [(field, value)] = response_format["json_schema"]["schema"]["properties"].items()
        names = value["enum"] if field == "label" else value["items"]["enum"]
        most = 1 if field == "label" else value.get("maxItems", len(names))
        names = tuple(names)
    except (KeyError, TypeError, ValueError, AttributeError):
        field, names, most = "", (), None
    if field in {"label", "labels"} and type(most) is int and _are_labels(names):
        return field, names, most
    raise BadRequestError(
        "response_format must be a json_schema of an object whose only property is `label` with an enum, "
        f"or `labels`, an array of such items, of 1 to {MAX_LABELS} strings",
        param="response_format",
    )


def _are_labels(names: tuple[Any, ...]) -> bool:
    return 1 <= len(names) <= MAX_LABELS and all(isinstance(name, str) for name in names)


def _content(request: dict[str, Any], role: str, default: str | None = None) -> str:
    """Return the content of the last message of *role*."""
    contents = [message["content"] for message in request["messages"] if message["role"] == role]
    content = contents[-1] if contents else default
    if not isinstance(content, str):
        raise BadRequestError(
            f"there must be a message of role {role!r} whose content is a string", param="messages"
        )
    return content


def _text(user: str) -> str:
    last = user.rstrip("\n").rpartition("\n")[2]
    try:
        text = orjson.loads(last)
    except ValueError:
        text = None
    if not isinstance(text, str):
        raise BadRequestError(
            "the user message must end with a line that is the text as JSON string", param="messages"
        )
    size = len(text.encode())
    if size > MAX_TEXT_BYTES:
        message = f"the text has {size} bytes, above this model's context length of {MAX_TEXT_BYTES}; cut it"
        raise BadRequestError(message, param="messages", code="context_length_exceeded")
    return text


def _example(text_line: str, answer_line: str, field: str) -> tuple[str, Sequence[str]] | None:
    """Parse an example's two lines into its text and its labels; None if they are no example."""
    try:
        text = orjson.loads(text_line.removeprefix("Text: "))
        labels = orjson.loads(answer_line.removeprefix("Answer: "))[field]
    except (ValueError, KeyError, TypeError):
        return None
    return (text, [labels] if isinstance(labels, str) else labels) if isinstance(text, str) else None
