"""Parse answers into labels. A reply outside the label set is invalid; it is never mapped by guessing.

Tolerated, and nothing else: a code fence or one pair of quotes around the reply, white space around a label, its
case (the labels of a task differ by more than case), a bare label where a list or an object is expected, and a list
of one label where one label is expected. A truncated reply is not repaired.
"""

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import orjson

from pipeline.config import TaskSettings
from pipeline.records import Answer, Answers, Outcome, Outcomes, Status, columns_by_name
from pipeline.tasks.confidence import Confidence

LONGEST_PLAIN = 1000
"""Characters; a longer reply is no bare label, and is not cached."""

SHOWN_CHARACTERS = 80

MAX_ASKS = 2
"""How often a prompt is asked: after an invalid reply once more, with a stricter wording; then the answer is final."""


class Parser:
    """Parses the answers to one task into outcomes."""

    def __init__(self, task: TaskSettings) -> None:
        self._field = "label" if task.kind == "single" else "labels"
        self._max_labels = task.max_labels or len(task.labels)
        self._known = {label.name.casefold(): label.name for label in task.labels}
        self._confidence = Confidence()
        # A run has far fewer different replies than rows.
        self._read = lru_cache(maxsize=4096)(self._read_text)

    def outcome(self, answer: Answer) -> Outcome:
        """Return the outcome of *answer*; never raises, whatever the model replied."""
        meant = self._meaning(answer.text, answer.finish, answer.status, answer.error)
        if answer.logprobs is None or not meant.labels:
            return meant
        confidence = self._confidence.of(answer.text or "", answer.logprobs, meant.labels)
        return Outcome(meant.status, meant.labels, confidence)

    def outcomes(self, answers: Answers) -> Outcomes:
        """Return the outcome of each of *answers*, as `outcome` does for one."""
        columns = answers.columns
        replies = list(zip(*(columns[name] for name in ("text", "finish", "status", "error")), strict=True))
        meanings = {reply: self._meaning(*reply) for reply in set(replies)}  # few of them differ
        outcomes = columns_by_name(Outcome._fields, [meanings[reply] for reply in replies])
        outcomes["confidence"] = self._confidence.of_all(
            columns["text"], columns["logprobs"], outcomes["labels"]
        )
        return outcomes

    def is_final(self, status: Status, asks: int) -> bool:
        """Return whether an answer of *status* after so many *asks* is final, or worth one more, stricter ask."""
        return status is not Status.INVALID or asks >= MAX_ASKS

    def _meaning(
        self, text: str | None, finish: str | None, status: Status | None, error: str | None
    ) -> Outcome:
        if status is not None:
            return Outcome(status, error=error)
        if finish == "length":
            return Outcome(Status.INVALID, error="the reply was cut at max_tokens; raise model.max_tokens")
        text = text or ""
        read = self._read(text) if len(text) <= LONGEST_PLAIN else self._read_text(text)
        return Outcome(Status.INVALID, error=read) if isinstance(read, str) else Outcome(Status.OK, read)

    def _read_text(self, text: str) -> tuple[str, ...] | str:
        """Return the labels in *text*, or a sentence that says why there are none."""
        found = _decode(_unwrap(text))
        if isinstance(found, Mapping):
            if set(found) != {self._field}:
                return f"the reply has no {self._field!r} alone: {_shown(text)}"
            found = found[self._field]
        names = found if isinstance(found, list) else [found]
        if self._field == "label" and len(names) != 1:
            return f"the reply names {len(names)} labels instead of one: {_shown(text)}"
        return self._members(names, text)

    def _members(self, names: list[Any], text: str) -> tuple[str, ...] | str:
        labels = []
        for name in names:
            label = self._known.get(name.strip().casefold()) if isinstance(name, str) else None
            if label is None:
                return f"the reply is not one of the labels: {_shown(text)}"
            labels.append(label)
        unique = tuple(dict.fromkeys(labels))
        if len(unique) > self._max_labels:
            return f"the reply names {len(unique)} labels, more than max_labels: {_shown(text)}"
        return unique


def _unwrap(text: str) -> str:
    """Remove a code fence around the whole reply."""
    text = text.strip()
    if text.startswith("```") and text.endswith("```") and "\n" in text:
        text = text[text.index("\n") + 1 : -3].strip()
    return text


def _decode(text: str) -> Any:
    """Parse JSON; text that is not JSON is a bare label, perhaps in quotes. None for what is neither."""
    try:
        # orjson is strict and safe against deep nesting, but blind to repeated keys, which json reports.
        orjson.loads(text)
        return json.loads(text, object_pairs_hook=unique_keys)
    except (ValueError, RecursionError):
        return _unquote(text) if len(text) <= LONGEST_PLAIN and text[:1] not in "{[" else None


def _unquote(text: str) -> str:
    """Remove one pair of single quotes; text in double quotes is JSON."""
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] == "'" else text


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build a JSON object from *pairs*, as an `object_pairs_hook` for `json.loads`.

    Raises:
        ValueError: If a key occurs twice.
    """
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key occurs twice")
    return found


def _shown(text: str) -> str:
    short = text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…"
    return json.dumps(short, ensure_ascii=False)
