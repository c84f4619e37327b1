"""The words of an error body, found by its structure: endpoints agree on no envelope, and a list of them is never whole.

Every string of the JSON is a leaf under a key. What the key is called says whether it is a sentence, a code, the blamed
parameter or a wait; where nothing is called so, any sentence will do. A body that is not JSON is read as text.
"""

import re
from collections.abc import Iterator
from html import unescape
from itertools import islice
from typing import Any, NamedTuple

import orjson

from pipeline.llm.protocol.headers import spoken_wait

MAX_DEPTH = 10
MAX_LEAVES = 300
MAX_TEXT_BYTES = 20_000
SHOWN_OF_JSON = 300
SHOWN_OF_TEXT = 200

SENTENCE = re.compile(r"message|msg|error|fault|detail|title|description|reason|cause|hint|raw|text")
"""Matches in the keys under which sentences are; all keys are compared in lower case, letters and digits alone."""

CODE = re.compile(r"(code|type|status|statusmessage|reason)$")
"""Matches in the keys under which a string without blanks is a code."""

PARAM = re.compile(r"(param|parameter|field|loc|pointer)$")
WAIT = re.compile(r"retry(after|delay|in)")
ECHO = re.compile(r"(input|prompt|request)$")
"""Matches in the keys under which the request is repeated: a row's own text must not pass for the endpoint's words."""

STATUSES = range(400, 600)
NOTHING = {"", "none", "null"}

HIDDEN = re.compile(r"<!--.*?-->|<(script|style)\b.*?</\1\s*>", re.DOTALL | re.IGNORECASE)
TAG = re.compile(r"<[/!?a-zA-Z][^<>]*>")
ENTITY = re.compile(r"&(?:amp|lt|gt|quot|apos|nbsp|#39|#x27);")
"""What HTML cannot do without. Others stay: secrets were taken out of the body before, and none may appear by decoding."""


class Said(NamedTuple):
    """What an error body says.

    Attributes:
        message: Its sentences in one line; else its codes; empty if it says nothing.
        code: Its code, type and status words, in lower case with blanks between.
        param: The part of the request that it blames, or None.
        status: The HTTP status that it names itself, or None.
        wait_seconds: How long it asks to wait, or None.
    """

    message: str = ""
    code: str = ""
    param: str | None = None
    status: int | None = None
    wait_seconds: float | None = None


def read_error(body: bytes) -> Said:
    """Return what *body* says, be it JSON, HTML or text."""
    try:
        found = orjson.loads(body)
    except ValueError:
        sentence = plain_text(body)
        return Said(sentence, wait_seconds=spoken_wait(sentence))
    return said_in(found)


def said_in(found: Any) -> Said:
    """Return what the JSON value *found* says."""
    told: dict[str, None] = {}  # as a set that keeps the order
    others: dict[str, None] = {}
    codes: dict[str, None] = {}
    words: dict[str, None] = {}
    params, statuses, waits = [], [], []
    for key, value in islice(_leaves(found, "", MAX_DEPTH), MAX_LEAVES):
        text = _line(str(value))
        if text.lower() in NOTHING:
            continue
        if PARAM.search(key):
            params.append(text)
        elif WAIT.search(key):
            waits.append(spoken_wait(text, unit="ms" if key.endswith(("ms", "milliseconds")) else "s"))
        elif CODE.search(key) and " " not in text:
            codes[text.lower()] = None
            statuses += [int(text)] if text.isdecimal() and int(text) in STATUSES else []
        elif SENTENCE.search(key):
            told[text] = None
        else:
            (others if " " in text else words)[text] = None
    message = "; ".join(told or others or codes or words)[:SHOWN_OF_JSON]
    param = next(iter(params), None)
    if param is not None and param not in message:
        message = f"{param[:80]}: {message}"
    waits = [wait for wait in [*waits, spoken_wait(message)] if wait is not None]
    return Said(message, " ".join(codes), param, next(iter(statuses), None), next(iter(waits), None))


def _leaves(value: Any, key: str, depth: int) -> Iterator[tuple[str, str | int | float]]:
    """Yield the strings and numbers in *value*, each with the key that it is under."""
    if isinstance(value, str):
        value = _unpacked(value)
    if isinstance(value, dict | list):
        for name, inner in _members(value, key) if depth > 0 else ():
            yield from _leaves(inner, name, depth - 1)
    elif isinstance(value, str | int | float) and not isinstance(value, bool):
        yield key, value


def _unpacked(text: str) -> Any:
    """Return the JSON in *text*, which may be the error of another endpoint, passed on; else *text* itself."""
    try:
        return orjson.loads(text) if text.lstrip()[:1] in {"{", "["} else text
    except ValueError:
        return text


def _members(value: dict[str, Any] | list[Any], key: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, list):
        if PARAM.search(key):  # FastAPI's path to a field
            value = [".".join(str(part) for part in value if part != "body" and isinstance(part, str | int))]
        yield from ((key, inner) for inner in value)
        return
    if "role" in value or {"model", "messages"} <= value.keys():  # a message of the request, or all of it
        return
    for name, inner in value.items():
        folded = re.sub(r"[^a-z0-9@]", "", name.lower())
        if not folded.startswith("@") and not ECHO.search(folded):
            yield folded, inner


def plain_text(body: bytes) -> str:
    """Return the beginning of *body* as one line of text, without tags and control characters."""
    return _line(body[:MAX_TEXT_BYTES].decode(errors="replace"))[:SHOWN_OF_TEXT]


def _line(text: str) -> str:
    """Return *text* in one line, without control characters and, if it is HTML, without tags."""
    if text.lstrip().startswith("<") or "</" in text:
        text = ENTITY.sub(lambda found: unescape(found[0]), TAG.sub(" ", HIDDEN.sub(" ", text)))
    printable = "".join(letter if letter.isprintable() else " " for letter in text[:MAX_TEXT_BYTES])
    return " ".join(printable.split())
