"""The values that travel: a chunk of rows, a prompt, an answer, an outcome.

What is made for every row is a named tuple: a frozen dataclass takes five times as long to make. What most rows
of most nights only pass through is columns, of which nothing is made a row.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from itertools import compress
from typing import Any, NamedTuple


class Status(StrEnum):
    """How a row ended; the value of `label_status`."""

    OK = "ok"
    INVALID = "invalid"
    REFUSED = "refused"
    FILTERED = "filtered"
    TOO_LONG = "too_long"
    EMPTY = "empty"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Span:
    """A contiguous range of rows of one input file.

    Attributes:
        file: Index of the file in the source.
        start: First row, counted within the file from 0.
        stop: One past the last row, within the file.
        first_row: `row_index` of the first row, counted over the whole input.
    """

    file: int
    start: int
    stop: int
    first_row: int

    @property
    def rows(self) -> int:
        """Number of rows."""
        return self.stop - self.start


@dataclass(frozen=True, slots=True)
class Chunk:
    """The rows of one span: the unit of reading, look-up, writing and resuming.

    Attributes:
        span: Where the rows are in the input.
        columns: For each column that was asked for, its cells as text; None is a null.
    """

    span: Span
    columns: Mapping[str, Sequence[str | None]]


class Prompt(NamedTuple):
    """A row rendered for the task.

    Attributes:
        key: 16 bytes, the identity of the answer.
        text: What the model reads about the row, already cut to `max_text_tokens`.
        truncated: Whether the text was cut.
    """

    key: bytes
    text: str
    truncated: bool


class Prompts:
    """The prompts of a chunk as columns; each is made when it is taken, None where a row has no text.

    Attributes:
        keys: The keys; None where a row has no text.
        texts: The texts; None where a row has none.
        truncated: Whether each text was cut.
    """

    __slots__ = ("keys", "texts", "truncated")

    def __init__(
        self, keys: Sequence[bytes | None], texts: Sequence[str | None], truncated: Sequence[bool]
    ) -> None:
        """Make them of columns of one length."""
        self.keys, self.texts, self.truncated = keys, texts, truncated

    def __len__(self) -> int:
        return len(self.keys)

    def __iter__(self) -> Iterator[Prompt | None]:
        return map(self.__getitem__, range(len(self)))

    def __getitem__(self, row: int) -> Prompt | None:
        key, text = self.keys[row], self.texts[row]
        return None if key is None or text is None else Prompt(key, text, self.truncated[row])


class Answer(NamedTuple):
    """What came back for one key, as it is kept in the ledger.

    Attributes:
        key: 16 bytes, the prompt's key.
        run: The run that paid for it.
        text: The model's reply as it came; None where there was none.
        finish: The reply's finish reason (`stop`, `length`, `content_filter`, ...), or None.
        status: None for a reply that is still to be parsed; otherwise the final status that the
            endpoint itself gave the row (`refused`, `filtered`, `too_long`, `error`).
        error: One sentence where `status` is set, else None.
        logprobs: JSON array of [token, natural log of its probability], or None.
        prompt_tokens: Tokens billed for the input, over all asks of this answer; None if not told.
        cached_tokens: The part of `prompt_tokens` that the provider had in its cache.
        completion_tokens: Tokens billed for the output.
        cost_usd: Price of those tokens in US dollars; None where no price is known.
        model: The model's name as the endpoint gave it.
        request_id: The endpoint's id of the request, or None.
        attempts: HTTP calls made for it, failed ones included.
        asks: Replies received for it: 1, or 2 if the first was invalid and asked again.
        at: Unix time in seconds when it arrived.
    """

    key: bytes
    run: str
    text: str | None
    finish: str | None
    status: Status | None
    error: str | None
    logprobs: str | None
    prompt_tokens: int | None
    cached_tokens: int | None
    completion_tokens: int | None
    cost_usd: float | None
    model: str | None
    request_id: str | None
    attempts: int
    asks: int
    at: float


class Answers(Mapping[bytes, Answer]):
    """Answers as columns; as a mapping from key to answer, each is made when it is taken.

    Attributes:
        columns: For each field of `Answer`, its values.
    """

    def __init__(self, columns: Mapping[str, Sequence[Any]]) -> None:
        """Make them of columns of one length, in which no key stands twice."""
        self.columns = columns

    @classmethod
    def of(cls, answers: Iterable[Answer]) -> "Answers":
        """Make them of single ones."""
        return cls(columns_by_name(Answer._fields, list(answers)))

    @cached_property
    def _places(self) -> dict[bytes, int]:
        return {key: place for place, key in enumerate(self.columns["key"])}

    def __getitem__(self, key: bytes) -> Answer:
        place = self._places[key]
        return Answer._make([column[place] for column in self.columns.values()])

    def __contains__(self, key: object) -> bool:
        return key in self._places

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.columns["key"])

    def __len__(self) -> int:
        return len(self.columns["key"])

    def where(self, chosen: Sequence[bool]) -> "Answers":
        """Return those for which *chosen* is true."""
        return Answers({name: list(compress(column, chosen)) for name, column in self.columns.items()})


class Outcome(NamedTuple):
    """What an answer means for the task: labels, or the reason why there are none.

    Attributes:
        status: How the row ended.
        labels: Members of the configured set; empty unless `status` is OK (kind multi may be OK and empty).
        confidence: Probability in 0..1 that the model gave to its labels; None without logprobs.
        error: None, or one sentence.
    """

    status: Status
    labels: tuple[str, ...] = ()
    confidence: float | None = None
    error: str | None = None


Outcomes = dict[str, Sequence[Any]]
"""Outcomes as columns: for each field of `Outcome`, its values."""


def columns_of(count: int, rows: Sequence[Sequence[Any]]) -> list[Sequence[Any]]:
    """Turn *rows* of *count* values each into columns."""
    return list(zip(*rows, strict=True)) if rows else [()] * count


def columns_by_name(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> dict[str, Sequence[Any]]:
    """Turn *rows* of values with *names* into columns."""
    return dict(zip(names, columns_of(len(names), rows), strict=True))
