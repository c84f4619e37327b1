"""What an attempt to carry labels has to prove, and which coins count: fixed before the first request, and not changed after it."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from pipeline.config.answerers import CarrySettings
from pipeline.errors import ConfigError
from pipeline.job.decisions import ConfiguredTask
from pipeline.job.job import Job
from pipeline.job.previous import only_renamed
from pipeline.student.left_over import LeftOver
from pipeline.student.missed import Draw
from pipeline.student.store import FORCED, Night, Proposal
from pipeline.student.taxonomy import Taxonomy


class Asked(NamedTuple):
    """What the labels that are carried were answers to, and what has become of them.

    Attributes:
        old: The earlier question.
        taxonomy: How its labels have changed.
        renaming: Whether nothing but names has.
    """

    old: ConfiguredTask
    taxonomy: Taxonomy
    renaming: bool

    @classmethod
    def of(cls, old: ConfiguredTask, job: Job) -> "Asked":
        """Compare *old* with what *job* asks."""
        return cls(old, Taxonomy(old.config.task, job.config.task), only_renamed(old, job.config))

    def facts(self) -> dict[str, Any]:
        """Return what of it is fixed."""
        taxonomy = self.taxonomy
        return {
            "previous": self.old.config.path.name,
            "question": self.old.task.fingerprint.hex(),
            "changes": [f"{change.kind}: {change}" for change in taxonomy.changes],
            "settled": sorted(taxonomy.settled),
            "added": sorted(taxonomy.added),
        }


def promised(settings: CarrySettings) -> dict[str, Any]:
    """Return what has to be proven, by which coins."""
    return {"max_missed": str(settings.max_missed), "delta": settings.delta, "audits": settings.audits}


def drawn_facts(draw: Draw, kinds: Mapping[int, int], begun: list[Night]) -> dict[str, Any]:
    """Return which coins count; those of attempts that were *begun* may have had others asked."""
    reached = (float(night.facts["reach"]) for night in begun)
    return {
        "prompts": draw.rows,
        "forced": kinds.get(FORCED, 0),
        "share": draw.share,
        "shares": draw.shares,
        "reach": max(draw.reach, *reached, 0.0),
    }


def is_asked(night: Night, each: Proposal, share: float) -> bool:
    """Return whether a prompt is asked in a look whose coins count up to *share*."""
    if each.kind == FORCED:
        return True
    return night.coin(each.key) < max(share, float(night.facts["shares"].get(str(each.kind), 0.0)))


def gone_on_with(left: LeftOver, job: Job, asked: Asked | None) -> list[Night]:
    """Return the attempts of which something is *left* that a run of *job* goes on with, carrying labels of what was *asked*.

    Whatever they depend on stays as it was from the first answer on; before that there is nothing that it could be fitted to.

    Raises:
        ConfigError: If it does not.
    """
    begun = left.here()
    if begun and not left.unanswered:  # all was asked by other ways, and nothing is left to decide
        left.forget()
        return []
    others = [
        night for night in begun if asked and any(night.facts[name] != asked.facts()[name] for name in ORIGIN)
    ]
    if others and (asked is None or asked.renaming or not left.answered):
        left.forget()
        return []
    problems = list(_changed(begun, job)) if left.answered else []
    if others:
        problems.insert(0, _other(others[0]))
    if problems:
        raise ConfigError(*problems)
    return begun


ORIGIN = ("question", "changes")
"""Facts that tell which labels are carried, and as what."""


def _other(night: Night) -> str:
    return (
        f"--from: an audit has begun, and is not done, of labels that {night.facts['previous']} had then, or under other names (was); "
        "some of its answers are in, and it has to end as it began: first run again without --from"
    )


def _changed(begun: list[Night], job: Job) -> Iterator[str]:
    now = promised(job.config.carry)
    for name, value in now.items():
        for was in {night.facts[name] for night in begun} - {value}:
            yield (
                f"carry.{name}: is {_told(value)}, and was {_told(was)} when an audit began that is not done; some of its answers are "
                f"in, and it has to end as it began: set it to {_told(was)} until then"
            )


def _told(value: object) -> str:
    return "not set" if value is None else str(value)
