"""What an attempt to carry labels has to prove, and which coins count: fixed before the first request, and not changed after it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from pipeline.config.answerers import CarrySettings
from pipeline.engine.carrying.old import OldLabels
from pipeline.engine.student.attempt import LEAST_ROOM, MOST_ROWS
from pipeline.errors import ConfigError
from pipeline.job.decisions import ConfiguredTask
from pipeline.job.job import Job
from pipeline.job.previous import only_renamed
from pipeline.student.left_over import LeftOver
from pipeline.student.missed import Draw
from pipeline.student.store import FORCED, MERGED, PLAIN, Night, Proposal
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

    def proposal(self, key: bytes, old: OldLabels) -> Proposal:
        """Return what the prompt with *key* would carry, having had *old* labels."""
        labels, kind = self.taxonomy.carried(old.labels), PLAIN
        if labels is None:
            labels, kind = self.taxonomy.now(old.labels), FORCED
        elif self.taxonomy.is_merged(old.labels):
            kind = MERGED
        return Proposal(key, labels, old.confidence, old.run, old.model, kind)

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


def fixed(
    draw: Draw, kinds: Mapping[int, int], begun: Sequence[Night], job: Job, asked: Asked | None
) -> dict[str, Any]:
    """Return the facts of an attempt; those that were *begun* may have had prompts of larger coins asked."""
    origin = (
        {name: begun[0].facts[name] for name in ("previous", *ORIGIN, "settled", "added")}
        if asked is None
        else asked.facts()
    )
    return {
        **origin,
        **promised(job.config.carry),
        "prompts": draw.rows,
        "forced": kinds.get(FORCED, 0),
        "share": draw.share,
        "shares": draw.shares,
        "reach": max(draw.reach, *(float(night.facts["reach"]) for night in begun), 0.0),
    }


def is_worth_it(draw: Draw) -> bool:
    """Return whether there is enough to be spared for an audit."""
    return draw.rows >= LEAST_ROOM * draw.wanted


def most_rows(job: Job) -> float:
    """Return for how many rows a prompt may stand that is left alone."""
    return max(1.0, MOST_ROWS * job.source.rows)


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
    if not left.unanswered:  # all was asked by other ways, and nothing is left to decide
        return []
    others = [
        night for night in begun if asked and any(night.facts[name] != asked.facts()[name] for name in ORIGIN)
    ]
    if asked and others and (asked.renaming or not left.answered):
        return []
    problems = [*map(_other, others[:1]), *_changed(begun, job)] if left.answered else []
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


def _changed(begun: Sequence[Night], job: Job) -> Iterator[str]:
    now = promised(job.config.carry)
    for name, value in now.items():
        for was in {night.facts[name] for night in begun} - {value}:
            yield (
                f"carry.{name}: is {_told(value)}, and was {_told(was)} when an audit began that is not done; some of its answers are "
                f"in, and it has to end as it began: set it to {_told(was)} until then"
            )


def _told(value: object) -> str:
    return "not set" if value is None else str(value)
