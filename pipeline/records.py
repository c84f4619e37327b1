"""Row-level values: a chunk of rows, its prompts, their answers and outcomes.

A value that is created for every row is a named tuple, because a frozen dataclass takes five times as long to
create. What most rows of a nightly run only pass through is stored as columns, without an object per row.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from itertools import compress
from typing import Any, NamedTuple

KEY_BYTES = 16
"""Size of a prompt's key, under which its answer is stored."""


class Status(StrEnum):
    """The final status of a row, published as `label_status`; `pending` only in the partial output of a stopped run."""

    OK = "ok"
    INVALID = "invalid"
    REFUSED = "refused"
    FILTERED = "filtered"
    TOO_LONG = "too_long"
    EMPTY = "empty"
    ERROR = "error"
    SKIPPED = "skipped"
    UNSURE = "unsure"
    PENDING = "pending"


LABELLED = frozenset({Status.OK, Status.UNSURE})
"""Statuses of rows that have labels."""

NOT_FAILED = LABELLED | {Status.EMPTY, Status.SKIPPED, Status.PENDING}
"""Statuses of rows that have labels, or that nothing was asked about."""


@dataclass(frozen=True, slots=True)
class Span:
    """A contiguous range of rows, whichever files they are in.

    Attributes:
        start: First row, counted over the whole input from 0.
        stop: One past the last row.
    """

    start: int
    stop: int

    @property
    def rows(self) -> int:
        """Number of rows."""
        return self.stop - self.start


@dataclass(frozen=True, slots=True)
class Chunk:
    """The rows of one span: the unit of reading, look-up, writing and resuming.

    Attributes:
        span: Where the rows are in the input.
        columns: The cells of each requested column as text; None is a null.
    """

    span: Span
    columns: Mapping[str, Sequence[str | None]]


class Prompt(NamedTuple):
    """A row rendered for the task.

    Attributes:
        key: `KEY_BYTES` bytes that identify the answer.
        text: The text that the model reads, already cut to `max_text_tokens`.
        truncated: Whether the text was cut.
    """

    key: bytes
    text: str
    truncated: bool


class Prompts:
    """The prompts of a chunk, stored as columns; a sequence of `Prompt`, or None for a row without text.

    Attributes:
        keys: The key of each row; None for a row without text.
        texts: The text of each row; None for a row without text.
        truncated: Whether each text was cut.
    """

    __slots__ = ("keys", "texts", "truncated")

    def __init__(
        self, keys: Sequence[bytes | None], texts: Sequence[str | None], truncated: Sequence[bool]
    ) -> None:
        """Store columns of equal length."""
        self.keys, self.texts, self.truncated = keys, texts, truncated

    def __len__(self) -> int:
        return len(self.keys)

    def where(self, chosen: Callable[[bytes | None], bool]) -> "Prompts":
        """Return those whose keys are *chosen*."""
        mine = list(map(chosen, self.keys))
        keys, texts, truncated = self.keys, self.texts, self.truncated
        return Prompts(
            list(compress(keys, mine)), list(compress(texts, mine)), list(compress(truncated, mine))
        )

    def __iter__(self) -> Iterator[Prompt | None]:
        return map(self.__getitem__, range(len(self)))

    def __getitem__(self, row: int) -> Prompt | None:
        key, text = self.keys[row], self.texts[row]
        return None if key is None or text is None else Prompt(key, text, self.truncated[row])


class Answer(NamedTuple):
    """The answer for one key, as stored in the ledger.

    Attributes:
        key: The prompt's key.
        run: Id of the run that paid for it.
        text: The model's reply, unchanged; None if there was none.
        finish: The reply's finish reason (`stop`, `length`, `content_filter`, ...), or None.
        status: None for a reply that is still to be parsed; otherwise the final status that follows
            from the endpoint's response alone (`refused`, `filtered`, `too_long`, `error`).
        error: One sentence if `status` is set, else None.
        logprobs: JSON array of [token, natural log of its probability], or None.
        prompt_tokens: Tokens billed for the input, over all asks of this answer; None if not reported.
        cached_tokens: The part of `prompt_tokens` that the provider read from its cache.
        completion_tokens: Tokens billed for the output.
        cost_usd: Price of those tokens in US dollars; None if no price is known.
        model: The model's name as reported by the endpoint.
        request_id: The endpoint's id of the request, or None.
        attempts: HTTP requests made for it, including failed ones.
        asks: Replies received for it: 1, or 2 if the first was invalid and the model was asked again. 0 for a bill: no answer,
            but what a run has paid for a prompt so far, under a key of its own (`llm.request.bill_key`).
        at: Unix time of its arrival, in seconds.
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
    """Answers stored as columns; a mapping from key to `Answer`, each created on access.

    Attributes:
        columns: The values of each field of `Answer`.
    """

    def __init__(self, columns: Mapping[str, Sequence[Any]]) -> None:
        """Store columns of equal length, in which each key occurs once."""
        self.columns = columns

    @classmethod
    def of(cls, answers: Iterable[Answer]) -> "Answers":
        """Transpose single answers into columns."""
        return cls(columns_by_name(Answer._fields, list(answers)))

    @cached_property
    def _positions(self) -> dict[bytes, int]:
        return {key: position for position, key in enumerate(self.columns["key"])}

    def __getitem__(self, key: bytes) -> Answer:
        position = self._positions[key]
        return Answer._make([column[position] for column in self.columns.values()])

    def __contains__(self, key: object) -> bool:
        return key in self._positions

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.columns["key"])

    def __len__(self) -> int:
        return len(self.columns["key"])

    def under(self, aliases: Mapping[bytes, bytes]) -> "Answers":
        """Return the answers with those that lie under another key put under the right one: the newest of each key."""
        if not aliases:
            return self
        found: dict[bytes, Answer] = {}
        for answer in map(self.__getitem__, self):
            key = aliases.get(answer.key, answer.key)
            if key not in found or found[key].at < answer.at:
                found[key] = answer._replace(key=key)
        return Answers.of(found.values())

    def where(self, chosen: Sequence[bool]) -> "Answers":
        """Return the answers at the positions where *chosen* is true."""
        return Answers({name: list(compress(column, chosen)) for name, column in self.columns.items()})


class Outcome(NamedTuple):
    """What an answer means for the task: its labels, or why it has none.

    Attributes:
        status: The final status of the row.
        labels: Members of the configured set; empty unless `status` is OK or UNSURE (kind multi may be OK and empty).
        confidence: The probability, 0 to 1, that the model gave to its labels; None without logprobs.
        error: None, or one sentence.
    """

    status: Status
    labels: tuple[str, ...] = ()
    confidence: float | None = None
    error: str | None = None


Outcomes = dict[str, Sequence[Any]]
"""Outcomes stored as columns: the values of each field of `Outcome`."""


def columns_of(count: int, rows: Sequence[Sequence[Any]]) -> list[Sequence[Any]]:
    """Transpose *rows* of *count* values each into columns."""
    return list(zip(*rows, strict=True)) if rows else [()] * count


def columns_by_name(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> dict[str, Sequence[Any]]:
    """Transpose *rows*, whose values have *names*, into columns by name."""
    return dict(zip(names, columns_of(len(names), rows), strict=True))
