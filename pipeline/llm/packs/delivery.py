"""From the reply to a pack to an answer of each of its rows, and back into the queue with those that got none."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from pipeline.llm.backlog.delivery import Deliver, Delivery
from pipeline.llm.backlog.queue import OpenRows, RequestQueue
from pipeline.llm.packs.line import PackingLine, halves
from pipeline.llm.packs.shares import shares
from pipeline.llm.packs.width import Width
from pipeline.llm.replies import NO_USAGE, Failure, Reply, Usage
from pipeline.llm.request import Pack, Request, answer_from_reply
from pipeline.llm.retry import Attempts
from pipeline.records import Answer, Prompt
from pipeline.system.clock import Clock
from pipeline.tasks.packs import Found, placed, read_pack
from pipeline.tasks.prompt import Task
from pipeline.tasks.schema import answer_field
from pipeline.tasks.tokens import estimate_tokens


@dataclass(frozen=True, slots=True)
class Packing:
    """What makes packs of the rows of one run.

    Attributes:
        task: What is asked.
        width: How many rows a request carries.
        clock: Chance, and the time.
        choose: Tells with how many others a prompt is sent, see `llm.packs.line`.
        lines: Where requests wait.
    """

    task: Task
    width: Width
    clock: Clock
    choose: Callable[[Prompt], int] = lambda _: 0
    lines: list[PackingLine] = field(default_factory=list)

    def line(self, rows: OpenRows) -> PackingLine:
        """Return where requests wait to be packed; *rows* counts them."""
        self.lines.append(PackingLine(rows, self.width, self.choose, self.clock))
        return self.lines[-1]

    def sort_anew(self) -> None:
        """Have `choose` called anew for each row that waits."""
        for line in self.lines:
            line.sort_anew()

    def queue(self) -> "PackingQueue":
        """Return a queue that gives out packs."""
        return PackingQueue(self)

    def delivery(self, deliver: Deliver, run: str, queue: RequestQueue) -> "PackDelivery":
        """Return the way of replies to the ledger, and of rows without an answer back to *queue*."""
        return PackDelivery(deliver, run, queue, self)


class PackingQueue(RequestQueue):
    """A queue of rows that gives out packs."""

    def __init__(self, packing: Packing) -> None:
        rows = OpenRows()
        super().__init__(rows, packing.line(rows))
        self._packing = packing

    def delivery(self, deliver: Deliver, run: str, clock: Clock) -> Delivery:  # noqa: ARG002 - the packing has it
        """Return the way to the ledger for the replies to packs."""
        return self._packing.delivery(deliver, run, self)


class PackDelivery(Delivery):
    """The way to the ledger where a reply may be about several rows: what each of them is billed for adds up to its bill."""

    def __init__(self, deliver: Deliver, run: str, queue: RequestQueue, packing: Packing) -> None:
        super().__init__(deliver, run, packing.clock)
        self._queue, self._width, self._settings = queue, packing.width, packing.task.settings
        self._prefix = estimate_tokens(packing.task.pack_system)

    async def reply(self, request: Request, reply: Reply) -> None:
        """Deliver what *reply* says; rows about which it says nothing are asked again, in halves."""
        pack = request.pack
        if pack is None:
            await super().reply(request, reply)
            return
        field, found = answer_field(self._settings), dict[str, Found]()
        if reply.status is None:
            found = read_pack(reply.text, reply.finish, reply.logprobs, pack.ids, field)
        self._width.on_reply(request.rows, request.rows - len(found))
        usages = dict(zip(pack.ids, self._shares(pack, reply.usage), strict=True))
        answers, left = list[Answer](), list[Request]()
        for name, member in self._billed(request, NO_USAGE).items():
            if name in found:
                place = placed(reply.request_id, pack.ids.index(name) + 1, request.rows)
                part = reply._replace(**found[name]._asdict(), usage=usages[name], request_id=place)
                answers.append(answer_from_reply(member, part, self._run, self._clock.wall()))
                answers += self._settled(member, member.attempts.paid)
            else:
                paid = member.attempts.paid.plus(usages[name])
                left.append(member._replace(attempts=replace(member.attempts, paid=paid)))
        await self._deliver(*answers, *self._bills(left))
        self._ask_again(left)

    async def failure(self, request: Request, failure: Failure) -> None:
        """Deliver the answer that *request* is given up; the rows of a pack are asked again, in halves."""
        if request.pack is None:
            await super().failure(request, failure)
            return
        left = list(self._billed(request, failure.usage).values())
        await self._deliver(*self._bills(left))
        self._ask_again(left)

    async def bill(self, request: Request, usage: Usage) -> None:
        """Deliver what *request* has cost, to each row of a pack its share."""
        if request.pack is None:
            await super().bill(request, usage)
        else:
            await self._deliver(*self._bills(self._billed(request, usage).values()))

    def _billed(self, request: Request, usage: Usage) -> Mapping[str, Request]:
        """Return each member of a pack by its id, with its share of what the pack has cost so far, and of *usage*."""
        assert request.pack is not None  # noqa: S101 - for the type checker
        found = {}
        paid = self._shares(request.pack, request.attempts.paid.plus(usage))
        for name, member, share in zip(*request.pack, paid, strict=True):
            before = member.attempts
            attempts = replace(
                before, paid=before.paid.plus(share), calls=before.calls + request.attempts.calls
            )
            found[name] = member._replace(attempts=attempts)
        return found

    def _shares(self, pack: Pack, usage: Usage) -> list[Usage]:
        sizes = [estimate_tokens(member.prompt.text) for member in pack.members]
        return shares(usage, sizes, self._prefix)

    def _bills(self, left: Iterable[Request]) -> Iterator[Answer]:
        for member in left:
            if member.attempts.paid is not NO_USAGE:
                yield self._bill(member, member.attempts.paid)

    def _ask_again(self, left: list[Request]) -> None:
        for request in halves([one._replace(attempts=_called(one)) for one in left], self._clock):
            self._queue.rows.unanswered += 1
            self._queue.push(request, first=True)


def _called(request: Request) -> Attempts:
    """Return the attempts of *request* with one more call, that of the pack."""
    return replace(request.attempts, calls=request.attempts.calls + 1)
