"""Negotiation of the request's form: the strictest that the endpoint accepts, found part by part."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from pipeline.config import ModelSettings
from pipeline.errors import ConfigError
from pipeline.llm.protocol.body import BodyTemplate
from pipeline.llm.protocol.described import fitted
from pipeline.llm.protocol.form import RequestForm, difference, first_form, is_free, trials, weaker
from pipeline.llm.protocol.refusals import SETTINGS, Named, may_be_about_form, may_be_unnamed, named
from pipeline.llm.protocol.room import MAX_CEILING, RAISE, lacked_room
from pipeline.llm.replies import Failure, FailureKind, Reply
from pipeline.llm.retry import Attempts
from pipeline.tasks.prompt import Task

log = logging.getLogger(__name__)

SAME_AGAIN = 3
"""Calls of one row in a form that has brought replies to others, before it is asked in a weaker one."""


class Memory(Protocol):
    """What keeps forms from one run to the next."""

    def recall(self) -> RequestForm | None:
        """Return the form that the endpoint took last; None if none is known."""

    def keep(self, form: RequestForm) -> None:
        """Remember *form*."""


class FormatNegotiator:
    """Makes request bodies in the strictest form that the endpoint has not refused.

    Attributes:
        form: The form of new requests.
        settled: Whether a reply has confirmed it.
    """

    def __init__(self, task: Task, model: ModelSettings, memory: Memory | None = None) -> None:
        """Begin with the strictest form that the model's name speaks for.

        Args:
            task: What is asked.
            model: The model, and what the user asked for.
            memory: Where the forms that replies have confirmed are kept; None keeps none.
        """
        self._task, self._model, self._memory = task, model, memory
        self._first = first_form(model)
        self._remembered = False
        # What the user has set is exceeded once, and no more than that.
        self._bound = MAX_CEILING if is_free("limit", model) else min(MAX_CEILING, RAISE * model.max_tokens)
        self.settled = False
        self._trials: Iterator[RequestForm] | None = None
        self._refusal = ""  # that the trials answer
        self._begin_with(self._first)

    def begin(self, about: Mapping[str, Any] | Failure) -> None:
        """Take what is known before the first request: from the endpoint's object *about* the model, and from memory."""
        if not isinstance(about, Failure):
            self._first = fitted(self._first, self._model, about)
        remembered = self._memory.recall() if self._memory else None
        self._remembered = remembered is not None  # if it is refused now, all is found out anew
        self._begin_with(remembered or self._first)

    def body(self, text: str, form: RequestForm, ids: Sequence[str] = (), *, again: bool) -> bytes:
        """Return the body in *form* that asks about *text*; *again* for the stricter second ask.

        If there are *ids*, the text is the message about the rows that have them.
        """
        template = self._template if form is self.form else BodyTemplate(self._task, self._model, form)
        return template.pack(ids, text) if ids else template.body(text, again=again)

    def on_reply(self, form: RequestForm) -> None:
        """Take a reply to a request in *form* as proof of that form."""
        if self.settled:  # nearly always
            return
        if form != self.form:
            if form != self._base:
                return
            self._use(form)  # the form on trial was not needed: it was the row that was refused
        elif form != self._base:
            log.warning(
                "the endpoint refused a request: %s; it takes %s, which is asked for from now on",
                self._refusal,
                difference(self._base, form),
            )
        self._trials, self.settled = None, True
        self._keep()

    def on_refusal(
        self, failure: Failure, form: RequestForm, *, proven: bool, attempts: Attempts
    ) -> RequestForm | None:
        """Return the form in which the request is sent again at once; None if its form is not to blame.

        Args:
            failure: What came back.
            form: The form that the request was sent in.
            proven: Whether the run has had a reply.
            attempts: The request's earlier calls.

        Raises:
            ConfigError: If the endpoint refuses, before its first reply, what the config asks for.
        """
        if not may_be_about_form(failure):
            return None
        found = named(failure, form, self._model)
        if proven:
            return self._for_this_request(failure, form, found, attempts)
        if form != self.form:  # refused meanwhile, and answered already
            return self.form
        if self._remembered and (found or may_be_unnamed(failure)):
            return self._forget(failure)
        return self._on_named(failure, found) if found else self._on_unnamed(failure)

    def more_room(self, reply: Reply, form: RequestForm) -> RequestForm | None:
        """Return the form with a higher ceiling if reasoning has used up that of *form*; None if not, or at the bound."""
        if not lacked_room(reply):
            return None
        if form.ceiling < self.form.ceiling:  # raised meanwhile
            return replace(form, ceiling=self.form.ceiling)
        ceiling = min(form.ceiling * RAISE, self._bound)
        if ceiling <= form.ceiling:
            return None
        log.warning(
            "the model spent all of its %d tokens on reasoning; it gets %d from now on (model.reasoning_effort: low, minimal "
            "or none spends less, where the model takes it)",
            form.ceiling,
            ceiling,
        )
        self._set_ceiling(ceiling)
        return replace(form, ceiling=ceiling)

    def _use(self, form: RequestForm) -> None:
        self.form, self._template = form, BodyTemplate(self._task, self._model, form)

    def _begin_with(self, form: RequestForm) -> None:
        """Ask in *form*, and let refusals count against it from here on."""
        self._use(form)
        self._base = form
        self._trials = None
        self._exhausted = self.settled = False

    def _forget(self, failure: Failure) -> RequestForm:
        """Begin with the strictest form again, because the one that used to work does not."""
        self._remembered = False
        if self._first != self.form:
            log.warning(
                "the endpoint refuses what it took last time: %s; finding out anew what it takes",
                failure.message,
            )
        self._begin_with(self._first)
        return self.form

    def _on_named(self, failure: Failure, found: Named) -> RequestForm | None:
        """Give way in the part that is named, for the whole run."""
        part = found.part
        form = part and weaker(self._base, part, self._model, allowed=found.allowed, loosely=found.loosely)
        if form is None:
            # These say more about the server, or about the key's access to a kind of model.
            if failure.kind is FailureKind.TRANSIENT or (
                failure.kind is FailureKind.DENIED and part in {None, "effort"}
            ):
                return None
            raise ConfigError(f"{failure.message}; {_advice(found)}")
        log.warning(
            "the endpoint refuses a part of the request: %s; asking for %s from now on",
            failure.message,
            difference(self._base, form),
        )
        self._begin_with(form)
        return form

    def _on_unnamed(self, failure: Failure) -> RequestForm | None:
        """Leave each part out in turn; once nothing is left to try, others show whether the row or the config is to blame."""
        if self._exhausted or not may_be_unnamed(failure):
            return None
        if self._trials is None:
            self._refusal, self._trials = failure.message, trials(self._base, self._model)
        form = next(self._trials, None)
        self._use(form or self._base)
        self._exhausted = form is None
        return form

    def _for_this_request(
        self, failure: Failure, form: RequestForm, found: Named | None, attempts: Attempts
    ) -> RequestForm | None:
        """Send one request again as it was, at last in a weaker form; the run keeps the form that has worked."""
        if found is None and failure.kind is FailureKind.UNSUPPORTED:
            found = Named("structure", SETTINGS["structure"])
        if found is None or found.part is None:
            return None
        if found.part == "limit" and form.ceiling > self._model.max_tokens:
            return self._lowered(form)
        if attempts.calls + 1 < SAME_AGAIN:
            return form
        return weaker(form, found.part, self._model, allowed=found.allowed, loosely=found.loosely)

    def _lowered(self, form: RequestForm) -> RequestForm:
        """Take back the raise of the ceiling to what *form* has, which is more than the model allows."""
        self._bound = max(self._model.max_tokens, form.ceiling // RAISE)
        if self.form.ceiling > self._bound:
            self._set_ceiling(self._bound)
        return replace(form, ceiling=self._bound)

    def _set_ceiling(self, ceiling: int) -> None:
        self._use(replace(self.form, ceiling=ceiling))
        self._base = self.form
        self._keep()

    def _keep(self) -> None:
        if self._memory is not None:
            self._memory.keep(self.form)


def _advice(found: Named) -> str:
    match found.setting:
        case "model.structured_output" | "model.logprobs" | "model.reasoning_effort" as setting:
            return f"set {setting} to auto"
        case "model.max_tokens":
            return "leave model.max_tokens out"
        case "model.temperature" | "model.top_p" | "model.seed" as setting:
            return f"set {setting} to null"
        case setting:
            return f"leave {setting} out"
