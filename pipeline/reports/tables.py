"""Tables and tiles of the page: the figures as they are shown."""

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.figures import duration, number, percent, points, usd
from pipeline.quality.gates import distance
from pipeline.reports.verdict import labelled_rows

MOST_LABELS = 30
"""Labels with a bar of their own; the others are listed."""

NAMES = {
    "ok": "labelled",
    "unsure": "unsure",
    "empty": "without text",
    "skipped": "excluded",
    "pending": "not asked yet",
    "invalid": "answer unusable",
    "refused": "refused by the model",
    "filtered": "filtered",
    "too_long": "too long",
    "error": "error",
}
"""What a status means."""

_TONES = {"ok": "good", "unsure": "fair", "empty": "none", "skipped": "none", "pending": "none"}

MOST_NIGHTS = 7
"""Nights of which it is shown what the student's audit came to."""

Facts = Mapping[str, Any]


def tiles(facts: Facts) -> list[dict[str, str]]:
    """Return the figures at the top."""
    rows, labelled = facts["rows"], labelled_rows(facts)
    unsure = facts["statuses"].get("unsure", 0)
    told = facts["requests"] or facts["cost_usd"]
    cost = usd(facts["cost_usd"]) if told or facts["cost_usd"] is None else "$0"
    per = f"{usd(1000 * facts['cost_usd'] / labelled)} per 1,000" if facts["cost_usd"] and labelled else ""
    repeated = f"{number(facts['retries'])} repeated" if facts["retries"] else "none repeated"
    asked = facts["prompt_tokens"] + facts["completion_tokens"]
    pace = f"{number(round(rows / facts['seconds']))} rows a second" if facts["seconds"] else ""
    shown = [
        ("rows", number(rows), f"{number(facts['empty'])} without text" if facts["empty"] else "all with text"),
        ("labelled", number(labelled), f"{number(unsure)} of them unsure" if unsure else percent(labelled / rows if rows else None)),
        ("failed", number(facts["failed"]), percent(facts["failed"] / rows if rows else None)),
        ("cost", cost, per or (f"{number(asked)} tokens" if asked else "nothing to pay")),
        ("time", duration(facts["seconds"]), pace),
        ("requests", number(facts["requests"]), repeated if facts["requests"] else "nothing was sent"),
        ("reused", number(facts["reused"]), f"{number(facts['duplicates'])} repeat other rows" if facts["duplicates"] else "answers paid for before"),
    ]  # fmt: skip
    bad = {"failed"} if facts["failed"] else set()
    return [
        {"name": name, "value": value, "note": note, "tone": "bad" if name in bad else ""}
        for name, value, note in shown
    ]


def segments(facts: Facts) -> list[dict[str, Any]]:
    """Return the statuses of the rows with their shares, the labelled rows first, then what failed."""
    counts: Mapping[str, int] = facts["statuses"]
    total, order = sum(counts.values()) or 1, list(NAMES)
    known = sorted(counts, key=lambda name: order.index(name) if name in order else len(order))
    first = [name for name in known if _TONES.get(name) in {"good", "fair"}]
    last = [name for name in known if _TONES.get(name) == "none"]
    failed = [name for name in known if name not in {*first, *last}]
    return [
        {
            "status": name,
            "name": NAMES.get(name, name),
            "rows": counts[name],
            "share": counts[name] / total,
            "tone": _TONES.get(name, "bad"),
            "error": facts["errors"].get(name),
        }
        for name in (*first, *failed, *last)
    ]


def label_rows(facts: Facts) -> dict[str, Any]:
    """Return the labels with their counts and shares, beside those of the run before, and those that got no bar."""
    counts: Mapping[str, int] = facts["labels"]
    labelled = labelled_rows(facts) or 1
    history = facts["history"]
    before: Mapping[str, float] = history[-2]["labels"] if len(history) > 1 else {}
    names = [*counts, *(name for name in facts["job"]["labels"] if name not in counts)]
    top = max([*(count / labelled for count in counts.values()), *before.values(), 0.0001])
    rows = [
        {
            "name": name,
            "count": counts.get(name, 0),
            "share": (share := counts.get(name, 0) / labelled),
            "width": 100 * share / top,
            "before": 100 * before[name] / top if name in before else None,
            "change": points(share - before[name]) if name in before else None,
        }
        for name in names
    ]
    return {"shown": rows[:MOST_LABELS], "rest": rows[MOST_LABELS:], "has_before": bool(before)}


def per_label(evaluation: Facts) -> list[dict[str, Any]]:
    """Return precision, recall and F1 of each label, and its share among all rows, the most frequent first."""
    shares = evaluation.get("shares") or {}
    found = [
        {"name": name, **measured, "shares": shares.get(name)}
        for name, measured in (evaluation.get("labels") or {}).items()
    ]
    return sorted(found, key=lambda row: -(row["support"] or 0))


def run_rows(history: Sequence[Facts]) -> list[dict[str, Any]]:
    """Return the last runs as rows of a table, this one first, each with how far its labels are from those before."""
    rows = []
    for run, before in zip(history, [None, *history], strict=False):
        asked = run["rows"] - run["statuses"].get("empty", 0)
        moved = (
            distance(before["labels"], run["labels"])
            if before and before["labels"] and run["labels"]
            else None
        )
        rows.append(
            {
                **run,
                "labelled": labelled_rows(run) / asked if asked else None,
                "failed": sum(n for name, n in run["statuses"].items() if name not in _TONES),
                "shift": moved,
            }
        )
    return rows[::-1]


def student_nights(facts: Facts) -> dict[str, Any] | None:
    """Return what the student's audits came to, the latest first; None if the job has no student."""
    nights = [
        {**dict.fromkeys(_OF_A_NIGHT), **night, "agreement": _agreement(night)}
        for night in facts.get("student_nights") or ()
    ]
    return {"nights": nights[::-1][:MOST_NIGHTS]} if nights else None


def _agreement(night: Facts) -> float | None:
    return 1 - night["differ"] / night["audited"] if night.get("audited") else None


_OF_A_NIGHT = ("prompts", "self_agreement", "labels", "why", "sentence", "rows")
