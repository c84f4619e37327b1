"""The coin that decides which prompts are audited: one per prompt, fixed before the first request."""

from hashlib import blake2b
from os import urandom

SECRET_BYTES = 32

_RANGE = 1 << 64


def draw_secret() -> bytes:
    """Draw what all coins of one audit depend on, from the system's random source."""
    return urandom(SECRET_BYTES)


def toss(key: bytes, secret: bytes) -> float:
    """Return the coin of the prompt with *key*, from 0 to 1, the same whenever it is asked for.

    It is random as *secret* is, which is known to nobody who chose the rows or the student.
    """
    return int.from_bytes(blake2b(key, digest_size=8, key=secret).digest(), "big") / _RANGE
