"""Token estimates that learn from the usage of real replies."""

from pipeline.llm.replies import Usage
from pipeline.tasks.tokens import estimate_tokens

WEIGHT = 0.1
"""Weight of a new reply in the moving average of the completions' lengths."""

AGED = 0.02
"""Share of a reply's weight that the next one takes: the line is drawn through about the last 50."""

MOST, LEAST = 20.0, 0.1
"""Bounds of the correction: one reply with a nonsensical count must not stop the limiter for an hour."""

ANCHORS = (0.0, 1000.0)
ANCHOR_WEIGHT = 0.5
"""Lengths, in tokens of the text, at which the rule of thumb counts like so much of a reply: texts that all have the
same length tell nothing of others."""


class TokenEstimate:
    """Estimates the tokens of a request and corrects itself.

    The estimate is a line: what is the same for all requests, and so much a token of the text. Both are fitted to
    what was billed by least squares, older replies counting less and less. A single factor would charge the large
    texts for what the small ones have around them.
    """

    def __init__(self, system: str, max_tokens: int) -> None:
        self._max_tokens = max_tokens
        self._completion = float(max_tokens)
        self._fixed, self._each = float(estimate_tokens(system)), 1.0
        self._rule = self._fixed
        # Sums over the points (length, billed) that the line is drawn through: of 1, x, y, x squared, x times y.
        self._n = self._x = self._y = self._xx = self._xy = 0.0
        for length in ANCHORS:
            self._add(length, length + self._fixed, ANCHOR_WEIGHT)
        self._anchors = (self._n, self._x, self._y, self._xx, self._xy)

    def prompt(self, text: str) -> int:
        """Return about how many prompt tokens a request about *text* has, all that is around it included."""
        return max(1, int(self._fixed + self._each * estimate_tokens(text)) + 1)

    def quota(self, prompt_tokens: int) -> int:
        """Return what providers count against tokens a minute: OpenAI takes the larger of the two."""
        return max(prompt_tokens, self._max_tokens)

    @property
    def completion(self) -> float:
        """About how many tokens a reply has."""
        return self._completion

    def learn(self, text: str, usage: Usage) -> None:
        """Compare the estimate for a request about *text* with what was billed."""
        if usage.prompt_tokens:
            length = float(estimate_tokens(text))
            by_rule = self._rule + length
            billed = min(MOST * by_rule, max(LEAST * by_rule, float(usage.prompt_tokens)))
            self._age()
            self._add(length, billed, 1.0)
            self._fit()
        if usage.completion_tokens is not None:
            self._completion += WEIGHT * (usage.completion_tokens - self._completion)

    def _age(self) -> None:
        """Let the replies so far weigh less; the anchors weigh what they did."""
        n, x, y, xx, xy = self._anchors
        self._n -= AGED * (self._n - n)
        self._x -= AGED * (self._x - x)
        self._y -= AGED * (self._y - y)
        self._xx -= AGED * (self._xx - xx)
        self._xy -= AGED * (self._xy - xy)

    def _add(self, x: float, y: float, weight: float) -> None:
        self._n += weight
        self._x += weight * x
        self._y += weight * y
        self._xx += weight * x * x
        self._xy += weight * x * y

    def _fit(self) -> None:
        slope = (self._n * self._xy - self._x * self._y) / (self._n * self._xx - self._x * self._x)
        self._each = min(MOST, max(LEAST, slope))
        self._fixed = (self._y - self._each * self._x) / self._n
