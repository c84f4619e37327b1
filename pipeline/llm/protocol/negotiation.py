"""Negotiation of the request's form: the strictest that the endpoint accepts."""

import logging

from pipeline.config import ModelSettings
from pipeline.errors import ConfigError
from pipeline.llm.protocol.body import BodyTemplate, first_form, weaker
from pipeline.tasks.prompt import Task

log = logging.getLogger(__name__)


class FormatNegotiator:
    """Makes request bodies in the strictest form that the endpoint has not refused."""

    def __init__(self, task: Task, model: ModelSettings) -> None:
        self._task, self._model = task, model
        self._template = BodyTemplate(task, model, first_form(model))

    def body(self, text: str, *, again: bool) -> bytes:
        """Return the body that asks about *text*; *again* for the stricter second ask."""
        return self._template.body(text, again=again)

    def downgrade(self, refusal: str) -> None:
        """Use a weaker form from now on, because the current one was refused with the message *refusal*.

        Raises:
            ConfigError: If the config allows no weaker form.
        """
        form = weaker(self._template.form, self._model, refusal)
        if form is None:
            raise ConfigError(f"{refusal}; set model.structured_output and model.logprobs to auto")
        log.warning("the endpoint refuses %s; asking for %s from now on", self._template.form, form)
        self._template = BodyTemplate(self._task, self._model, form)
