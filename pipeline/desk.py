"""Where prompts meet answers: from the ledger, from another chunk that asks the same, or from the model.

The look-up by key is all there is to resume, reuse, deduplication and "only changed rows".
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.ledger import Ledger
from pipeline.llm.asker import Asker
from pipeline.outputs.columns import Answered
from pipeline.records import Answer, Outcome, Prompt, Status
from pipeline.tasks.parse import Parser


@dataclass(slots=True)
class _Waiting:
    """A chunk that waits for its answers."""

    prompts: dict[bytes, Prompt]
    missing: int
    done: asyncio.Future[None]
    answered: dict[bytes, tuple[Answer, Outcome]] = field(default_factory=dict)


class Desk:
    """Knows which answers are on their way, so that no key is asked twice.

    Attributes:
        ledger: Where answers are looked up; set before the first call.
        reused: Answers that earlier runs had paid for.
        answered: Prompts that have their answer in chunks that still wait for others.
    """

    def __init__(
        self, parser: Parser, run: str, *, retry: Iterable[Status], asker: Callable[[], Awaitable[Asker]]
    ) -> None:
        """Make one.

        Args:
            parser: Tells what an answer means.
            run: The run's id.
            retry: Statuses whose stored answers do not count, unless this run paid for them.
            asker: Opens the way to the endpoint when it is first needed.
        """
        self._parser = parser
        self._run = run
        self._retry = frozenset(retry)
        self._open_asker = asker
        self._asker: Asker | None = None
        self._pending: dict[bytes, _Waiting] = {}  # who looks up or asks each key
        self._along: dict[bytes, list[_Waiting]] = {}  # who else waits for it
        self.reused = 0
        self.answered = 0
        self.ledger: Ledger

    async def answers(self, prompts: Sequence[Prompt | None]) -> Answered:
        """Return the answer to each key among *prompts*, asking for those that nobody has asked before."""
        unique = {prompt.key: prompt for prompt in prompts if prompt is not None}
        waiting = _Waiting(unique, len(unique), asyncio.get_running_loop().create_future())
        mine = self._claim(waiting)
        known = await self.ledger.look_up(mine)
        self._settle_known(waiting, known)
        missing = [key for key in mine if key in self._pending]
        if missing:
            asker = self._asker = self._asker or await self._open_asker()
            for key in missing:
                previous = known.get(key)
                again = previous is not None and not self._retried(previous)
                asker.ask(unique[key], previous if again else None)
        try:
            if waiting.missing:
                await waiting.done
        finally:
            self.answered -= len(waiting.answered)
        return waiting.answered

    def durable(self, answers: Sequence[Answer]) -> None:
        """Take answers that have become durable: pass them on, or have them asked once more."""
        for answer in answers:
            outcome = self._parser.outcome(answer)
            owner = self._pending[answer.key]
            if self._parser.settled(answer, outcome) or self._asker is None:
                self._pass_on(owner, {answer.key: (answer, outcome)})
            else:
                self._asker.ask(owner.prompts[answer.key], answer)

    def _claim(self, waiting: _Waiting) -> list[bytes]:
        """Return the keys that nobody is after yet; they are ours from now on.

        Claimed before they are looked up, so that no answer slips in between look-up and claim.
        """
        mine = [key for key in waiting.prompts if key not in self._pending]
        if len(mine) < len(waiting.prompts):
            for key in waiting.prompts.keys() & self._pending.keys():
                self._along.setdefault(key, []).append(waiting)
        self._pending.update(dict.fromkeys(mine, waiting))
        return mine

    def _settle_known(self, waiting: _Waiting, known: Mapping[bytes, Answer]) -> None:
        """Take the answers that the ledger has, all at once: most rows of most nights end here."""
        outcome_of, doubtful = self._parser.outcome, self._retry | {Status.INVALID}
        meant = [(key, (answer, outcome_of(answer))) for key, answer in known.items()]
        settled = {
            key: found for key, found in meant if found[1].status not in doubtful or self._stands(*found)
        }
        self.reused += sum([answer.run != self._run for answer, _ in settled.values()])
        self._pass_on(waiting, settled)

    def _stands(self, answer: Answer, outcome: Outcome) -> bool:
        return self._parser.settled(answer, outcome) and not self._is_retried(answer, outcome)

    def _retried(self, answer: Answer) -> bool:
        return self._is_retried(answer, self._parser.outcome(answer))

    def _is_retried(self, answer: Answer, outcome: Outcome) -> bool:
        return outcome.status in self._retry and answer.run != self._run

    def _pass_on(self, owner: _Waiting, settled: Answered) -> None:
        """Give what is settled to the *owner* of its keys, and to those who wait along."""
        for key in settled:
            del self._pending[key]
        self._give(owner, settled)
        for key in settled.keys() & self._along.keys():
            for waiting in self._along.pop(key):
                self._give(waiting, {key: settled[key]})

    def _give(self, waiting: _Waiting, settled: Answered) -> None:
        waiting.answered.update(settled)
        waiting.missing -= len(settled)
        self.answered += len(settled)
        if not waiting.missing and not waiting.done.done():
            waiting.done.set_result(None)
