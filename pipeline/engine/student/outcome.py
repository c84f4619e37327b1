"""What an audit has come to, as values and in words: the certificate of a night, or why there is none."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pipeline.figures import count, limit, percent
from pipeline.quality.intervals import wilson
from pipeline.student.certificate import Tier, Verdict
from pipeline.student.store import Night, Proposal

Audit = Mapping[bytes, tuple[Proposal, tuple[str, ...] | None]]
"""For each asked key what the student proposed, and what the model said; None if it gave no label."""


def differs(proposal: Proposal, said: tuple[str, ...] | None) -> bool:
    """Return whether the model said something else; an audit that failed counts as a difference."""
    return said is None or set(said) != set(proposal.labels)


def refused(why: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the outcome of a night whose rows are all asked."""
    return {**facts, "status": "refused", "why": f"student: refused, {why}; every row is asked"}


def tiers_of(night: Night, proposals: Iterable[Proposal], audited: Mapping[bytes, bool]) -> list[Tier]:
    """Return what the audit has found for each threshold; *audited* says of each asked key whether it differs."""
    thresholds: Sequence[float] = night.facts["thresholds"]
    rows, asked, differ = ([0] * len(thresholds) for _ in range(3))
    for proposal in proposals:
        for place, threshold in enumerate(thresholds):
            if (proposal.score or 0.0) >= threshold:
                rows[place] += 1
                asked[place] += proposal.key in audited
                differ[place] += audited.get(proposal.key, False)
    return [Tier(*each) for each in zip(thresholds, rows, asked, differ, strict=True)]


def of_verdict(verdict: Verdict, night: Night, audit: Audit, model: str) -> dict[str, Any]:
    """Return the outcome of a night whose audit is over."""
    facts = {name: night.facts[name] for name in KEPT}
    tier = verdict.tier or verdict.failed
    if tier is None:
        return refused("no threshold had enough rows in its audit", facts)
    found = {**facts, **_figures(tier, facts), "labels": _by_label(audit, tier.threshold)}
    if verdict.tier is None:
        agreed = 1 - tier.differ / tier.audited
        return refused(
            f"{percent(agreed)} agreement found in {tier.audited:,} audited prompts, which does not prove "
            f"{limit(facts['target'])}",
            found,
        )
    sentence = (
        f"Of the {count(tier.local, 'prompt')} answered by the student, at least {limit(facts['target'])} have the label that "
        f"{model} would have given; this sentence is wrong in at most {_one_in(facts['delta'])} runs. "
        f"{tier.audited:,} more were asked to find out; {tier.differ:,} differed."
    )
    return {**found, "status": "certified", "sentence": sentence}


KEPT = ("target", "delta", "taught", "student", "unanswered", "thresholds", "share")
"""What of a night's facts its outcome repeats."""


def _figures(tier: Tier, facts: Mapping[str, Any]) -> dict[str, Any]:
    most = tier.most_wrong(facts["delta"])
    return {
        "threshold": tier.threshold,
        "prompts": tier.rows,
        "local": tier.local,
        "audited": tier.audited,
        "differ": tier.differ,
        "most_wrong": most,
        "least_agreement": 1 - most / tier.local if tier.local else 1.0,
        "coverage": tier.rows / facts["unanswered"],
    }


def _by_label(audit: Audit, threshold: float) -> dict[str, dict[str, float]]:
    """Return for each label how often student and model said it in the audit, and how often only one of them did.

    With the Wilson interval of the share that differs where either said it; it is no certificate.
    """
    student, model, differ, either = Counter[str](), Counter[str](), Counter[str](), Counter[str]()
    for proposal, said in audit.values():
        if (proposal.score or 0.0) < threshold:
            continue
        mine, others = set(proposal.labels), set(said or ())
        student.update(mine)
        model.update(others)
        either.update(mine | others)
        differ.update(mine ^ others)
    found: dict[str, dict[str, float]] = {}
    for name in sorted(either):
        low, high = wilson(differ[name], either[name])
        counts = {"student": student[name], "model": model[name], "differ": differ[name]}
        found[name] = {**counts, "low": low, "high": high}
    return found


def _one_in(delta: float) -> str:
    return f"1 of {1 / delta:,.0f}"
