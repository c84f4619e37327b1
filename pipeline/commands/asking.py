"""Asking an endpoint about one text, in the forms in which a run would ask it until it has a usable reply."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.config import Config
from pipeline.errors import ConfigError
from pipeline.llm.protocol.form import RequestForm, weaker
from pipeline.llm.protocol.negotiation import FormatNegotiator
from pipeline.llm.replies import Failure, FailureKind, Reply, Window
from pipeline.llm.request import UNTRIED, Request, answer_from_reply
from pipeline.llm.transport.client import Client
from pipeline.records import LABELLED, Outcome, Prompt
from pipeline.system.clock import Clock
from pipeline.tasks.parse import Parser
from pipeline.tasks.prompt import Task

QUESTION = "A short text about nothing in particular."
TIMEOUT_SECONDS = 60.0
MAX_REQUESTS = 16
"""Most requests; a model takes one or a few, and only refusals that name no part come near this."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One request and what came back.

    Attributes:
        form: The form in which it was sent.
        outcome: What came back.
        window: Its rate-limit headers, or None.
    """

    form: RequestForm
    outcome: Reply | Failure
    window: Window | None


class Asking:
    """The same question, asked until a reply is usable or nothing is left to try."""

    def __init__(
        self, client: Client, config: Config, task: Task, about: Mapping[str, Any] | Failure
    ) -> None:
        self._client, self._config = client, config
        self._negotiator = FormatNegotiator(task, config.model)
        self._negotiator.begin(about)

    async def to_the_end(self) -> list[Asked]:
        """Ask, and return all requests in their order; the last one decides."""
        asked: list[Asked] = []
        form = self._negotiator.form
        while len(asked) < MAX_REQUESTS:
            body = self._negotiator.body(QUESTION, form, again=False)
            outcome, window = await self._client.ask(body, TIMEOUT_SECONDS)
            try:
                after = self._next(form, outcome, proven=any_reply(asked))
            except ConfigError as error:
                outcome, after = Failure(FailureKind.UNSUPPORTED, str(error)), None
            asked.append(Asked(form, outcome, window))
            if after is None:
                break
            form = after
        return asked

    def _next(self, form: RequestForm, outcome: Reply | Failure, *, proven: bool) -> RequestForm | None:
        """Return the form to ask in next; None if nothing more is to be found out."""
        if isinstance(outcome, Failure):
            if proven:
                return None
            return self._negotiator.on_refusal(outcome, form, proven=False, attempts=UNTRIED)
        self._negotiator.on_reply(form)
        if (wider := self._negotiator.more_room(outcome, form)) is not None:
            return wider
        # A mode that is taken and not kept to is worth less than a weaker one.
        usable = outcome_of(outcome, self._config).status in LABELLED
        return None if usable else weaker(form, "structure", self._config.model)


def any_reply(asked: Iterable[Asked]) -> bool:
    """Return whether one of the requests got a reply."""
    return any(isinstance(each.outcome, Reply) for each in asked)


def deciding(asked: Sequence[Asked]) -> Asked:
    """Return the request that shows what works: the last that got a reply, or the last of all."""
    return next((each for each in reversed(asked) if isinstance(each.outcome, Reply)), asked[-1])


def outcome_of(reply: Reply, config: Config) -> Outcome:
    """Return what *reply* would mean for a row."""
    request = Request(Prompt(b"\0" * 16, QUESTION, truncated=False))
    return Parser(config.task).outcome(answer_from_reply(request, reply, "probe", Clock().wall()))
