"""Rows that are asked together, as one run sees them: how many, and those of them that are asked alone, too, to compare.

What is asked to compare has keys of its own, which start with the run's: it is no row's answer, and is paid for beside them.
"""

import asyncio
import logging
from collections.abc import Sequence
from hashlib import blake2b

from pipeline.engine.canary import bill
from pipeline.engine.control import LOOK, LOOKS, Labels, Widths
from pipeline.engine.resolver import Resolver
from pipeline.job.job import Job
from pipeline.ledger import Ledger
from pipeline.llm.packs.delivery import Packing
from pipeline.llm.packs.memory import keep_widths, kept_widths
from pipeline.llm.packs.width import Width
from pipeline.outputs.columns import Answered
from pipeline.records import KEY_BYTES, Answer, Prompt, Prompts
from pipeline.system.clock import Clock
from pipeline.telemetry.summary import Side

log = logging.getLogger(__name__)

SHARE, MOST_OF_FEW = 0.02, 0.1
"""Of the rows that are asked alone, too; and of a small table, to get to enough of them."""

TRIED_SHARE, TRIED_ROWS = 0.2, 2 * LOOK
"""Of the first rows while a width is on trial, and how many at least a trial takes."""

WORTH_A_TRIAL = 10 * LOOK
"""Rows of a table from which on a trial can pay."""

PREFIX_BYTES = 6


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
        self._sent = 0
        if is_packed(job):
            wanted = job.config.model.rows_per_request
            width = Width(1 if wanted == "auto" else wanted)
            memory = kept_widths(job.config.state.dir, job.task.fingerprint)
            self._widths = Widths(width, auto=wanted == "auto", memory=memory)
            if wanted == "auto" and job.source.rows < WORTH_A_TRIAL:
                self._widths.trial = 0
            self.packing = Packing(job.task, width, clock, self._choose)

    def _choose(self, prompt: Prompt) -> int:
        """Return with how many others *prompt* is sent, 0 for as many as usual; draws those that are compared."""
        together = self._together.pop(prompt.key, None)
        if together is not None:
            return together
        if not self._draws(prompt.key):
            return 0
        self._sent += 1
        self._drawn.append(prompt)
        if len(self._drawn) == 1:  # those that come with it are compared with it
            asyncio.get_running_loop().call_soon(self._compare_drawn)
        # On trial they go first, so that the others need not be asked alone for long.
        return 1 if self._widths.trial else 0

    def _draws(self, key: bytes) -> bool:
        """Return whether the row with *key*, whose bits are as good as a coin, is one of those that are compared."""
        widths, rows = self._widths, self._job.source.rows
        if self._job.options.part is not None or widths.judged == 1:
            return False
        if widths.trial:
            share, most = TRIED_SHARE, max(TRIED_ROWS, (widths.evidence.rows // LOOK + 1) * LOOK)
        else:
            share, most = max(SHARE, min(MOST_OF_FEW, LOOK / max(1, rows))), LOOK * LOOKS
        coin = int.from_bytes(key[-4:], "big") / 2**32
        return coin < share and widths.evidence.rows + self._sent < most

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
        answered = await asyncio.gather(*map(self._resolver.resolve, [rows, *asked.values()]))
        self._resolver.answered -= sum(map(len, answered))
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

    def _copies(self, drawn: Sequence[Prompt], way: str, together: int) -> Prompts:
        keys = [self._key(prompt.key, f"{way} {together}") for prompt in drawn]
        self._together.update(dict.fromkeys(keys, together))
        return _prompts(drawn, keys)

    def _key(self, key: bytes, purpose: str) -> bytes:
        own = blake2b(key + purpose.encode(), digest_size=KEY_BYTES - PREFIX_BYTES).digest()
        return self._prefix + own

    @property
    def _prefix(self) -> bytes:
        return blake2b(b"control\0" + self._run.encode(), digest_size=PREFIX_BYTES).digest()

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
        if not self._job.options.part:
            keep_widths(self._job.config.state.dir, self._job.task.fingerprint, self._widths.memory)

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


def is_packed(job: Job) -> bool:
    """Return whether *job* asks about several rows in one request; the embedded model would gain nothing by it."""
    return job.config.model.rows_per_request != 1 and job.config.model.provider != "local"


def _prompts(drawn: Sequence[Prompt], keys: Sequence[bytes]) -> Prompts:
    return Prompts(keys, [prompt.text for prompt in drawn], [prompt.truncated for prompt in drawn])


def _labels(answered: Answered) -> dict[bytes | None, Labels]:
    columns = answered.columns()
    return dict(zip(columns["key"], map(tuple, columns["labels"]), strict=True))


def _third(answer: Answer) -> str | None:
    """Return in which third of its request the row of *answer* was; None if it was alone."""
    place, _, rows = (answer.request_id or "").rpartition("#")[2].partition("/")
    if not rows.isdigit() or not place.isdigit():
        return None
    return ("first", "middle", "last")[min(2, 3 * (int(place) - 1) // int(rows))]
