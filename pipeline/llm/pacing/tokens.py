"""Token estimates, corrected by the usage that replies report."""

from collections import deque

from pipeline.llm.replies import Usage
from pipeline.tasks.tokens import BYTES_PER_TOKEN, estimate_tokens

FORMAT_TOKENS = 200
"""Tokens that the chat's format and the empty schema have at most."""

WEIGHT = 0.1
"""Weight of a new reply in the moving average of the completion lengths."""

DECAY = 0.02
"""Share of its weight that a reply loses with each later one: the line is fitted to about the last 50."""

RECENT = 250
"""Replies that wait to be learned from until an estimate is wanted; what came before them would weigh less than 1 %."""

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
        # Most runs have no quota of tokens and are told what a reply has cost, and want no estimate at all.
        self._recent: deque[tuple[int, int | None, int | None, int]] = deque(maxlen=RECENT)
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
        self._catch_up()
        self.max_tokens = max_tokens
        self._completion = float(max_tokens)

    def prompt(self, text: str) -> int:
        """Estimate the prompt tokens of a request about *text*, including the system message."""
        self._catch_up()
        return max(1, int(self._intercept + self._slope * estimate_tokens(text)) + 1)

    def bound(self, text: str) -> int:
        """Return the most prompt tokens that a request about *text* may have: one a byte."""
        return self._surroundings + BYTES_PER_TOKEN * estimate_tokens(text)

    def quota(self, text: str, rows: int = 1) -> int:
        """Return the tokens that a request about *text*, of so many *rows*, counts as against `limits.tokens_per_minute`."""
        # OpenAI counts the larger of the two (its rate-limit guide: the estimate from the prompt, or max_tokens).
        return max(self.prompt(text), self.max_tokens * rows)

    @property
    def completion(self) -> float:
        """Estimated tokens of a reply, about one row."""
        self._catch_up()
        return self._completion

    def learn(self, text: str, usage: Usage, rows: int = 1) -> None:
        """Correct the estimates by what a request about *text*, of so many *rows*, was billed for."""
        self._recent.append((estimate_tokens(text), usage.prompt_tokens, usage.completion_tokens, rows))

    def _catch_up(self) -> None:
        """Learn from the replies that wait."""
        while self._recent:
            length, prompt_tokens, completion_tokens, rows = self._recent.popleft()
            if prompt_tokens:
                rule_of_thumb = self._rule_intercept + length
                billed = max(MIN_CORRECTION * rule_of_thumb, float(prompt_tokens))
                self._decay()
                self._add(length, min(MAX_CORRECTION * rule_of_thumb, billed), 1.0)
                self._fit()
            if completion_tokens is not None:
                self._completion += WEIGHT * (completion_tokens / rows - self._completion)

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
