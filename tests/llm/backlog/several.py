"""Several scripted endpoints in virtual time, and what became of the rows."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.llm.backlog.fleet import Fleet
from pipeline.llm.pacing.budget import Budget
from pipeline.records import Answer
from pipeline.tasks.prompt import Task
from tests.llm.scripted import Behave, Call, Scripted, Sent, failed, limits, packing_for, prompt, said
from tests.llm.virtual_time import in_virtual_time, now, virtual_clock

PRICE = {"input": 1, "output": 2}


class Several:
    """A fleet at work.

    Attributes:
        endpoints: The scripted endpoints, by name.
        answers: What was delivered, by key.
        bills: The newest bill of each request, by its own key.
        stopped: The errors that the run was stopped with.
        seconds: How long it took.
    """

    def __init__(
        self,
        folder: Path,
        behaves: Mapping[str, Behave],
        about: Mapping[str, Mapping[str, Any]],
        **sections: Any,
    ) -> None:
        entries = [
            {"base_url": f"https://{name}.example/v1", "price": PRICE, **about.get(name, {})}
            for name in behaves
        ]
        model = {"base_url": None, "price": None, **sections.pop("model", {}), "endpoints": entries}
        settings = limits(folder, model=model, **sections)
        self.endpoints = {name: Scripted(behave) for name, behave in behaves.items()}
        self.answers: dict[bytes, Answer] = {}
        self.bills: dict[bytes, Answer] = {}
        self.stopped: list[BaseException] = []
        self.seconds = 0.0
        self.again: Callable[[Answer], bool] = lambda _: False
        self._wanted, self._over = 0, asyncio.Event()
        task, clock = Task.from_config(settings), virtual_clock()
        self.fleet = Fleet(
            task, "run", budget=Budget(settings.limits.max_cost_usd), deliver=self._deliver,
            stop=self._stop, before_send=_ready, clock=clock, max_outage=settings.limits.max_outage,
            packing=packing_for(settings, task, clock),
        )  # fmt: skip
        for config, one, (name, client) in zip(
            settings.each_endpoint(), settings.model.endpoints, self.endpoints.items(), strict=True
        ):
            self.fleet.add(name, config, client, weight=one.weight, priority=one.priority)

    async def run(self, texts: Sequence[str], *, within: float = 10 * 86_400) -> "Several":
        self._wanted = len(texts)
        await self.fleet.start()
        for text in texts:
            self.fleet.ask(prompt(text))
        async with asyncio.timeout(within):
            await self._over.wait()
        self.seconds = now()
        await self.fleet.drain(0)
        return self

    def calls(self, name: str) -> list[Call]:
        return self.endpoints[name].calls

    @property
    def counts(self) -> dict[str, int]:
        return {name: len(endpoint.calls) for name, endpoint in self.endpoints.items()}

    @property
    def closed(self) -> set[str]:
        return {member.name for member in self.fleet._members if member.tap.closed}

    @property
    def tokens(self) -> int:
        return sum(each.prompt_tokens or 0 for each in [*self.answers.values(), *self.bills.values()])

    async def _deliver(self, *delivered: Answer) -> None:
        for answer in delivered:
            if not answer.asks:
                self.bills[answer.key] = answer
            elif self.again(answer):
                asyncio.get_running_loop().call_later(0.05, self.fleet.ask, self._prompts[answer.key], answer)
            else:
                assert answer.key not in self.answers, "answered twice"
                self.answers[answer.key] = answer
        if len(self.answers) == self._wanted:
            self._over.set()

    def _stop(self, error: BaseException) -> None:
        self.stopped.append(error)
        self._over.set()


async def _ready() -> None:
    """Let everything be sent at once."""


def asked(
    folder: Path,
    behaves: Mapping[str, Behave],
    texts: Sequence[str],
    about: Mapping[str, Mapping[str, Any]] | None = None,
    again: Callable[[Answer], bool] | None = None,
    within: float = 10 * 86_400,
    **sections: Any,
) -> Several:
    """Ask about *texts* until all are answered or the run must stop.

    Args:
        folder: For the config.
        behaves: The endpoints, by name.
        texts: The rows.
        about: Keys of the endpoints' entries in the config.
        within: Most seconds.
        again: Tells which answers are asked for once more.
        sections: Of the config.
    """

    async def main() -> Several:
        case = Several(folder, behaves, about or {}, **sections)
        case.again = again or case.again
        case._prompts = {prompt(text).key: prompt(text) for text in texts}
        return await case.run(texts, within=within)

    return in_virtual_time(main())


def answers(seconds: float = 0.1, label: str = "games") -> Behave:
    """A flawless endpoint, each of whose replies takes so many seconds."""
    return lambda _: said(f'{{"label": "{label}"}}', seconds=seconds)


def enforcing(per_minute: float, seconds: float = 0.1) -> Behave:
    """An endpoint that refuses what comes beyond a rate, counted by the second."""
    taken: Counter[int] = Counter()

    def behave(_: Call) -> Sent:
        taken[int(now())] += 1
        return said(seconds=seconds) if taken[int(now())] <= per_minute / 60 + 1 else failed(429, "slow down")

    return behave


def between(begin: float, end: float, then: Behave, otherwise: Behave) -> Behave:
    """An endpoint that behaves in another way for a while."""
    return lambda call: (then if begin <= call.at < end else otherwise)(call)
