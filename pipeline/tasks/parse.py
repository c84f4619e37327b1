"""Parse answers into labels. A reply outside the label set is invalid; it is never mapped by guessing.

Tolerated, and nothing else: what `tasks.unwrap` takes off; a label's spelling as far as `tasks.spelling` calls it the
same (the labels of a task differ by more); one pair of quotes around it; a bare label where a list or an object is
expected; a list of one where one is expected; other fields beside the one that was asked for, and that one's case. A
reply that was cut is not repaired.
"""

import json
from collections import Counter
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import orjson

from pipeline.config import TaskSettings
from pipeline.records import Answer, Answers, Outcome, Outcomes, Status, columns_by_name
from pipeline.tasks.calibration import Calibration
from pipeline.tasks.confidence import Confidence
from pipeline.tasks.finish import Ending, ending
from pipeline.tasks.spelling import fold
from pipeline.tasks.unwrap import answer_in, split_thoughts

LONGEST_PLAIN = 1000
"""Characters; a longer reply is no bare label, and is not cached."""

SHOWN_CHARACTERS = 80

LESS_THOUGHT = "set model.reasoning_effort, or chat_template_kwargs in model.parameters, so that it thinks less or not at all"

MAX_ASKS = 2
"""How often a prompt is asked: after an invalid reply once more, with a stricter wording; then the answer is final."""


class Parser:
    """Parses the answers to one task into outcomes."""

    def __init__(self, task: TaskSettings, calibration: Calibration | None = None) -> None:
        self._calibration, self._unsure_below = calibration, task.unsure_below or 0.0
        self._field = "label" if task.kind == "single" else "labels"
        self._max_labels = task.max_labels or len(task.labels)
        names = [label.name for label in task.labels]
        alike = Counter(map(fold, names))
        self._known = {fold(name): name for name in names if alike[fold(name)] == 1}
        self._exact = {name: name for name in names}
        self._confidence = Confidence()
        # A run has far fewer different replies than rows.
        self._read = lru_cache(maxsize=4096)(self._read_text)

    def outcome(self, answer: Answer) -> Outcome:
        """Return the outcome of *answer*; never raises, whatever the model replied."""
        meant = self._meaning(answer.text, answer.finish, answer.status, answer.error)
        if answer.logprobs is None or not meant.labels:
            return meant
        confidence = self._confidence.of(answer.text or "", answer.logprobs, meant.labels)
        if confidence is not None and self._calibration is not None:
            confidence = self._calibration.of(confidence)
        status = Status.UNSURE if self._is_unsure(confidence) else meant.status
        return Outcome(status, meant.labels, confidence)

    def outcomes(self, answers: Answers) -> Outcomes:
        """Return the outcome of each of *answers*, as `outcome` does for one."""
        columns = answers.columns
        replies = list(zip(*(columns[name] for name in ("text", "finish", "status", "error")), strict=True))
        meanings = {reply: self._meaning(*reply) for reply in set(replies)}  # few of them differ
        outcomes = columns_by_name(Outcome._fields, [meanings[reply] for reply in replies])
        confidences = self._confidence.of_all(columns["text"], columns["logprobs"], outcomes["labels"])
        if self._calibration is not None:
            confidences = self._calibration.of_all(confidences)
        outcomes["confidence"] = confidences
        if self._unsure_below:
            unsure = map(self._is_unsure, confidences)
            pairs = zip(outcomes["status"], unsure, strict=True)
            outcomes["status"] = [Status.UNSURE if doubtful else status for status, doubtful in pairs]
        return outcomes

    def _is_unsure(self, confidence: float | None) -> bool:
        return confidence is not None and confidence < self._unsure_below

    @staticmethod
    def is_final(status: Status, asks: int) -> bool:
        """Return whether an answer of *status* after so many *asks* is final, or worth one more, stricter ask."""
        return status is not Status.INVALID or asks >= MAX_ASKS

    def _meaning(
        self, text: str | None, finish: str | None, status: Status | None, error: str | None
    ) -> Outcome:
        if status is not None:
            return Outcome(status, error=error)
        text = text or ""
        if finish != "stop" and not _is_whole(text, finish):
            return Outcome(Status.INVALID, error=_cut(finish))
        read = self._read(text) if len(text) <= LONGEST_PLAIN else self._read_text(text)
        return Outcome(Status.INVALID, error=read) if isinstance(read, str) else Outcome(Status.OK, read)

    def _read_text(self, text: str) -> tuple[str, ...] | str:
        """Return the labels in *text*, or a sentence that says why there are none."""
        thoughts, reply = split_thoughts(text)
        if reply is None:
            return f"the reply ends within its thoughts, which were cut: {_shown(text)}; {LESS_THOUGHT}"
        if reply or thoughts is None:
            return self._labels(answer_in(reply))
        # Bound to the schema, a model that is to think first has put the answer where its thoughts belong.
        found = _decode(thoughts)
        if isinstance(found, Mapping) and set(found) == {self._field}:
            labels = self._labels(thoughts)
            if not isinstance(labels, str):
                return labels
        return f"the model only thought, and gave no answer: {_shown(thoughts)}; {LESS_THOUGHT}"

    def _labels(self, text: str) -> tuple[str, ...] | str:
        found = _decode(text)
        if isinstance(found, list) and len(found) == 1 and isinstance(found[0], dict):
            found = found[0]
        if isinstance(found, Mapping):
            fields = [name for name in found if name.strip().casefold() == self._field]
            if len(fields) != 1:
                return (
                    f"the reply has {'no' if not fields else 'more than one'} {self._field!r}: {_shown(text)}"
                )
            found = found[fields[0]]
        names = found if isinstance(found, list) else [found]
        if self._field == "label" and len(names) != 1:
            return f"the reply names {len(names)} labels instead of one: {_shown(text)}"
        return self._members(names, text)

    def _members(self, names: list[Any], text: str) -> tuple[str, ...] | str:
        labels = []
        for name in names:
            label = (self._exact.get(name) or self._known.get(fold(name))) if isinstance(name, str) else None
            if label is None:
                return f"the reply is not one of the labels: {_shown(text)}"
            labels.append(label)
        unique = tuple(dict.fromkeys(labels))
        if len(unique) > self._max_labels:
            return f"the reply names {len(unique)} labels, more than max_labels: {_shown(text)}"
        return unique


def _cut(finish: str | None) -> str:
    """Return the sentence about a reply that is not whole."""
    if finish == "length" or "max" in (finish or "").lower():
        return "the reply was cut at max_tokens; raise model.max_tokens"
    if finish is None:
        return (
            "the reply is no whole JSON, and the endpoint does not say whether it was cut (no finish reason)"
        )
    return f"the reply may be cut, and is not believed: its finish reason is {_shown(finish)}"


def _is_whole(text: str, finish: str | None) -> bool:
    """Return whether the reply *text* with the finish reason *finish* is all that the model meant to say."""
    how = ending(finish)
    if how is Ending.UNTOLD:
        answer = answer_in(split_thoughts(text)[1] or "")
        return answer[:1] in {"{", "[", '"'} and _decode(answer) is not None
    return how is Ending.WHOLE


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
