"""Decides what each request gets: as ordered, refused, spoiled or answered."""

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import NamedTuple
from urllib.parse import unquote

from pipeline.servers.chat import BYTES_PER_TOKEN, KEY_BYTES, Ask, any_label, read_ask, refuse
from pipeline.servers.simulator.faults import FAULTS, Call
from pipeline.servers.simulator.http1 import End, Request, Response, Wire, render
from pipeline.servers.simulator.log import Entry, Log
from pipeline.servers.simulator.rate_limits import Headers, Rates
from pipeline.servers.simulator.refusals import INVALID, OUTAGES, key_refused, models, no_model, unsupported
from pipeline.servers.simulator.settings import Fixed, OutageKind, SimulatorSettings

LabelFor = Callable[[str], str | Sequence[str]]
"""The right label, or the list of right labels, of a row's text; LookupError for a text it does not know."""

Sent = bytes | Response | Wire

Behaviour = str | Sent | Callable[[Call], Sent] | None
"""What an ordered request gets: a fault by name, raw bytes and then the end of the connection, a response,
a wire, a function that makes one of these, or None for the right answer."""

CHAT, MODELS, ELSEWHERE = "/v1/chat/completions", "/v1/models", "/elsewhere"

CACHE_FROM_TOKENS, CACHE_STEP_TOKENS = 1024, 128
"""OpenAI caches prompts from so many tokens on, in such steps."""

COUNTERS = 1 << 22
"""Counts of how often a key was asked, one byte each: keys that share one are rare and do no harm, and memory
does not grow with the number of rows."""


class Decision(NamedTuple):
    """What one request gets, and why it is not the right answer."""

    sent: Sent
    reason: str | None = None
    ask: Ask | None = None


@dataclass(slots=True)
class Served:
    """One request on its way through the service: what its connection knows as the Exchange."""

    service: "Service"
    decision: Decision
    wire: Wire
    delay: float
    arrived: float

    def begin(self) -> None:
        """Write the request into the log."""
        self.service.note(self)

    def end(self) -> None:
        """Count it out."""
        self.service.in_flight -= 1


