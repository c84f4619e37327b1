"""Finish reasons: what the word with which a reply ends says about it.

The words that say "whole" are listed; no list of the others is ever complete, so that any other word is a cut reply,
unless it speaks of a filter or of an error. From a cut reply no label is taken.
"""

from enum import Enum, auto
from functools import lru_cache


class Ending(Enum):
    """How a reply ended."""

    WHOLE = auto()
    """The model had said all that it meant to say."""
    UNTOLD = auto()
    """The endpoint does not say: the reply is whole if it is JSON that is whole."""
    CUT = auto()
    """It ended at a limit, or for a reason that is not known."""
    FILTERED = auto()
    """The provider stopped it for its content."""
    REFUSED = auto()
    """The model refused."""
    BROKEN = auto()
    """The endpoint failed amid the reply; asked again, it may succeed."""


WHOLE = frozenset(
    {
        "stop", "stop_sequence", "stop_token", "end_turn", "end", "eos", "eos_token", "done", "finished",
        "complete", "completed", "tool_calls", "tool_call", "tool_use", "function_call",
    }
)  # fmt: skip
UNTOLD = frozenset({"", "null", "none"})

WORDS = {
    Ending.FILTERED: (
        "filter", "safety", "recitation", "block", "prohibit", "content", "spii", "sensitive", "moderat", "guardrail",
        "policy",
    ),
    Ending.REFUSED: ("refus",),
    Ending.BROKEN: ("error", "abort", "cancel", "insufficient", "timeout", "timed_out", "fail", "unavailable"),
}  # fmt: skip
"""What occurs in the other words, in order of precedence."""


@lru_cache(maxsize=256)
def ending(finish: str | None) -> Ending:
    """Return how a reply with the finish reason *finish* ended; None where the endpoint tells none."""
    word = (finish or "").strip().lower().rpartition(".")[2]  # of `FinishReason.STOP`, the last part
    if word in WHOLE:
        return Ending.WHOLE
    if word in UNTOLD:
        return Ending.UNTOLD
    found = (how for how, signs in WORDS.items() if any(sign in word for sign in signs))
    return next(found, Ending.CUT)
