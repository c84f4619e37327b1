"""How many tokens a text has, without a tokenizer, and how to cut one."""

BYTES_PER_TOKEN = 4
"""UTF-8 bytes a token: OpenAI's rule of thumb for English; other scripts have more bytes a character,
and more tokens. The limiter corrects the estimate from the `usage` of real replies."""


def estimate_tokens(text: str) -> int:
    """Return about how many tokens *text* has, rounded up."""
    size = len(text) if text.isascii() else len(text.encode("utf-8", "replace"))
    return -(-size // BYTES_PER_TOKEN)


def cut(text: str, max_tokens: int) -> tuple[str, bool]:
    """Cut *text* at its end to *max_tokens*, on a character's border; tell whether it was cut.

    The cut does not depend on anything learned during a run, because the cut text is part of the key.
    """
    limit = max_tokens * BYTES_PER_TOKEN
    if len(text) * 4 <= limit:  # no character has more than four bytes
        return text, False
    encoded = text[: limit + 1].encode("utf-8", "replace")  # none has less than one
    if len(encoded) <= limit:
        return text, False
    return encoded[:limit].decode("utf-8", "ignore"), True
