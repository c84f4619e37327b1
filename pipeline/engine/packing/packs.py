"""Rows that are asked together, as one run sees them: how many, and those of them that are asked alone, too, to compare.

What is asked to compare has keys of its own, which start with the run's: it is no row's answer, and is paid for beside them.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from typing import Any

from pipeline.engine.canary import bill
from pipeline.engine.packing.control import coin, compared_of, is_packed, is_share, widths_of
from pipeline.engine.packing.evidence import THIRDS, Labels
from pipeline.engine.resolver import Resolver
from pipeline.job.job import Job
from pipeline.ledger import Ledger
from pipeline.llm.packs.delivery import Packing
from pipeline.llm.packs.memory import keep_widths
from pipeline.outputs.columns import Answered
from pipeline.records import KEY_BYTES, Answer, Prompt, Prompts
from pipeline.system.clock import Clock
from pipeline.tasks.packs import place_in
from pipeline.telemetry.summary import Side

log = logging.getLogger(__name__)

PREFIX_BYTES = 6

TRUSTED = frozenset({"false", "no", "0", "0.0"})
"""What a cell of `input.untrusted` says where a text is not a stranger's; nothing is no answer."""


class Packs:
    """The packs of one run, and the rows that are asked to compare; without `model.rows_per_request` there are none.

    Attributes:
        packing: What makes packs; None where each row is asked alone.
    """

    def __init__(self, job: Job, run: str, clock: Clock, resolver: Resolver) -> None:
        self._job, self._run, self._resolver = job, run, resolver
        self.packing: Packing | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._drawn: list[Prompt] = []
        self._together: dict[bytes, int] = {}  # of what is asked to compare
        self._alone: set[bytes] = set()  # of the rows in hand, those whose texts are strangers'
        self._sent = 0
        if is_packed(job):
            self._widths = widths_of(job)
            self._known = self._widths.memory
            self.packing = Packing(job.task, self._widths.width, clock, self._choose)

    @property
    def columns(self) -> Sequence[str]:
        """The columns that are read: the prompt's, and the one that tells which rows are alone in a request."""
        return columns_of(self._job)

    def keep_alone(self, prompts: Prompts, columns: Mapping[str, Sequence[str | None]]) -> None:
        """Note which of *prompts* are to be alone in a request, by the cells of `input.untrusted`. Runs in the reading thread."""
        self._alone.update(strangers(self._job, prompts, columns))

    def forget(self, prompts: Prompts, but: Callable[[bytes], bool] = lambda _: False) -> None:
        """Forget what was noted about *prompts*, which have their answers, or are another process's; *but* for these keys."""
        if self._alone:
            self._alone.difference_update([key for key in prompts.keys if key and not but(key)])

    def beside(self, alone: Mapping[bytes, bool]) -> None:
        """Have keys that are no row's asked as their rows were, *alone* or among others; they are not compared."""
        self._together.update({key: int(is_alone) for key, is_alone in alone.items()})

    def _choose(self, prompt: Prompt) -> int:
        """Return with how many others *prompt* is sent, 0 for as many as usual; draws those that are compared."""
        together = self._together.pop(prompt.key, None)
        if together is not None:
            return together
        self._widths.asked += 1
        if prompt.key in self._alone:
            return 1
        if not self._draws(prompt.key):
            return 0
        self._sent += 1
        self._drawn.append(prompt)
        if len(self._drawn) == 1:  # those that come with it are compared with it
            asyncio.get_running_loop().call_soon(self._compare_drawn)
        # On trial they go first, so that the others need not be asked alone for long.
        return 1 if self._widths.trial else 0

    def _draws(self, key: bytes) -> bool:
        share, most = compared_of(self._job, self._widths)
        return self._widths.evidence.rows + self._sent < most and coin(key, self._widths.judged) < share

    def _compare_drawn(self) -> None:
        drawn, self._drawn = self._drawn, []
        task = asyncio.create_task(self._compare(drawn))
        self._tasks.add(task)

    async def _compare(self, drawn: Sequence[Prompt]) -> None:
        """Have *drawn* asked in the ways that their rows are not, and look at what that shows."""
        widths, on_trial = self._widths, bool(self._widths.trial)
        width = widths.judged
        ways = {"again": 1, "packed": width} if on_trial else {"alone": 1, "again": 1}
        asked = {way: self._copies(drawn, way, together) for way, together in ways.items()}
        rows = _prompts(drawn, [prompt.key for prompt in drawn])
        answered = await asyncio.gather(
            *(self._resolver.resolve(some, counts=False) for some in (rows, *asked.values()))
        )
        self._sent -= len(drawn)
        if widths.judged != width:  # decided meanwhile
            return
        own = "alone" if on_trial else "packed"
        found = dict(zip([own, *asked], map(_labels, answered), strict=True))
        keys = {way: [key for key in some.keys if key] for way, some in {own: rows, **asked}.items()}
        places = await self._resolver.ledger.look_up(keys["packed"])
        before = widths.evidence.rows
        for alone, again, packed in zip(keys["alone"], keys["again"], keys["packed"], strict=True):
            third = _third(places[packed]) if packed in places else None
            labels = (found["alone"][alone], found["again"][again], found["packed"][packed])
            widths.evidence.add(*labels, third)
        widths.look(before)
        if self.packing is not None and (widths.judged, bool(widths.trial)) != (width, on_trial):
            self.packing.sort_anew()

    def _copies(self, drawn: Sequence[Prompt], way: str, together: int) -> Prompts:
        keys = [self._key(prompt.key, f"{way} {together}") for prompt in drawn]
        self._together.update(dict.fromkeys(keys, together))
        return _prompts(drawn, keys)

    def _key(self, key: bytes, purpose: str) -> bytes:
        own = blake2b(key + purpose.encode(), digest_size=KEY_BYTES - PREFIX_BYTES).digest()
        return self._prefix + own

    @property
    def _prefix(self) -> bytes:
        return prefix_of(self._run)

    async def finish(self) -> None:
        """Wait for what is asked to compare, say what it has shown, and keep it for the next run."""
        if self.packing is None:
            return
        while self._tasks:
            done = list(self._tasks)
            await asyncio.gather(*done)
            self._tasks.difference_update(done)
        self._together.clear()
        if self._widths.judged > 1 and self._widths.evidence.rows:
            log.info("%d rows a request: %s", self._widths.judged, self._widths.evidence.words)
        found = self._widths.memory
        if found != self._known and not is_share(self._job):
            keep_widths(self._job.config.state.dir, self._job.task.fingerprint, found)

    @property
    def finding(self) -> Mapping[str, Any] | None:
        """What the run has found out about its packs; None where each row is asked alone."""
        return None if self.packing is None else self._widths.finding

    async def cancel(self) -> None:
        """Give up what is asked to compare: the run ends early."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def side(self, ledger: Ledger) -> Side | None:
        """Return what was paid to compare, by all executions of the run; None for nothing."""
        if self.packing is None:
            return None
        answers = list((await ledger.starting_with(self._prefix)).values())
        return bill(answers) if answers else None


def prefix_of(run: str) -> bytes:
    """Return with what the keys begin under which *run* asks to compare."""
    return blake2b(b"control\0" + run.encode(), digest_size=PREFIX_BYTES).digest()


def columns_of(job: Job) -> Sequence[str]:
    """Return the columns that are read: the prompt's, and the one that tells which rows are alone in a request."""
    untrusted, columns = job.config.input.untrusted, job.config.task.columns
    return columns if not is_packed(job) or untrusted is None else (*columns, untrusted)


def strangers(job: Job, prompts: Prompts, columns: Mapping[str, Sequence[str | None]]) -> Sequence[bytes]:
    """Return the keys of those *prompts* that are to be alone in a request, by the cells of `input.untrusted`."""
    untrusted = job.config.input.untrusted
    if untrusted is None or not is_packed(job):
        return ()
    marks = zip(prompts.keys, columns[untrusted], strict=True)
    return [key for key, cell in marks if key and (cell or "").strip().lower() not in TRUSTED]


def _prompts(drawn: Sequence[Prompt], keys: Sequence[bytes]) -> Prompts:
    return Prompts(keys, [prompt.text for prompt in drawn], [prompt.truncated for prompt in drawn])


def _labels(answered: Answered) -> dict[bytes | None, Labels]:
    columns = answered.columns()
    return dict(zip(columns["key"], map(tuple, columns["labels"]), strict=True))


def _third(answer: Answer) -> str | None:
    """Return in which third of its request the row of *answer* was; None if it was alone."""
    place = place_in(answer.request_id)
    return THIRDS[min(2, 3 * (place.row - 1) // place.rows)] if place else None
