"""Negotiation of the request's format: the strictest that the endpoint accepts."""

import logging

from pipeline.config import ModelSettings
from pipeline.errors import ConfigError
from pipeline.llm.protocol.body import BodyTemplate, RequestFormat, downgraded, first_format
from pipeline.llm.replies import Failure, FailureKind
from pipeline.tasks.prompt import Task

log = logging.getLogger(__name__)


class FormatNegotiator:
    """Makes request bodies, and finds the strictest format that the endpoint does not refuse.

    Attributes:
        form: The format that requests are sent in now.
    """

    def __init__(self, task: Task, model: ModelSettings) -> None:
        self._task, self._model = task, model
        self.form = first_format(model)
        self._templates: dict[RequestFormat, BodyTemplate] = {}

    def body(self, text: str, form: RequestFormat, *, again: bool) -> bytes:
        """Return the body that asks about *text* in *form*; *again* for the stricter second ask."""
        template = self._templates.get(form)
        if template is None:
            template = self._templates[form] = BodyTemplate(self._task, self._model, form)
        return template.body(text, again=again)

    def on_refusal(self, failure: Failure, form: RequestFormat, *, proven: bool) -> RequestFormat | None:
        """Return the format to send a request in at once that was refused in *form*; None if the format is not to blame.

        Args:
            failure: The refusal; never one that no other format would avoid.
            form: What the request was sent in.
            proven: Whether requests have got replies.

        Raises:
            ConfigError: If the config allows no weaker format.
        """
        if failure.kind is not FailureKind.UNSUPPORTED or proven:
            return None
        if form != self.form:  # it was in flight when another one was refused
            return self.form
        weaker = downgraded(form, self._model, failure.message)
        if weaker is None:
            raise ConfigError(f"{failure.message}; set model.structured_output and model.logprobs to auto")
        log.warning("the endpoint refuses %s; asking for %s from now on", form, weaker)
        self.form = weaker
        return weaker
