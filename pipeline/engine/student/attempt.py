"""One run's attempt to publish labels that the model was not asked for: what all attempts do alike.

    proposals ─► coins, durable ─► audit asked ─► proven, or not ─► everything or nothing, before any row is published

Who proposes is another question: a student that was taught (`night`), or the labels that an earlier config has found
(`carrying`).
"""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import aclosing

from pipeline.engine.lifecycle import Execution
from pipeline.inputs.source import all_spans
from pipeline.records import LABELLED, Answers, Prompts, Span
from pipeline.student.store import Night, StudentStore
from pipeline.system.prefetch import prefetch
from pipeline.tasks.parse import Parser

Read = Callable[[Iterable[Span]], Iterator[tuple[Span, Prompts]]]
"""Yields the prompts of some spans, a chunk at a time."""

LEAST_ROOM = 2
"""So many times as many proposals as are audited there have to be, or too little is spared."""

MOST_ROWS = 0.001
"""A prompt that stands for a larger share of the rows is always asked: the promise counts prompts."""

ASKED_AT_ONCE = 1_000


class AuditedAttempt(ABC):
    """The attempt of one run; the same one whenever the run is continued."""

    def __init__(self, execution: Execution, store: StudentStore) -> None:
        self._job, self._run, self._store = execution.job, execution.record.run_id, store
        self._threads, self._resolver = execution.threads, execution.resolver
        self._parser = Parser(self._job.config.task)

    async def outcome(self, read: Read) -> Night | None:
        """Return the attempt with its outcome, making it unless it was made; None if there is nothing to attempt."""
        night = await self._begun()
        if night is None:
            night = await self._prepared(read)
        if night is not None and night.outcome is None:
            night = await self._decided(night, read)
        return night

    async def _begun(self) -> Night | None:
        """Return the attempt if it was made as it is to be gone on with."""
        return await self._threads.run(self._store.night, self._run)

    @abstractmethod
    async def _prepared(self, read: Read) -> Night | None:
        """Propose labels for prompts without an answer, and make durable what the audit depends on."""

    @abstractmethod
    async def _decided(self, night: Night, read: Read) -> Night:
        """Ask about what the coins say, and end the night."""

    async def _chunks(self, read: Read) -> AsyncIterator[tuple[Prompts, Answers]]:
        """Yield the prompts of the whole input with the answers that the ledger has."""
        async with aclosing(prefetch(read(all_spans(self._job.source)))) as stream:
            async for _, prompts in stream:
                yield prompts, await self._resolver.known(prompts)

    async def _ask_all(self, read: Read, chosen: Callable[[Prompts], Prompts]) -> None:
        """Ask about those prompts of the whole input that are *chosen*, in a thread, of each chunk."""
        async with aclosing(prefetch(read(all_spans(self._job.source)))) as stream:
            async for _, prompts in stream:
                for some in pieces(await self._threads.run(chosen, prompts)):
                    await self._ask(some)

    async def _ask(self, prompts: Prompts) -> None:
        found = await self._resolver.resolve(prompts)
        self._resolver.answered -= len(found)

    async def _said(self, keys: Sequence[bytes]) -> dict[bytes, tuple[str, ...] | None]:
        """Return what the model has said to those of *keys* that it was asked about; None where it gave no label."""
        found: dict[bytes, tuple[str, ...] | None] = {}
        for first in range(0, len(keys), ASKED_AT_ONCE):
            known = await self._resolver.ledger.look_up(keys[first : first + ASKED_AT_ONCE])
            for answer in known.values():
                outcome = self._parser.outcome(answer)
                if self._parser.is_final(outcome.status, answer.asks):
                    found[answer.key] = outcome.labels if outcome.status in LABELLED else None
        return found


def pieces(prompts: Prompts) -> Iterator[Prompts]:
    """Yield *prompts* in pieces that are asked at once."""
    for first in range(0, len(prompts), ASKED_AT_ONCE):
        piece = slice(first, first + ASKED_AT_ONCE)
        yield Prompts(prompts.keys[piece], prompts.texts[piece], prompts.truncated[piece])
