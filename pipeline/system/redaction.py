"""Redaction: secrets are removed from texts, however the endpoint that echoes them has escaped them."""

import re
from collections.abc import Iterable, Iterator

MIN_CHARACTERS = 8
"""Shorter words are not secrets, and may be in a text by coincidence."""

REDACTED = "[redacted]"
"""Stands for a secret in what is shown."""

KEY_REDACTED = "[key redacted]"
"""Stands for the key in a reply that is kept. Versions that cut other words out of replies, too, wrote REDACTED there."""

_SECRET_NAME = re.compile(
    r"(?:.*[^a-z0-9])?"
    r"(?:(?:authorization|cookie|key|api_?key|token|secret|password|passwd|pwd|credentials?)(?:[^a-z0-9].*)?"
    r"|auth|jwt|sig|signature)",
    re.IGNORECASE,
)
"""Names with one of these words in them, whole; `auth` and those after it only at the end."""

_PLAIN = re.compile(r"[A-Za-z0-9._-]*")
"""Characters that no encoder escapes."""


class Redaction:
    """A set of secrets, and how to remove them from texts."""

    def __init__(self, values: Iterable[str] = (), *, mark: str = REDACTED) -> None:
        """Take the secrets in *values*, such as those of headers; of `Bearer <key>`, the key alone is one, too.

        Args:
            values: The secrets.
            mark: Stands in their place.
        """
        self._mark = mark
        words = sorted({word for value in values for word in _words(value)}, key=len, reverse=True)
        spellings = "|".join(map(_spellings, words)) if words else "(?!)"
        self._words = tuple(word.encode() for word in words)
        self._is_plain = all(_PLAIN.fullmatch(word) for word in words)
        self._bytes, self._text = re.compile(spellings.encode()), re.compile(spellings)

    def of_bytes(self, content: bytes) -> bytes:
        """Return *content* without the secrets."""
        # Most content has no secret; searching for the words is far cheaper than for their spellings.
        if self._is_plain and not any(word in content for word in self._words):
            return content
        return self._bytes.sub(self._mark.encode(), content)

    def of(self, text: str) -> str:
        """Return *text* without the secrets."""
        return self._text.sub(self._mark, text)


def is_secret_name(name: str) -> bool:
    """Return whether a header or a query parameter of this *name* holds a secret, as `x-api-key` does."""
    return _SECRET_NAME.fullmatch(name) is not None


def is_spoilt(text: str | None) -> bool:
    """Return whether a stored reply lacks words that an earlier version took for secrets."""
    return text is not None and REDACTED in text


def _words(value: str) -> Iterator[str]:
    for word in (value, value.partition(" ")[2], value.rpartition(" ")[2]):
        if len(word.strip()) >= MIN_CHARACTERS:
            yield word.strip()


def _spellings(word: str) -> str:
    return "".join(map(_spelling, word))


def _spelling(character: str) -> str:
    r"""Return a pattern for the character as it is, after backslashes, as \u0022 and as %22."""
    if _PLAIN.fullmatch(character) or not character.isascii():
        return re.escape(character)
    digits = "".join(f"[{digit}{digit.upper()}]" for digit in f"{ord(character):02x}")
    return rf"(?:\\*{re.escape(character)}|\\+u00{digits}|%{digits})"
