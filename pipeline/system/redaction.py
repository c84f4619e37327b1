"""Redaction: secrets are removed from texts, however the endpoint that echoes them has encoded or escaped them.

A secret has a few guises, which are computed once: it as it is, in base64, in hexadecimal digits. Each of them may be
escaped on its way into a text, character by character: for JSON, a URL, HTML, or for several of these.
"""

import re
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator
from functools import cached_property

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

_PLAIN = re.compile(r"[A-Za-z0-9]+")
"""Characters that no encoder escapes."""

_ENTITIES = {'"': "quot", "&": "amp", "'": "apos", "<": "lt", ">": "gt"}
_BACKSLASH = r"(?:\\(?:u005[cC]|x5[cC])?|%(?:25)*5[cC])"
_AMPERSAND = rf"(?:&|{_BACKSLASH}u0026|%(?:25)*26)(?:amp;)*"


class Redaction:
    """A set of secrets, and how to remove them from texts."""

    def __init__(self, values: Iterable[str] = (), *, mark: str = REDACTED) -> None:
        """Take the secrets in *values*, such as those of headers; of `Bearer <key>`, the key alone is one, too.

        Args:
            values: The secrets.
            mark: Stands in their place.
        """
        self._mark = mark
        words = {word for value in values for word in _words(value)}
        self._guises = sorted({guise for word in words for guise in _guises(word)}, key=len, reverse=True)
        # Most texts have no secret; searching for what every spelling of a guise has in it is far cheaper than for them.
        runs = {max(_PLAIN.findall(guise), key=len, default="") for guise in self._guises}
        self._anchors = [run for run in runs if not any(other in run for other in runs - {run})]
        self._byte_anchors = [anchor.encode() for anchor in self._anchors]

    @cached_property
    def _spelled(self) -> str:
        return "|".join(map(_spellings, self._guises))

    @cached_property
    def _bytes(self) -> re.Pattern[bytes]:
        return re.compile(self._spelled.encode())

    @cached_property
    def _text(self) -> re.Pattern[str]:
        return re.compile(self._spelled)

    def of_bytes(self, content: bytes) -> bytes:
        """Return *content* without the secrets."""
        for anchor in self._byte_anchors:
            if anchor in content:
                return self._bytes.sub(self._mark.encode(), content)
        return content

    def of(self, text: str) -> str:
        """Return *text* without the secrets."""
        if any(anchor in text for anchor in self._anchors):
            return self._text.sub(self._mark, text)
        return text


def is_secret_name(name: str) -> bool:
    """Return whether a header or a query parameter of this *name* holds a secret, as `x-api-key` does."""
    return _SECRET_NAME.fullmatch(name) is not None


def is_spoilt(text: str | None) -> bool:
    """Return whether a stored reply lacks words that an earlier version took for secrets."""
    return text is not None and REDACTED in text


def _words(value: str) -> Iterator[str]:
    for word in (value, value.partition(" ")[2], value.rpartition(" ")[2], *_credentials(value)):
        if len(word.strip()) >= MIN_CHARACTERS:
            yield word.strip()


def _credentials(value: str) -> Iterator[str]:
    """Yield the user with the password, and the password, of a header such as `Basic dXNlcjpwYXNzd29yZA==`."""
    scheme, _, encoded = value.strip().partition(" ")
    if scheme.lower() == "basic":
        try:
            credentials = b64decode(encoded, validate=True).decode()
        except ValueError:
            return
        yield credentials
        yield credentials.partition(":")[2]


def _guises(word: str) -> Iterator[str]:
    """Yield *word* as it is, in both alphabets of base64, and in hexadecimal digits."""
    content = word.encode(errors="surrogateescape")
    yield word
    yield content.hex()
    yield content.hex().upper()
    # Base64 turns three bytes into four characters: what a word becomes depends on where among others it begins. The
    # characters that it shares with its neighbours are left out.
    for before in range(3):
        encoded = b64encode(b"\0" * before + content)
        whole = encoded[-(-before * 8 // 6) : (before + len(content)) * 8 // 6].decode()
        yield whole
        yield whole.translate({ord("+"): "-", ord("/"): "_"})


def _spellings(guise: str) -> str:
    # Several backslashes are as many as one: escapes multiply them. Those at the start may stay, and no search begins
    # with any number of them, which would take the square of the time on a text full of them.
    text = re.sub(r"\\+", r"\\", guise.lstrip("\\") or guise)
    return _spelling(text[0], is_first=True) + "".join(map(_spelling, text[1:]))


def _spelling(character: str, *, is_first: bool = False) -> str:
    """Return a pattern for the character as it is, and as escaped for JSON, a URL or HTML, also more than once."""
    if _PLAIN.fullmatch(character):
        return character
    if character == "\\":
        return f"(?:{_BACKSLASH}|{_AMPERSAND}{_numbered(character)})+"
    units = character.encode("utf-16-be", "surrogatepass")
    signs = [
        re.escape(character),
        "".join(f"%(?:25)*{_digits(f'{byte:02x}')}" for byte in character.encode(errors="surrogateescape")),
        _AMPERSAND + _numbered(character),
        *([rf"{_AMPERSAND}{_ENTITIES[character]};"] if character in _ENTITIES else []),
        *([r"\+"] if character == " " else []),
    ]
    codes = [
        f"{_BACKSLASH}+".join(f"u{_digits(units[at : at + 2].hex())}" for at in range(0, len(units), 2)),
        f"x{_digits(f'{ord(character):02x}')}",
    ]
    before = "" if is_first else f"{_BACKSLASH}*"
    return f"(?:{before}(?:{'|'.join(signs)})|{_BACKSLASH}{before}(?:{'|'.join(codes)}))"


def _numbered(character: str) -> str:
    """Return a pattern for what follows the ampersand in HTML's references by number."""
    code = ord(character)
    return rf"\#(?:0*{code}|[xX]0*{_digits(f'{code:x}')});?"


def _digits(hexadecimal: str) -> str:
    return "".join(f"[{digit}{digit.upper()}]" for digit in hexadecimal)
