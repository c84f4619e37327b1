"""Several rows in one request: their ids, and which row each answer in a reply belongs to.

An answer counts if its id stands in the reply exactly once, and the reply is whole. What comes first, second or third says
nothing: a model that drops one row would shift the labels of all after it.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import orjson

from pipeline.tasks.finish import Ending, ending
from pipeline.tasks.parse import unique_keys
from pipeline.tasks.unwrap import answer_in, split_thoughts

ALPHABET = "bcdfghjkmnpqrtvwxz234679"
"""Of ids: what is mistaken for nothing else, and spells no word."""

ID_CHARACTERS = 3

ANSWERS = "answers"
"""The field of a reply that lists them, see `tasks.schema.is_listed`."""

_BLANK = re.compile(r"[ \t\n\r]*")
_decoder = json.JSONDecoder(object_pairs_hook=unique_keys)


class Found(NamedTuple):
    """What a reply says about one row: the text of an answer about it alone, and that answer's log-probabilities, if told."""

    text: str
    logprobs: str | None


class Place(NamedTuple):
    """Where a row stood: the id of its request, from 1 which of how many rows it was there."""

    request: str
    row: int
    rows: int


_PLACED = re.compile(r"(.*)#([1-9][0-9]{0,3})/([1-9][0-9]{0,3})", re.DOTALL)


def placed(request_id: str | None, row: int, rows: int) -> str:
    """Return the id of a request as that of one of its rows."""
    return f"{request_id or ''}#{row}/{rows}"


def place_in(request_id: str | None) -> Place | None:
    """Return where the row stood whose answer has *request_id*; None if it was alone."""
    found = _PLACED.fullmatch(request_id or "")
    return found and Place(found[1], int(found[2]), int(found[3]))


def new_ids(count: int, random: Callable[[], float]) -> list[str]:
    """Return *count* different ids, drawn afresh: with 1, 2, 3 a model that skips one could renumber, and all would look right."""
    drawn: dict[str, None] = {}
    while len(drawn) < count:
        drawn["".join(ALPHABET[int(random() * len(ALPHABET))] for _ in range(ID_CHARACTERS))] = None
    return list(drawn)


def read_pack(
    text: str | None, finish: str | None, logprobs: str | None, ids: Sequence[str], field: str
) -> dict[str, Found]:
    """Return what a reply says about each of *ids*, without those that are missing or stand there twice.

    Args:
        text: The reply.
        finish: Its finish reason; a reply that is not whole says nothing.
        logprobs: JSON array of [token, logprob] over the whole reply, or None.
        ids: The ids that were given out.
        field: The field of an answer about one row.
    """
    if text is None or ending(finish) not in {Ending.WHOLE, Ending.UNTOLD}:
        return {}
    spans = _spans(text, ids, field)
    tokens = orjson.loads(logprobs) if logprobs is not None and spans else None
    # A server that enforces a grammar may normalize the reply: the tokens then differ from it in white space.
    spelled = "".join(token for token, _ in tokens) if tokens else text
    spelled_spans = spans if spelled == text else _spans(spelled, ids, field)
    found = {}
    for name, (start, stop) in spans.items():
        before, after = ("", "") if text[start] == "{" else (f'{{"{field}":', "}")
        within = spelled_spans.get(name)
        told = _part(tokens, within, before, after) if tokens and within else None
        found[name] = Found(before + text[start:stop] + after, told)
    return found


def _part(tokens: Sequence[Sequence[Any]], span: tuple[int, int], before: str, after: str) -> str:
    """Return the log-probabilities of the tokens in a *span* of a reply, as if it were one of its own."""
    start, stop = span
    part: list[tuple[str, float]] = [(before, 0.0)] if before else []
    at = 0
    for token, value in tokens:
        clipped = token[max(0, start - at) : max(0, stop - at)]
        at += len(token)
        if clipped:
            part.append((clipped, value))
        if at >= stop:
            break
    return orjson.dumps([*part, (after, 0.0)] if after else part).decode()


def _spans(text: str, ids: Sequence[str], field: str) -> dict[str, tuple[int, int]]:
    """Return where in *text* the answer of each of *ids* starts and stops, if it is there exactly once."""
    answer = answer_in(split_thoughts(text)[1] or "")
    offset = text.rfind(answer)
    try:
        begin = _blank(answer, 0)
        # A model that is held to no schema may leave the object around the list out.
        is_list = answer[begin] == "["
        entries, end = ([], _decoder.raw_decode(answer, begin)[1]) if is_list else _members(answer, begin)
        listed = begin if is_list else _list_in(answer, entries)
        if listed is not None:
            entries = [_entry(answer, start, field) for start in _items(answer, listed)]
        if answer[end:].strip():
            return {}
    except (ValueError, IndexError, KeyError, TypeError, RecursionError):
        return {}
    times, wanted = Counter(name for name, *_ in entries), set(ids)
    return {
        name: (offset + start, offset + stop)
        for name, start, stop in entries
        if name in wanted and times[name] == 1
    }


def _members(text: str, at: int) -> tuple[list[tuple[str, int, int]], int]:
    """Return the members of the JSON object at *at*, each with where its value starts and stops, and where the object ends.

    Raises:
        ValueError: If there is none.
    """
    found: list[tuple[str, int, int]] = []
    at = _past(text, at, "{")
    while text[at] != "}":
        name, at = _decoder.raw_decode(text, _past(text, at, ",") if found else at)
        if not isinstance(name, str):
            raise ValueError("a name is a string")  # noqa: TRY004 - it is no JSON
        start = _past(text, at, ":")
        _, stop = _decoder.raw_decode(text, start)
        found.append((name, start, stop))
        at = _blank(text, stop)
    return found, at + 1


def _list_in(text: str, members: Sequence[tuple[str, int, int]]) -> int | None:
    """Return where the list of answers starts, if that is all that is in *members*."""
    is_list = len(members) == 1 and members[0][0] == ANSWERS and text[members[0][1]] == "["
    return members[0][1] if is_list else None


def _items(text: str, at: int) -> list[int]:
    """Return where the items of the JSON array at *at* start."""
    found: list[int] = []
    at = _past(text, at, "[")
    while text[at] != "]":
        at = _past(text, at, ",") if found else at
        found.append(at)
        at = _blank(text, _decoder.raw_decode(text, at)[1])
    return found


def _entry(text: str, at: int, field: str) -> tuple[str, int, int]:
    """Return the id in the JSON object at *at*, and where its answer starts and stops."""
    members = {name: (start, stop) for name, start, stop in _members(text, at)[0]}
    name = _decoder.raw_decode(text, members["id"][0])[0]
    return (name, *members[field])


def _past(text: str, at: int, mark: str) -> int:
    """Return where something follows on *mark*, which must be what follows at *at*."""
    at = _blank(text, at)
    if text[at] != mark:
        raise ValueError(f"{mark} is missing")
    return _blank(text, at + 1)


def _blank(text: str, at: int) -> int:
    found = _BLANK.match(text, at)
    return found.end() if found else at
