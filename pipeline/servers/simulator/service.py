"""Decides what each request gets: a refusal, a fault or the right answer."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import NamedTuple

from pipeline.config.simulate.latency import Fixed
from pipeline.records import KEY_BYTES
from pipeline.servers.protocol.errors import BadRequestError
from pipeline.servers.protocol.http import Headers
from pipeline.servers.protocol.packs import content_of_rows
from pipeline.servers.simulator.call import Call, PrefixCache
from pipeline.servers.simulator.chat import Ask, any_label, read_ask
from pipeline.servers.simulator.faults import ACTS
from pipeline.servers.simulator.log import Entry, Log
from pipeline.servers.simulator.rate_limits import Rates
from pipeline.servers.simulator.refusals import OUTAGES, models, no_model, turned_away
from pipeline.servers.simulator.response import NoReply, Response, refusal_of, refuse
from pipeline.servers.simulator.settings import OutageKind, SimulatorSettings

COUNTERS = 1 << 22
"""How many counts, of one byte each, of how often a key was asked. Keys that share one are rare and harmless, and
memory does not grow with the number of rows."""

REFUSED_LINE = refuse(400, "This request is refused.")
SILENT_LINE = refuse(500, "The server had an error", kind="server_error")
"""What a line of a batch gets that is refused, and one that would get no reply at all."""


class Decision(NamedTuple):
    """What one request gets, and why it is not the right answer."""

    sent: Response | NoReply
    reason: str | None = None
    ask: Ask | None = None


@dataclass(slots=True)
class Served:
    """One request on its way through the service.

    Attributes:
        sent: What its client gets.
        decision: Why.
        delay: Seconds until then.
        arrived: When it had come, by the service's clock.
    """

    sent: Response | NoReply
    decision: Decision
    delay: float
    arrived: float


class Service:
    """The simulator without its sockets.

    Attributes:
        log: What was asked and sent.
        capacity: Requests in flight from which latency grows; may be changed at any time.
        outage: The kind of outage that is on, or None.
        in_flight: Requests being answered.
        max_in_flight: The most that there ever were at once.
    """

    def __init__(self, settings: SimulatorSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self.settings = settings
        self.log = Log(settings.log_path, count_repeats=settings.count_repeats)
        self.capacity = settings.capacity
        self.outage: OutageKind | None = None
        self.in_flight = self.max_in_flight = 0
        self._clock = clock
        self._rates = Rates(settings.rates, clock())
        self._refusals = [
            (each.share, turned_away(each.status, each.retry_after)) for each in settings.refusals
        ]
        self._goes_wrong = bool(settings.faults or self._refusals)
        self._is_random = self._goes_wrong or not isinstance(settings.latency, Fixed)
        self._dice = Random(settings.seed)  # noqa: S311 - repeatable, not secret
        self._times_asked = bytearray(COUNTERS)
        self._cache = PrefixCache()
        self._number = 0

    def chat(self, body: bytes) -> Served:
        """Decide about a request for a completion that has just arrived."""
        return self._serve(lambda: self._chat(body))

    def models(self, name: str) -> Served:
        """Decide about a request for the model object of *name*, or for the list of all without a name."""
        return self._serve(lambda: self._away() or Decision(models(name, self.settings)))

    def refuse(self, response: Response, reason: str | None) -> Served:
        """Answer with *response* a request that no route accepts, for that *reason*."""
        return self._serve(lambda: self._away() or Decision(response, reason))

    def plain(self, make: Callable[[], Response | NoReply]) -> Served:
        """Answer a request about files or batches with what *make* returns."""
        return self._serve(lambda: self._away() or Decision(make()))

    def line(self, body: bytes, *, refused: bool = False) -> Response:
        """Answer a line of a batch, which knows no rates; or refuse it, as if that were its row's fault."""
        self._number += 1
        try:
            ask = read_ask(body)
        except BadRequestError as error:
            decision = Decision(refusal_of(error), "unreadable request")
        else:
            response = REFUSED_LINE if refused else no_model(ask.model, self.settings)
            self._roll(ask)
            decision = Decision(response, "refused", ask) if response else self._answered(ask, self._drawn())
        sent = SILENT_LINE if isinstance(decision.sent, NoReply) else decision.sent
        self.note(Served(sent, decision, 0.0, self._clock()))
        return sent

    def note(self, served: Served) -> Entry:
        """Write the log's entry of a request whose answer is ready, even if its client has gone: it was made."""
        ask, billed = served.decision.ask, served.sent.billed
        waited = self._clock() - served.arrived
        entry = Entry(
            at=time.time() - waited,
            key=ask.key if ask else "",
            text=ask.text if ask else "",
            again=self.log.is_again(ask.text, ask.content) if ask else False,
            status=served.sent.status,
            fault=served.decision.reason,
            billed=billed is not None,
            prompt_tokens=billed.prompt if billed else 0,
            completion_tokens=billed.completion if billed else 0,
            latency_seconds=waited,
        )
        self.log.add(entry)
        return entry

    def end(self) -> None:
        """Record that a request has ended."""
        self.in_flight -= 1

    def _serve(self, decide: Callable[[], Decision]) -> Served:
        arrived = self._clock()
        self._number += 1
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)
        decision = decide()
        sent = self._outgoing(decision.sent)
        return Served(sent, decision, self._delay(sent.delay), arrived)

    def _chat(self, body: bytes) -> Decision:
        try:
            ask = read_ask(body)
        except BadRequestError as error:
            return Decision(refusal_of(error), "unreadable request")
        refused = self._away() or self._refused(ask)
        if refused is not None:
            return refused._replace(ask=ask)
        self._roll(ask)
        return self._answered(ask, self._drawn())

    def _away(self) -> Decision | None:
        return Decision(OUTAGES[self.outage], "outage") if self.outage else None

    def _refused(self, ask: Ask) -> Decision | None:
        response = no_model(ask.model, self.settings)
        if response is not None:
            return Decision(response, "not supported")
        most = self.settings.in_flight
        if most is not None and self.in_flight > most.most:
            return Decision(turned_away(most.status), "too many in flight")
        response = self._rates.refusal(max(ask.max_tokens or 0, ask.prompt_tokens), self._clock())
        return Decision(response, "rate limited") if response else None

    def _roll(self, ask: Ask) -> None:
        if not self._is_random:
            return
        # Fresh for each request, so that the order of arrival does not matter.
        key = int(ask.key, 16)
        times = self._times_asked[key % COUNTERS]
        self._times_asked[key % COUNTERS] = (times + 1) % 256
        self._dice.seed(((self.settings.seed << 32) + times << 8 * KEY_BYTES) + key)

    def _drawn(self) -> str | Response | None:
        """Return what goes wrong with this request: a fault by its name, or a refusal as it is sent."""
        if not self._goes_wrong:
            return None
        at = self._dice.random()
        for name, share in self.settings.faults.items():
            at -= share
            if at < 0:
                return name
        for share, response in self._refusals:
            at -= share
            if at < 0:
                return response
        return None

    def _answered(self, ask: Ask, fault: str | Response | None) -> Decision:
        if isinstance(fault, Response):
            return Decision(fault, "refused at random", ask)
        call = self._call(ask)
        return Decision(ACTS[fault](call) if fault else call.right(), fault, ask)

    def _call(self, ask: Ask) -> Call:
        if ask.rows:
            ask = self._about_rows(ask)
        return Call(
            ask=ask,
            answer=self._answer(ask),
            random=self._dice,
            request_id=f"{self._number:08x}",
            cached_tokens=self._cache.tokens(ask.prefix),
        )

    def _about_rows(self, ask: Ask) -> Ask:
        """Return *ask* with what is right for each of its rows: what it is where that row is asked about alone."""
        alone = [ask.alone(text) for _, text in ask.rows]
        answers = [self._answer(each) for each in alone]
        listed = '"answers"' in ask.prefix
        return ask._replace(made=content_of_rows([name for name, _ in ask.rows], answers, listed=listed))

    def _answer(self, ask: Ask) -> str | Sequence[str]:
        return any_label(ask)

    def _outgoing(self, sent: Response | NoReply) -> Response | NoReply:
        """Add the request id and the rate-limit headers."""
        if isinstance(sent, NoReply):
            return sent
        headers: Headers = (("x-request-id", f"req_{self._number:08x}"),)
        # A refusal by rate has them already.
        if sent.billed is not None:
            headers += self._rates.headers()
        return Response(sent.status, sent.body, sent.headers + headers, sent.billed, sent.delay)

    def _delay(self, delay: float | None) -> float:
        if delay is not None:
            return delay
        seconds = self.settings.latency.draw(self._dice)
        return seconds * max(1.0, self.in_flight / self.capacity) if self.capacity else seconds
