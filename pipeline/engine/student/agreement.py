"""How often the model agrees with itself: some audited prompts are asked once more, under keys that are no row's."""

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, NamedTuple

from pipeline.engine.student.outcome import Audit
from pipeline.figures import interval, percent
from pipeline.quality.intervals import wilson
from pipeline.records import KEY_BYTES

LEAST_ASKED = 30
"""With fewer the interval says nothing."""


class First(NamedTuple):
    """What the model has said to a prompt, and the key under which it is asked again."""

    key: bytes
    said: tuple[str, ...] | None


def first_said(audit: Audit, count: int, run: str) -> dict[bytes, First]:
    """Return *count* of the audited prompts by key; keys are hashes, so that the lowest are a sample."""
    return {key: First(_key_in(run, key), audit[key][1]) for key in sorted(audit)[:count]}


def agreement(
    chosen: Mapping[bytes, First], again: Mapping[bytes, tuple[str, ...] | None]
) -> dict[str, Any] | None:
    """Return how often the model said the same to the *chosen* prompts when it was asked *again*."""
    pairs = [(first.said, again[first.key]) for first in chosen.values() if first.key in again]
    if not pairs:
        return None
    same = sum(one is not None and other is not None and set(one) == set(other) for one, other in pairs)
    low, high = wilson(same, len(pairs))
    sentence = f"the model agrees with itself on {percent(same / len(pairs))} ({interval(low, high)}) of {len(pairs):,} prompts"
    if len(pairs) >= LEAST_ASKED:
        sentence += "; a student can hardly agree with it more often"
    keys = [first.key.hex() for first in chosen.values()]
    return {"asked": len(pairs), "same": same, "low": low, "high": high, "sentence": sentence, "keys": keys}


def _key_in(run: str, key: bytes) -> bytes:
    return blake2b(b"twice\0" + key + run.encode(), digest_size=KEY_BYTES).digest()
