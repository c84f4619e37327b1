"""Decides what each request gets: as ordered, or as the simulator would, down to the bytes."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from urllib.parse import unquote

from pipeline.servers.protocol.errors import BadRequestError
from pipeline.servers.protocol.labels import labels_of
from pipeline.servers.simulator.chat import Ask, read_ask
from pipeline.servers.simulator.log import Entry
from pipeline.servers.simulator.refusals import models
from pipeline.servers.simulator.response import NoReply, refusal_of, refuse
from pipeline.servers.simulator.service import Decision, Served, Service
from tests.faultserver.faults import FAULTS, Call
from tests.faultserver.http1 import End, Request, Response, Wire, render
from tests.faultserver.settings import FaultServerSettings

LabelFor = Callable[[str], str | Sequence[str]]
"""The right label, or the list of right labels, of a row's text; LookupError for a text it does not know."""

Sent = bytes | Response | NoReply | Wire

Behaviour = str | Sent | Callable[[Call], Sent] | None
"""What an ordered request gets: a fault by name, raw bytes and then the end of the connection, a response,
a wire, a function that makes one of these, or None for the right answer."""

CHAT, MODELS, ELSEWHERE = "/v1/chat/completions", "/v1/models", "/elsewhere"


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request on its way through the service, as its connection knows it."""

    service: "FaultService"
    served: Served

    @property
    def wire(self) -> Wire:
        return self.served.sent

    @property
    def delay(self) -> float:
        return self.served.delay

    def begin(self) -> None:
        self.service.note(self.served)

    def end(self) -> None:
        self.service.end()


class FaultService(Service):
    """The fault server without its sockets.

    Attributes:
        entries: The log's entries, in the order of answering.
        script: Behaviours of the next chat requests.
        rules: Predicates on the row's text, and the behaviour of the rows that they fit.
        strays: Requests that came to the other origin, where redirects point.
        elsewhere: URL of that origin's chat completions.
    """

    def __init__(
        self, settings: FaultServerSettings, label_for: LabelFor | None, clock: Callable[[], float]
    ) -> None:
        super().__init__(settings, clock)
        self.entries: list[Entry] = []
        self.script: deque[Behaviour] = deque()
        self.rules: list[tuple[Callable[[str], bool], Behaviour]] = []
        self.strays: list[Request] = []
        self.elsewhere = ""
        self._label_for = label_for
        self._is_random = True  # what is ordered may need dice, too

    def receive(self, request: Request) -> Exchange:
        """Decide about a request that has just arrived."""
        return Exchange(self, self._serve(lambda: self._decide(request)))

    def note(self, served: Served) -> Entry:
        """Write the log's entry of a request whose answer is ready."""
        entry = super().note(served)
        if self.settings.keep_entries:
            self.entries.append(entry)
        return entry

    def _decide(self, request: Request) -> Decision:
        path = request.path.partition("?")[0]
        if path.startswith(ELSEWHERE):
            self.strays.append(request)
            path = path.removeprefix(ELSEWHERE)
        if path == CHAT and request.method == "POST":
            return self._asked(request)
        refused = self._away() or self._unwelcome(request)
        if refused is not None:
            return refused
        if path.startswith(MODELS) and request.method == "GET" and self.settings.model_objects:
            return Decision(models(unquote(path.removeprefix(MODELS).lstrip("/")), self.settings))
        return Decision(refuse(404, f"There is nothing at {path}"), "no such path")

    def _asked(self, request: Request) -> Decision:
        try:
            ask = self._understood(request.body)
        except BadRequestError as error:
            return Decision(refusal_of(error), "unreadable request")
        self._roll(ask)
        if self.script:
            return self._ordered(request, ask, self.script.popleft())
        for fits, behaviour in self.rules:
            if fits(ask.text):
                return self._ordered(request, ask, behaviour)
        refused = self._away() or self._unwelcome(request) or self._unsupported(ask) or self._refused(ask)
        if refused is not None:
            return refused._replace(ask=ask)
        return self._ordered(request, ask, self._drawn())

    def _understood(self, body: bytes) -> Ask:
        ask = read_ask(body)
        if self.settings.json_schema == "yes":
            return ask
        labels, multi = labels_of(ask.prefix)
        return ask._replace(labels=labels, multi=multi)

    def _unwelcome(self, request: Request) -> Decision | None:
        key = self.settings.api_key
        if key is None or request.headers.get("authorization") == f"Bearer {key}":
            return None
        return Decision(refuse(401, "Incorrect API key provided", code="invalid_api_key"), "key refused")

    def _unsupported(self, ask: Ask) -> Decision | None:
        formats = {"json_schema": self.settings.json_schema, "json_object": self.settings.json_object}
        if formats.get(ask.format) == "refused":
            message = f"'response_format' of type '{ask.format}' is not supported with this model."
            return Decision(refuse(400, message, code="unsupported_value"), "not supported")
        if ask.logprobs and self.settings.logprobs == "refused":
            message = "'logprobs' is not supported with this model."
            return Decision(refuse(400, message, code="unsupported_parameter"), "not supported")
        return None

    def _ordered(self, request: Request, ask: Ask, behaviour: Behaviour) -> Decision:
        """Return what *behaviour* makes of the request."""
        if isinstance(behaviour, (bytes, Response, NoReply, Wire)):
            return Decision(behaviour, "ordered", ask)
        try:
            call = self._raw_call(request, ask)
        except LookupError as error:
            return Decision(refuse(400, f"no label is known for this text: {error!r}"), "unknown text", ask)
        if behaviour is None:
            return Decision(call.right(), None, ask)
        if isinstance(behaviour, str):
            return Decision(FAULTS[behaviour].act(call), behaviour, ask)
        return Decision(behaviour(call), "ordered", ask)

    def _raw_call(self, request: Request, ask: Ask) -> Call:
        settings = self.settings
        call = self._call(ask._replace(logprobs=ask.logprobs and settings.logprobs == "yes"))
        return Call(
            **{field.name: getattr(call, field.name) for field in fields(call)},
            request=request,
            elsewhere=self.elsewhere,
            prices=settings.prices if settings.tell_cost else None,
        )

    def _answer(self, ask: Ask) -> str | Sequence[str]:
        return self._label_for(ask.text) if self._label_for else super()._answer(ask)

    def _outgoing(self, sent: Sent) -> Wire:
        """Return the bytes of what is sent, and what happens to the connection then."""
        if isinstance(sent, Wire):
            return sent
        if isinstance(sent, bytes):
            return Wire(sent, end=End.FIN)
        if isinstance(sent, NoReply):
            return Wire(b"", end=End.SILENCE if sent.hangs else End.FIN, delay=sent.delay)
        response = super()._outgoing(sent)
        if not self.settings.rate_headers:
            told = [header for header in response.headers if not header[0].startswith("x-ratelimit-")]
            response = replace(response, headers=tuple(told))
        return Wire(render(response), status=sent.status, billed=sent.billed, delay=sent.delay)
