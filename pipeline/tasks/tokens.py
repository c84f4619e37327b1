"""Estimate the number of tokens in a text without a tokenizer, and cut a text to a number of tokens."""

BYTES_PER_TOKEN = 4
"""UTF-8 bytes per token: OpenAI's rule of thumb for English; other scripts have more bytes per character,
and more tokens. `llm.pacing.tokens.TokenEstimate` corrects it from the `usage` of real replies."""

CHAT_TOKENS = 11
"""Tokens that the chat format adds to a prompt; measured on OpenAI's API."""


def estimate_tokens(text: str) -> int:
    """Estimate the number of tokens in *text*, rounded up."""
    size = len(text) if text.isascii() else len(text.encode("utf-8", "replace"))
    return -(-size // BYTES_PER_TOKEN)


def cut(text: str, max_tokens: int) -> tuple[str, bool]:
    """Cut *text* at its end to *max_tokens*, between characters; return it and whether it was cut.

    The cut must not depend on anything learned during a run, because the cut text is part of the key.
    """
    limit = max_tokens * BYTES_PER_TOKEN
    if len(text) * 4 <= limit:  # no character takes more than four bytes
        return text, False
    encoded = text[: limit + 1].encode("utf-8", "replace")  # and none less than one
    if len(encoded) <= limit:
        return text, False
    return encoded[:limit].decode("utf-8", "ignore"), True
