"""The verdict on a run: one sentence, and what one ought to know besides."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.figures import NONE, count, number, percent, usd
from pipeline.quality.gates import distance
from pipeline.records import LABELLED

SHIFT = 0.1
"""Label shares that differ by so much in all from those of the run before are worth a word."""

CUT = 0.05
"""So many rows whose text was cut are, too."""

Facts = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to think of a run.

    Attributes:
        tone: `good`, `fair` or `bad`.
        sentence: One sentence.
        remarks: More sentences.
    """

    tone: str
    sentence: str
    remarks: tuple[str, ...]


def verdict(facts: Facts) -> Verdict:
    """Return the verdict on the run that *facts* tell of."""
    labelled, asked = labelled_rows(facts), facts["rows"] - facts["empty"]
    share = percent(labelled / asked) if asked else NONE
    got = f"{number(labelled)} of {count(asked, 'row')} with text {'is' if asked == 1 else 'are'} labelled ({share})"
    if not asked:
        tone, sentence = "fair", "No row has a text, so there was nothing to label."
    elif facts["status"] == "held":
        tone, sentence = "bad", f"Held back by a gate, and not published: {got}."
    elif facts["status"] == "partial":
        waiting = count(facts["pending"], "row has", "rows have")
        tone, sentence = "fair", f"Not finished: {got}, and {waiting} no answer yet."
    elif facts["status"] == "failed":
        most = facts["job"]["max_failed"]
        tone, sentence = (
            "bad",
            f"{percent(facts['failed'] / asked)} of the rows failed, more than the {most} that may: {got}.",
        )
    elif facts["failed"]:
        tone, sentence = "good", f"The table is labelled: {got}, {number(facts['failed'])} failed."
    else:
        tone, sentence = "good", f"The table is labelled: {got}, none failed."
    if facts["job"]["simulated"]:
        tone, sentence = "fair", f"A rehearsal, whose labels mean nothing: {got}."
    return Verdict(tone, sentence, tuple(_remarks(facts, asked)))


def labelled_rows(facts: Facts) -> int:
    """Return the number of rows with labels, unsure ones among them."""
    return sum(facts["statuses"].get(status, 0) for status in LABELLED)


def _remarks(facts: Facts, asked: int) -> Iterator[str]:
    for gate in facts.get("closed_gates") or ():
        yield f"{gate.removeprefix('gates.')}."
    found = facts.get("evaluation")
    if found and found.get("accuracy") is not None:
        low, high = percent(found.get("accuracy_low")), percent(found.get("accuracy_high"))
        yield (
            f"Of {count(found['rows'], 'row')} whose right label is known, {percent(found['accuracy'])} are right "
            f"(95 % interval: {low} to {high})."
        )
    unsure = facts["statuses"].get("unsure", 0)
    if unsure:
        below = facts["job"]["unsure_below"]
        yield f"{count(unsure, 'row')} ({percent(unsure / asked)}) are unsure, with a confidence below {below}."
    if asked and facts["truncated"] > CUT * asked:
        yield f"{count(facts['truncated'], 'text')} ({percent(facts['truncated'] / asked)}) had to be cut to fit."
    if len(facts["history"]) > 1:
        before, now = facts["history"][-2]["labels"], facts["history"][-1]["labels"]
        if before and now and (moved := distance(before, now)) >= SHIFT:
            yield f"The labels have shifted: against the run before, {percent(moved)} of the rows would have another one."
    if facts["cost_usd"]:
        right = labelled_rows(facts)
        each = f", {usd(1000 * facts['cost_usd'] / right)} per 1,000 labelled rows" if right else ""
        yield f"It cost {usd(facts['cost_usd'])}{each}."
