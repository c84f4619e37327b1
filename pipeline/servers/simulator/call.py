"""A request with its right answer, and what of it the provider has in its cache: what a fault has to go by."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from pipeline.servers.simulator.chat import BYTES_PER_TOKEN, Ask, Completion, content_of, write_completion
from pipeline.servers.simulator.response import NoReply, Response

CACHE_FROM_TOKENS, CACHE_STEP_TOKENS = 1024, 128
"""OpenAI caches prompts from so many tokens on, in such steps."""

CACHED_PREFIXES = 4096
"""Prefixes that are cached; the oldest is dropped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request, its right answer, and dice.

    Attributes:
        ask: The request as it was understood.
        answer: The right label, or the list of right labels.
        random: Seeded by the simulator's seed, the key and how often it was asked.
        request_id: The server's name for the request.
        cached_tokens: Prompt tokens that the server had in its cache.
    """

    ask: Ask
    answer: str | Sequence[str]
    random: Random
    request_id: str
    cached_tokens: int

    @property
    def content(self) -> str:
        """The content of the right reply."""
        return self.ask.made or content_of(self.answer)

    @property
    def label(self) -> str:
        """A right label; `unknown` where the right answer is an empty list."""
        labels = [self.answer] if isinstance(self.answer, str) else self.answer
        return labels[0] if labels else "unknown"

    @property
    def wrong_label(self) -> str:
        """A member of the set that is not right, or a label outside it where there is none."""
        right = {self.answer} if isinstance(self.answer, str) else set(self.answer)
        return next((label for label in self.ask.labels if label not in right), "no such label")

    def saying(self, label: str) -> str:
        """Return the content that gives *label* alone, in the form that was asked for."""
        return content_of(label if isinstance(self.answer, str) else [label])

    def reply(self, content: str | None, finish: str = "stop", refusal: str | None = None) -> Completion:
        """Return a completion that says *content*."""
        return write_completion(
            self.ask,
            content,
            finish=finish,
            refusal=refusal,
            cached_tokens=self.cached_tokens,
            request_id=self.request_id,
        )

    def right(self) -> Response:
        """Return the right answer."""
        return self.reply(self.content).response()


Act = Callable[[Call], Response | NoReply]
"""Makes what a fault sends in place of the right answer."""


class PrefixCache:
    """The prefixes of prompts that were sent before."""

    def __init__(self) -> None:
        self._prefixes: dict[int, None] = {}

    def tokens(self, prefix: str) -> int:
        """Return how many tokens of *prefix* the cache has, and put it there."""
        tokens = len(prefix) // BYTES_PER_TOKEN
        if tokens < CACHE_FROM_TOKENS:
            return 0
        key = hash(prefix)
        if key in self._prefixes:
            return tokens - tokens % CACHE_STEP_TOKENS
        self._prefixes[key] = None
        if len(self._prefixes) > CACHED_PREFIXES:
            del self._prefixes[next(iter(self._prefixes))]
        return 0
