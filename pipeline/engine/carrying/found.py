"""What an attempt to carry labels has found, as values and in words: what may be missed, or why every row is asked."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from pipeline.config import FailureAllowance
from pipeline.figures import count, percent
from pipeline.student.missed import Look
from pipeline.student.store import FORCED, MERGED, Proposal

MOST_MOVED = 0.05
"""If a larger share of the audit has changed between labels that nobody has touched, other words have moved everything."""

FEW = 20
"""Of fewer prompts with such labels, a single one that has changed tells nothing."""


class Found:
    """Counts what was asked.

    Attributes:
        rows: How many prompts would carry their labels if none was audited.
    """

    def __init__(self, settled: frozenset[str], added: frozenset[str]) -> None:
        """Start with nothing; *settled* labels mean what they meant, *added* ones are new."""
        self._settled, self._added = settled, added
        self.rows = self._audited = self._differ = self._more = self._more_differ = 0
        self._forced_differ = self._untouched = self._moved = 0
        self._merged, self._merged_differ = 0, 0
        self._gained, self._audit_gained = Counter[str](), Counter[str]()

    def add(self, proposal: Proposal, said: tuple[str, ...] | None, *, is_base: bool) -> None:
        """Count one prompt that was asked; *is_base* if by the coin that is the same for all."""
        differs = said is None or set(said) != set(proposal.labels)
        gained = self._added.intersection(said or ()) - set(proposal.labels)
        self._gained.update(gained)
        if proposal.kind == FORCED:
            self._forced_differ += differs
            return
        self._merged += proposal.kind == MERGED
        self._merged_differ += differs and proposal.kind == MERGED
        if self._settled.issuperset(proposal.labels) and proposal.kind != MERGED:
            self._untouched += 1
            self._moved += differs and said is not None and self._settled.issuperset(said)
        if is_base:
            self._audited += 1
            self._differ += differs
            self._audit_gained.update(gained)
        else:
            self._more += 1
            self._more_differ += differs

    @property
    def look(self) -> Look:
        """What the audit has found."""
        return Look(self.rows, self._audited, self._differ, self._more, self._more_differ)

    @property
    def moved_too_many(self) -> bool:
        """Whether more labels that nobody has touched were exchanged for each other than a change of labels explains."""
        return self._moved > MOST_MOVED * max(FEW, self._untouched)

    def figures(self, delta: float) -> dict[str, Any]:
        """Return the counts, and the bound at the level *delta*."""
        look = self.look
        most, changed = look.most_missed(delta), self._forced_differ + self._differ + self._more_differ
        return {
            "left": look.left,
            "audited": self._audited + self._more,
            "differ": self._differ + self._more_differ,
            "moved": self._moved,
            "untouched": self._untouched,
            "merged": {"audited": self._merged, "differ": self._merged_differ},
            "changed": changed,
            "most_missed": most,
            "least_found": changed / (changed + most) if changed + most else 1.0,
            "labels": {name: self._recall(name, delta) for name in sorted(self._added)},
        }

    def _recall(self, name: str, delta: float) -> dict[str, Any]:
        """Return how many prompts have the new label *name*, and how many more may."""
        gained = self._audit_gained[name]
        most = Look(self.rows, self._audited, gained, self._more).most_missed(delta)
        found = self._gained[name]
        return {
            "found": found,
            "most_missed": most,
            "least_found": found / (found + most) if found + most else 1.0,
        }


def everything(why: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the outcome of an attempt after which every row is asked."""
    return {**_kept(facts), "status": "refused", "why": f"carried: refused, {why}; every row is asked"}


def renamed(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the outcome of an attempt where nothing but names has changed."""
    sentence = (
        f"nothing but names has changed since {facts['previous']}, so that the question is the same: "
        f"{count(facts['prompts'], 'prompt')} carry their labels without an audit"
    )
    found = {"left": facts["prompts"], "audited": 0, "differ": 0, "most_missed": 0}
    return {**_kept(facts), **found, "status": "certified", "sentence": sentence}


def carried(
    found: Found, facts: Mapping[str, Any], delta: float, allowed: FailureAllowance
) -> dict[str, Any]:
    """Return the outcome of a look, at the level *delta*; *allowed* is how many may be missed."""
    figures = {**_kept(facts), **found.figures(delta)}
    most, left, audited = figures["most_missed"], figures["left"], figures["audited"]
    if found.moved_too_many:
        return everything(
            f"the wording has moved everything: {figures['moved']:,} of {count(figures['untouched'], 'audited prompt')} have "
            "changed between labels that nobody has touched",
            facts,
        ) | {name: figures[name] for name in ("audited", "differ", "moved")}
    if not left or not allowed.allows(most, left):
        return everything(
            f"{figures['differ']:,} of {count(audited, 'audited prompt')} would have another label, which does not prove that "
            f"at most {allowed} do",
            facts,
        ) | {name: figures[name] for name in ("audited", "differ", "moved")}
    sentence = (
        f"At most {percent(most / left)} of the {count(left, 'prompt')} left alone ({percent(1 - facts['delta'], 0)}) would have "
        f"another label, {count(most, 'prompt')}; {_share_found(figures['changed'], figures['least_found'], 'were ')}. "
        f"{audited:,} more were asked to find out; {figures['differ']:,} differed."
    )
    gained = [
        f"{name}: {_share_found(each['found'], each['least_found'])}"
        for name, each in figures["labels"].items()
    ]
    return {**figures, "status": "certified", "sentence": " ".join([sentence, *gained])}


def _share_found(found: int, least: float, were: str = "") -> str:
    """Return how many were found, and which share of all that is at least; none found is no share of anything."""
    return f"{format(found, ',') if found else 'none'} {were}found" + (
        f", at least {percent(least, 0)} of all" if found else ""
    )


def _kept(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: facts[name] for name in ("previous", "changes", "max_missed", "delta", "prompts", "forced")}
