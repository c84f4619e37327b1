"""The coin that decides which prompts are audited: one per prompt, fixed before the first request."""

from hashlib import blake2b

SECRET_BYTES = 32

_RANGE = 1 << 64


def toss(key: bytes, secret: bytes) -> float:
    """Return the coin of the prompt with *key*, from 0 to 1, the same whenever it is asked for.

    It is random as *secret* is, which comes from the system and is known to nobody who chose the rows or the student.
    """
    return int.from_bytes(blake2b(key, digest_size=8, key=secret).digest(), "big") / _RANGE
