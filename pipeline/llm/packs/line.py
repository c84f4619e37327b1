"""The one place where rows become packs: as they leave the queue, so that each is as wide as is right by then."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from hashlib import blake2b
from itertools import chain

from pipeline.llm.backlog.queue import OpenRows
from pipeline.llm.packs.width import Width
from pipeline.llm.request import Pack, Request
from pipeline.records import KEY_BYTES, Prompt
from pipeline.system.clock import Clock
from pipeline.tasks.packs import new_ids
from pipeline.tasks.prompt import pack_message


class PackingLine:
    """Requests that wait, in the place of a deque; several about one row each leave it as one."""

    def __init__(self, rows: OpenRows, width: Width, choose: Callable[[Prompt], int], clock: Clock) -> None:
        """Make an empty line.

        Args:
            rows: Counts what has no answer: a pack counts as one.
            width: How many rows a request carries.
            choose: Called with each prompt that comes in; returns with how many others it is sent, 1 to be alone; 0 for `width`.
            clock: Chance, for ids and for the order in a pack.
        """
        self._rows, self._width, self._choose, self._clock = rows, width, choose, clock
        self._ready: deque[Request] = deque()  # second asks, packs, and what is to be alone
        self._fresh: deque[Request] = deque()
        self._of_width: dict[
            int, deque[Request]
        ] = {}  # to be sent together with so many, however many others are

    def append(self, request: Request, /) -> None:
        """Add a request at the end."""
        if request.pack or request.previous or request.control:
            self._ready.append(request)
            return
        together = self._choose(request.prompt)
        if together == 1:
            self._ready.append(request)
        elif together:
            self._of_width.setdefault(together, deque()).append(request)
        else:
            self._fresh.append(request)

    def sort_anew(self) -> None:
        """Choose for each row anew with how many it is sent."""
        fresh, self._fresh = self._fresh, deque()
        for request in fresh:
            self.append(request)

    def appendleft(self, request: Request, /) -> None:
        """Add one that goes first, as it is."""
        self._ready.appendleft(request)

    def popleft(self) -> Request:
        """Take the first; with it as many others as one request carries."""
        if self._ready:
            return self._ready.popleft()
        full = [width for width, waiting in self._of_width.items() if len(waiting) >= width]
        # What is not full waits for more like it, unless there is nothing else to do.
        width = next(iter(full), 0 if self._fresh else next(iter(self._of_width), 0))
        waiting = self._of_width[width] if width else self._fresh
        some = [waiting.popleft() for _ in range(min(len(waiting), width or self._width.rows))]
        if width and not waiting:
            del self._of_width[width]
        self._rows.unanswered -= len(some) - 1
        return packed(some, self._clock)

    def __len__(self) -> int:
        return len(self._ready) + len(self._fresh) + sum(map(len, self._of_width.values()))

    def __iter__(self) -> Iterator[Request]:
        return chain(self._ready, self._fresh, *self._of_width.values())


def packed(some: Sequence[Request], clock: Clock) -> Request:
    """Return one request that carries *some*, in an order left to chance; what is one already stays as it is."""
    if len(some) == 1:
        return some[0]
    members = sorted(some, key=lambda _: clock.random())
    pack = Pack(new_ids(len(members), clock.random), members)
    key = blake2b(b"".join(member.prompt.key for member in members), digest_size=KEY_BYTES).digest()
    prompt = Prompt(key, pack_message(pack.items), truncated=False)
    return Request(prompt, pack=pack, rows=len(members), ids=pack.ids)


def halves(some: Sequence[Request], clock: Clock) -> list[Request]:
    """Return the requests that carry *some*, which one request has failed to get answers to."""
    middle = (len(some) + 1) // 2
    return [packed(half, clock) for half in (some[:middle], some[middle:]) if half]
