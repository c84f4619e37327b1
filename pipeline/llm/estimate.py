"""Token estimates that learn from the usage of real replies."""

from pipeline.llm.replies import Usage
from pipeline.tasks.tokens import estimate_tokens

WEIGHT = 0.1
"""Weight of a new reply in the moving average: the bias of the rule of thumb is gone after about 20."""

MOST, LEAST = 20.0, 0.1
"""Bounds of the correction: one reply with a nonsensical count must not stop the limiter for an hour."""


class TokenEstimate:
    """Estimates the tokens of a request and corrects itself."""

    def __init__(self, system: str, max_tokens: int) -> None:
        self._overhead = estimate_tokens(system)
        self._max_tokens = max_tokens
        self._ratio = 1.0
        self._completion = float(max_tokens)

    def prompt(self, text: str) -> int:
        """Return about how many prompt tokens a request about *text* has, the system message included."""
        return int((self._overhead + estimate_tokens(text)) * self._ratio) + 1

    def quota(self, prompt_tokens: int) -> int:
        """Return what providers count against tokens a minute: OpenAI takes the larger of the two."""
        return max(prompt_tokens, self._max_tokens)

    @property
    def completion(self) -> float:
        """About how many tokens a reply has."""
        return self._completion

    def learn(self, estimated: int, usage: Usage) -> None:
        """Compare an estimate with what was billed."""
        if usage.prompt_tokens and estimated:
            found = self._ratio * usage.prompt_tokens / estimated
            self._ratio += WEIGHT * (min(MOST, max(LEAST, found)) - self._ratio)
        if usage.completion_tokens is not None:
            self._completion += WEIGHT * (usage.completion_tokens - self._completion)
