"""Negotiation of the request's format: the strictest that the endpoint accepts."""

import logging

from pipeline.config import ModelSettings
from pipeline.errors import ConfigError
from pipeline.llm.protocol.body import BodyTemplate, downgraded, first_format
from pipeline.tasks.prompt import Task

log = logging.getLogger(__name__)


class FormatNegotiator:
    """Makes request bodies in the strictest format that the endpoint has not refused."""

    def __init__(self, task: Task, model: ModelSettings) -> None:
        self._task, self._model = task, model
        self._template = BodyTemplate(task, model, first_format(model))

    def body(self, text: str, *, again: bool) -> bytes:
        """Return the body that asks about *text*; *again* for the stricter second ask."""
        return self._template.body(text, again=again)

    def downgrade(self, refusal: str) -> None:
        """Use a weaker format from now on, because the current one was refused with the message *refusal*.

        Raises:
            ConfigError: If the config allows no weaker format.
        """
        request_format = downgraded(self._template.request_format, self._model, refusal)
        if request_format is None:
            raise ConfigError(f"{refusal}; set model.structured_output and model.logprobs to auto")
        log.warning(
            "the endpoint refuses %s; asking for %s from now on",
            self._template.request_format,
            request_format,
        )
        self._template = BodyTemplate(self._task, self._model, request_format)
