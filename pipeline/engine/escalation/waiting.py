"""Which rows of the chunks in progress wait for the second model: those are not done, though the first one has answered."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from pipeline.records import Prompt, Prompts


class _Chunk(NamedTuple):
    """A chunk in progress.

    Attributes:
        prompts: Its prompts.
        rows: A row for each of its keys.
        put: Keys of the second model's answers that it needs.
        waiting: Those of them that are not there yet.
    """

    prompts: Prompts
    rows: dict[bytes, int]
    put: set[bytes]
    waiting: set[bytes]


class Waiting:
    """The chunks in progress, and which of their rows the second model is still to answer."""

    def __init__(self) -> None:
        self._chunks: list[_Chunk] = []
        self._closed = 0  # rows of chunks that are done

    @contextmanager
    def chunk(self, prompts: Prompts) -> Iterator[None]:
        """Have the chunk of *prompts* be in progress while the block runs."""
        rows = {key: row for row, key in enumerate(prompts.keys) if key is not None}
        chunk = _Chunk(prompts, rows, set(), set())
        self._chunks.append(chunk)
        try:
            yield
        finally:
            self._chunks = [each for each in self._chunks if each is not chunk]
            self._closed += len(chunk.put) - len(chunk.waiting)

    @property
    def rows(self) -> int:
        """How many rows wait."""
        return sum(len(each.waiting) for each in self._chunks)

    def figures(self) -> Mapping[str, Any]:
        """Return how many rows wait, and how many no longer do, also those of chunks that are done; as progress names them."""
        answered = self._closed + sum(len(each.put) - len(each.waiting) for each in self._chunks)
        return {"unsure": self.rows, "second": answered}

    def prompt(self, key: bytes) -> Prompt | None:
        """Return the prompt with *key*; None if no chunk in progress has it."""
        return next((each.prompts[each.rows[key]] for each in self._chunks if key in each.rows), None)

    def put(self, prompts: Prompts, asked: Sequence[bytes | None]) -> None:
        """Count *prompts* as waiting for the answers with the keys *asked*, unless they had been put to it before."""
        for chunk in self._chunks:
            pairs = zip(prompts.keys, asked, strict=True)
            new = {other for key, other in pairs if other is not None and key in chunk.rows} - chunk.put
            chunk.put.update(new)
            chunk.waiting.update(new)

    def end(self, asked: Iterable[bytes | None]) -> None:
        """Count those that wait for the answers with the keys *asked* as answered."""
        for chunk in self._chunks:
            chunk.waiting.difference_update(asked)
