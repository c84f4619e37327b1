"""How many tokens replies have had, thoughts included; and whether a model thinks at all."""

import re
from dataclasses import dataclass
from typing import Literal

from pipeline.config import Config, ModelSettings
from pipeline.ledger.store import Store
from pipeline.llm.form_memory import FormMemory
from pipeline.llm.protocol.form import first_form
from pipeline.records import Answer
from pipeline.system.clock import Clock
from pipeline.tasks.prompt import Task

_DATE = re.compile(r"-[\d-]+")
"""What a reply may append to the name of the model that was asked for: gpt-5-nano-2025-08-07."""


@dataclass(slots=True)
class ReplyTokens:
    """The completion tokens of replies that were paid for, and where they are from.

    Attributes:
        replies: How many replies.
        tokens: Their tokens together.
        source: `answers` to questions of this job, answers of the same `model` to others, or a `guess`.
    """

    replies: int = 0
    tokens: int = 0
    source: Literal["answers", "model", "guess"] = "guess"

    def add(self, answer: Answer) -> None:
        """Count an *answer* of this job, if it is a reply that tells its tokens."""
        if answer.text is not None and answer.completion_tokens:
            self.replies += max(1, answer.asks)
            self.tokens += answer.completion_tokens
            self.source = "answers"

    def ask(self, store: Store, model: ModelSettings) -> None:
        """Count the newest answers of *model* in *store*, if there is none of this job."""
        if self.replies:
            return
        found = [tokens for name, tokens in store.recent_tokens() if _is_of(name, model.name)]
        if found:
            self.replies, self.tokens, self.source = len(found), sum(found), "model"

    @property
    def mean(self) -> float:
        """The tokens of a reply."""
        return self.tokens / self.replies if self.replies else 0.0


def reasons(config: Config, task: Task) -> bool | None:
    """Return whether the model thinks before it answers; None if that is not known."""
    model = config.model
    if model.provider == "local":
        return False
    form = FormMemory(config, task, Clock()).recall() or first_form(model)
    if form.ceiling > model.max_tokens:  # which thoughts had used up
        return True
    return None if form.effort is None else form.effort != "none"


def _is_of(found: str, asked: str) -> bool:
    found, asked = (name.lower().rpartition("/")[2] for name in (found, asked))
    return found == asked or (found.startswith(asked) and _DATE.fullmatch(found[len(asked) :]) is not None)