class Service:
    """The simulator without its sockets.

    Attributes:
        log: What was asked and sent.
        capacity: Requests in flight from which latency grows; may be changed at any time.
        outage: The kind of outage that is on, or None.
        script: Behaviours of the next chat requests.
        rules: Predicates on the row's text, and the behaviour of the rows that they fit.
        strays: Requests that came to the other origin, where redirects point.
        elsewhere: URL of that origin's chat completions.
        in_flight: Requests being answered.
        max_in_flight: The most there ever were.
    """

    def __init__(
        self, settings: SimulatorSettings, label_for: LabelFor | None, clock: Callable[[], float]
    ) -> None:
        self.settings = settings
        self.log = Log(settings.log_path, keep=settings.keep_entries, count_repeats=settings.count_repeats)
        self.capacity = settings.capacity
        self.outage: OutageKind | None = None
        self.script: deque[Behaviour] = deque()
        self.rules: list[tuple[Callable[[str], bool], Behaviour]] = []
        self.strays: list[Request] = []
        self.elsewhere = ""
        self.in_flight = self.max_in_flight = 0
        self._label_for = label_for
        self._clock = clock
        self._rates = Rates(settings.rates, clock())
        self._is_random = bool(settings.faults) or not isinstance(settings.latency, Fixed)
        self._dice = Random(settings.seed)  # noqa: S311 - repeatable, not secret
        self._times_asked = bytearray(COUNTERS)
        self._prefixes: set[int] = set()
        self._number = 0

    def receive(self, request: Request) -> Served:
        """Decide about a request that has just arrived."""
        arrived = self._clock()
        self._number += 1
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)
        decision = self._decide(request)
        wire = self._wire(decision)
        return Served(self, decision, wire, self._delay(wire), arrived)

    def note(self, served: Served) -> None:
        """Write the log's entry of a request whose answer is ready."""
        ask, billed = served.decision.ask, served.wire.billed
        waited = self._clock() - served.arrived
        entry = Entry(
            at=time.time() - waited,
            key=ask.key if ask else "",
            text=ask.text if ask else "",
            again=self.log.is_again(ask.text, ask.content) if ask else False,
            status=served.wire.status,
            fault=served.decision.reason,
            billed=billed is not None,
            prompt_tokens=billed.prompt if billed else 0,
            completion_tokens=billed.completion if billed else 0,
            latency_seconds=waited,
        )
        self.log.add(entry)

    def _decide(self, request: Request) -> Decision:
        path = request.path.partition("?")[0]
        if path.startswith(ELSEWHERE):
            self.strays.append(request)
            path = path.removeprefix(ELSEWHERE)
        if path == CHAT and request.method == "POST":
            return self._chat(request)
        refused = self._away() or self._unwelcome(request)
        if refused is not None:
            return refused
        if path.startswith(MODELS) and request.method == "GET" and self.settings.model_objects:
            return Decision(models(unquote(path.removeprefix(MODELS).lstrip("/")), self.settings))
        return Decision(refuse(404, f"There is nothing at {path}", kind=INVALID), "no such path")

    def _chat(self, request: Request) -> Decision:
        try:
            ask = read_ask(request.body, heed_schema=self.settings.json_schema == "yes")
        except ValueError as error:
            return Decision(refuse(400, str(error), kind=INVALID), "unreadable request")
        if self.script:
            return self._ordered(request, ask, self.script.popleft())
        for fits, behaviour in self.rules:
            if fits(ask.text):
                return self._ordered(request, ask, behaviour)
        refused = self._away() or self._unwelcome(request) or self._refused(ask)
        if refused is not None:
            return refused._replace(ask=ask)
        if self._is_random:
            self._roll(ask)
        return self._ordered(request, ask, self._drawn(), rolled=True)

    def _away(self) -> Decision | None:
        return Decision(OUTAGES[self.outage], "outage") if self.outage else None

    def _unwelcome(self, request: Request) -> Decision | None:
        response = key_refused(request, self.settings)
        return Decision(response, "key refused") if response else None

    def _refused(self, ask: Ask) -> Decision | None:
        response = no_model(ask.model, self.settings) or unsupported(ask, self.settings)
        if response is not None:
            return Decision(response, "not supported")
        response = self._rates.refusal(max(ask.max_tokens or 0, ask.prompt_tokens), self._clock())
        return Decision(response, "rate limited") if response else None

    def _roll(self, ask: Ask) -> None:
        # Fresh for each request, so that the order of arrival does not matter.
        key = int(ask.key, 16)
        times = self._times_asked[key % COUNTERS]
        self._times_asked[key % COUNTERS] = (times + 1) % 256
        self._dice.seed(((self.settings.seed << 32) + times << 8 * KEY_BYTES) + key)

    def _drawn(self) -> str | None:
        if not self.settings.faults:
            return None
        at = self._dice.random()
        for name, rate in self.settings.faults.items():
            at -= rate
            if at < 0:
                return name
        return None

    def _ordered(self, request: Request, ask: Ask, behaviour: Behaviour, *, rolled: bool = False) -> Decision:
        """Return what *behaviour* makes of the request."""
        if not rolled:
            self._roll(ask)
        if isinstance(behaviour, (bytes, Response, Wire)):
            return Decision(behaviour, "ordered", ask)
        try:
            call = self._call(request, ask)
        except LookupError as error:
            return Decision(
                refuse(400, f"no label is known for this text: {error!r}", kind=INVALID), "unknown text", ask
            )
        if behaviour is None:
            return Decision(call.right(), None, ask)
        if isinstance(behaviour, str):
            return Decision(FAULTS[behaviour].act(call), behaviour, ask)
        return Decision(behaviour(call), "ordered", ask)

    def _call(self, request: Request, ask: Ask) -> Call:
        settings = self.settings
        return Call(
            request=request,
            ask=ask,
            answer=self._label_for(ask.text) if self._label_for else any_label(ask),
            random=self._dice,
            elsewhere=self.elsewhere,
            request_id=f"{self._number:08x}",
            cached_tokens=self._cached_tokens(ask),
            logprobs=ask.logprobs and settings.logprobs == "yes",
            prices=settings.prices if settings.tell_cost else None,
        )

    def _cached_tokens(self, ask: Ask) -> int:
        tokens = len(ask.prefix) // BYTES_PER_TOKEN
        if tokens < CACHE_FROM_TOKENS:
            return 0
        seen, prefix = len(self._prefixes), hash(ask.prefix)
        self._prefixes.add(prefix)
        return tokens - tokens % CACHE_STEP_TOKENS if len(self._prefixes) == seen else 0

    def _wire(self, decision: Decision) -> Wire:
        sent = decision.sent
        if isinstance(sent, Wire):
            return sent
        if isinstance(sent, bytes):
            return Wire(sent, end=End.FIN)
        headers: Headers = (("x-request-id", f"req_{self._number:08x}"),)
        # A refusal by rate has them already.
        if sent.billed is not None:
            headers += self._rates.headers()
        return Wire(render(sent, headers), status=sent.status, billed=sent.billed, delay=sent.delay)

    def _delay(self, wire: Wire) -> float:
        if wire.delay is not None:
            return wire.delay
        seconds = self.settings.latency.draw(self._dice)
        return seconds * max(1.0, self.in_flight / self.capacity) if self.capacity else seconds
