"""Where prompts meet answers: from the ledger, from another chunk that asks the same, or from the model.

The look-up by key is all there is to resume, reuse, deduplication and "only changed rows".
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import compress

from pipeline.ledger import Ledger
from pipeline.llm.dispatcher import Dispatcher
from pipeline.outputs.columns import Answered
from pipeline.records import Answer, Answers, Outcome, Prompt, Prompts, Status
from pipeline.tasks.parse import Parser


@dataclass(slots=True)
class _Waiting:
    """A chunk that waits for its answers."""

    prompts: Prompts
    places: dict[bytes, int]
    missing: int
    done: asyncio.Future[None]
    answered: Answered = field(default_factory=Answered)

    def prompt(self, key: bytes) -> Prompt:
        """Return the prompt that has *key*."""
        prompt = self.prompts[self.places[key]]
        assert prompt is not None, "a row without text has no key"  # noqa: S101
        return prompt


class Resolver:
    """Knows which answers are on their way, so that no key is asked twice.

    Attributes:
        ledger: Where answers are looked up; set before the first call.
        reused: Answers that earlier runs had paid for.
        answered: Prompts that have their answer in chunks that still wait for others.
    """

    def __init__(
        self,
        parser: Parser,
        run: str,
        *,
        retry: Iterable[Status],
        dispatcher: Callable[[], Awaitable[Dispatcher]],
    ) -> None:
        """Make one.

        Args:
            parser: Tells what an answer means.
            run: The run's id.
            retry: Statuses whose stored answers do not count, unless this run paid for them.
            dispatcher: Opens the way to the endpoint when it is first needed.
        """
        self._parser = parser
        self._run = run
        self._retry = frozenset(retry)
        self._doubtful = self._retry | {Status.INVALID}
        self._open_dispatcher = dispatcher
        self._dispatcher: Dispatcher | None = None
        self._pending: dict[bytes, _Waiting] = {}  # who looks up or asks each key
        self._followers: dict[bytes, list[_Waiting]] = {}  # who else waits for it
        self.reused = 0
        self.answered = 0
        self.ledger: Ledger

    async def answers(self, prompts: Prompts) -> Answered:
        """Return the answer to each key among *prompts*, asking for those that nobody has asked before."""
        places = {key: row for row, key in enumerate(prompts.keys) if key is not None}
        waiting = _Waiting(prompts, places, len(places), asyncio.get_running_loop().create_future())
        mine = self._claim(waiting)
        known = await self.ledger.look_up(mine)
        self._settle_known(waiting, known)
        missing = [key for key in mine if key in self._pending]
        if missing:
            dispatcher = self._dispatcher = self._dispatcher or await self._open_dispatcher()
            for key in missing:
                previous = known[key] if key in known else None  # noqa: SIM401 - a Mapping's `get` raises and catches
                again = previous is not None and not self._retried(previous)
                dispatcher.ask(waiting.prompt(key), previous if again else None)
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
            if self._parser.is_final(outcome.status, answer.asks) or self._dispatcher is None:
                self._pass_on(answer, outcome)
            else:
                self._dispatcher.ask(self._pending[answer.key].prompt(answer.key), answer)

    def _claim(self, waiting: _Waiting) -> list[bytes]:
        """Return the keys that nobody is after yet; they are ours from now on.

        Claimed before they are looked up, so that no answer slips in between look-up and claim.
        """
        mine = [key for key in waiting.places if key not in self._pending]
        if len(mine) < len(waiting.places):
            for key in waiting.places.keys() & self._pending.keys():
                self._followers.setdefault(key, []).append(waiting)
        self._pending.update(dict.fromkeys(mine, waiting))
        return mine

    def _settle_known(self, waiting: _Waiting, known: Answers) -> None:
        """Take the answers that the ledger has, all at once: most rows of most nights end here."""
        meant = self._parser.outcomes(known)
        if not self._doubtful.isdisjoint(meant["status"]):
            stand = list(map(self._counts, meant["status"], known.columns["asks"], known.columns["run"]))
            known, meant = known.where(stand), {name: list(compress(meant[name], stand)) for name in meant}
        self.reused += len(known) - known.columns["run"].count(self._run)
        for key in known:
            del self._pending[key]
        waiting.answered.add_all(known, meant)
        self._given(waiting, len(known))
        for key in known.keys() & self._followers.keys():
            answer = known[key]
            self._pass_to_followers(answer, self._parser.outcome(answer))

    def _counts(self, status: Status, asks: int, run: str) -> bool:
        return self._parser.is_final(status, asks) and not self._is_retried(status, run)

    def _retried(self, answer: Answer) -> bool:
        return self._is_retried(self._parser.outcome(answer).status, answer.run)

    def _is_retried(self, status: Status, run: str) -> bool:
        return status in self._retry and run != self._run

    def _pass_on(self, answer: Answer, outcome: Outcome) -> None:
        """Give an answer to the owner of its key, and to those who wait along."""
        owner = self._pending.pop(answer.key)
        owner.answered.add(answer, outcome)
        self._given(owner, 1)
        self._pass_to_followers(answer, outcome)

    def _pass_to_followers(self, answer: Answer, outcome: Outcome) -> None:
        for waiting in self._followers.pop(answer.key, ()):
            waiting.answered.add(answer, outcome)
            self._given(waiting, 1)

    def _given(self, waiting: _Waiting, count: int) -> None:
        self.answered += count
        waiting.missing -= count
        if not waiting.missing and not waiting.done.done():
            waiting.done.set_result(None)
