"""Token estimates, corrected by the usage that replies report."""

from pipeline.llm.replies import Usage
from pipeline.tasks.tokens import BYTES_PER_TOKEN, estimate_tokens

FORMAT_TOKENS = 200
"""Tokens that the chat's format and the empty schema have at most."""

WEIGHT = 0.1
"""Weight of a new reply in the moving average of the completion lengths."""

DECAY = 0.02
"""Share of its weight that a reply loses with each later one: the line is fitted to about the last 50."""

MAX_CORRECTION, MIN_CORRECTION = 20.0, 0.1
"""Bounds of the correction, as factors: one nonsensical count must not stop the limiter for an hour."""

ANCHORS = (0.0, 1000.0)
"""Text lengths, in tokens, where the rule of thumb is kept as a point of the fit: without them, texts that all
have the same length would leave the slope undefined."""

ANCHOR_WEIGHT = 0.5
"""Weight of an anchor in the fit, in replies."""


class TokenEstimate:
    """An estimate of a request's tokens, which starts from a rule of thumb and learns from what is billed.

    The prompt estimate is a line over the text's length, fitted by least squares with exponential decay.

    Attributes:
        max_tokens: The ceiling of a reply's tokens that is sent.
    """

    def __init__(self, system: str, max_tokens: int) -> None:
        self.set_ceiling(max_tokens)
        # The schema repeats the labels of the system message, and the chat's format adds a few tokens.
        self._surroundings = 2 * BYTES_PER_TOKEN * estimate_tokens(system) + FORMAT_TOKENS
        # A line and not a single factor, which would charge large texts for what surrounds the small ones.
        self._intercept, self._slope = float(estimate_tokens(system)), 1.0
        self._rule_intercept = self._intercept
        # Sums over the points (length, billed) that the line is fitted to: of 1, x, y, x squared, x times y.
        self._n = self._x = self._y = self._xx = self._xy = 0.0
        for length in ANCHORS:
            self._add(length, length + self._intercept, ANCHOR_WEIGHT)
        self._anchors = (self._n, self._x, self._y, self._xx, self._xy)

    def set_ceiling(self, max_tokens: int) -> None:
        """Expect replies of up to *max_tokens* from now on, until replies teach otherwise."""
        self.max_tokens = max_tokens
        self._completion = float(max_tokens)

    def prompt(self, text: str) -> int:
        """Estimate the prompt tokens of a request about *text*, including the system message."""
        return max(1, int(self._intercept + self._slope * estimate_tokens(text)) + 1)

    def bound(self, text: str) -> int:
        """Return the most prompt tokens that a request about *text* may have: one a byte."""
        return self._surroundings + BYTES_PER_TOKEN * estimate_tokens(text)

    def quota(self, prompt_tokens: int) -> int:
        """Return the tokens that a request counts as against `limits.tokens_per_minute`."""
        # OpenAI counts the larger of the two (its rate-limit guide: the estimate from the prompt, or max_tokens).
        return max(prompt_tokens, self.max_tokens)

    @property
    def completion(self) -> float:
        """Estimated tokens of a reply."""
        return self._completion

    def learn(self, text: str, usage: Usage) -> None:
        """Correct the estimates by what a request about *text* was billed for."""
        if usage.prompt_tokens:
            length = float(estimate_tokens(text))
            rule_of_thumb = self._rule_intercept + length
            billed = min(
                MAX_CORRECTION * rule_of_thumb,
                max(MIN_CORRECTION * rule_of_thumb, float(usage.prompt_tokens)),
            )
            self._decay()
            self._add(length, billed, 1.0)
            self._fit()
        if usage.completion_tokens is not None:
            self._completion += WEIGHT * (usage.completion_tokens - self._completion)

    def _decay(self) -> None:
        """Lower the weight of all replies so far; the anchors keep theirs."""
        n, x, y, xx, xy = self._anchors
        self._n -= DECAY * (self._n - n)
        self._x -= DECAY * (self._x - x)
        self._y -= DECAY * (self._y - y)
        self._xx -= DECAY * (self._xx - xx)
        self._xy -= DECAY * (self._xy - xy)

    def _add(self, x: float, y: float, weight: float) -> None:
        self._n += weight
        self._x += weight * x
        self._y += weight * y
        self._xx += weight * x * x
        self._xy += weight * x * y

    def _fit(self) -> None:
        slope = (self._n * self._xy - self._x * self._y) / (self._n * self._xx - self._x * self._x)
        self._slope = min(MAX_CORRECTION, max(MIN_CORRECTION, slope))
        self._intercept = (self._y - self._slope * self._x) / self._n
