"""Facts of a run such as `report.json` holds, of any size and with hostile texts."""

import math
import random
from typing import Any

HOSTILE = (
    "<script>document.title = 'owned'</script>",
    '"><img src=x onerror="document.title = \'owned\'">',
    "\u202etxet desrever\u202c and \u2067isolated\u2069",
    "]]></style></svg><b>bold</b> &amp; &lt; {{ 7 * 7 }} {% raw %}",
    "\x00\x1b[31mred\x07 lone \ud800 surrogate",
    "مرحبا بالعالم، هذا نص من اليمين إلى اليسار",
    "a-very-long-word-without-any-place-to-break" * 12,
)


def made(
    *, rows: int = 6_000, labels: int = 8, runs: int = 6, hostile: bool = False, sent: bool = True
) -> dict[str, Any]:
    """Facts of a run with gold labels, failed rows and everything else that a page may show."""
    chance = random.Random(rows + labels)
    names = [f"label {number}" for number in range(labels)]
    if hostile:
        names[: len(HOSTILE)] = [text[:180] for text in HOSTILE[:labels]]
    weights = [chance.lognormvariate(0, 1) for _ in names]
    ok = round(rows * 0.97)
    counts = [max(1, round(ok * weight / sum(weights))) for weight in weights]
    failed = {"invalid": rows // 100, "error": rows // 200}
    statuses = {"ok": ok - rows // 50, "unsure": rows // 50, **failed}
    statuses["empty"] = rows - sum(statuses.values())
    history = [_run(number, rows, statuses, names, counts, chance) for number in range(runs)]
    return {
        "run_id": "20261130-020000-abcd", "status": "done", "rows": rows, "ok": statuses["ok"],
        "failed": sum(failed.values()), "empty": statuses["empty"], "reused": rows // 3, "duplicates": rows // 9,
        "requests": rows if sent else 0, "retries": rows // 40, "throttled": rows // 60,
        "prompt_tokens": 90 * rows if sent else 0, "cached_tokens": 0, "completion_tokens": 8 * rows if sent else 0,
        "cost_usd": 0.000013 * rows if sent else 0.0, "cost_source": "config", "seconds": 1_825.4,
        "output": "/data/out/labelled.parquet", "report": "/data/state/runs/x/report.json", "again": False,
        "statuses": statuses, "labels": dict(zip(names, counts, strict=True)),
        "errors": {"invalid": HOSTILE[0] if hostile else "the reply is not one of the labels", "error": "after 5 attempts: 500"},
        "truncated": rows // 11, "confidence": {"mean": 0.871, "bins": [round(rows * math.exp(0.3 * n) / 1400) for n in range(20)]},
        "notable": {"failed": {"invalid": [1, 2]}, "least_sure": [3, 4]}, "published_at": 1_796_000_000.0,
        "latency": _latency(rows, chance) if sent else {"replies": 0, "counts": []}, "series": _series(rows, chance, sent=sent),
        "examples": _examples(names, chance, hostile=hostile), "evaluation": _evaluation(names, chance, hostile=hostile),
        "suspects": _suspects(names, hostile=hostile), "packs": _packs(),
        "evaluation_note": None, "history": history, "continued": False, "job": _job(names),
        "versions": {"pipeline": "1.0", "python": "3.11.7"}, "drawn_at": 1_796_000_060.0,
    }  # fmt: skip


def _run(
    number: int,
    rows: int,
    statuses: dict[str, int],
    names: list[str],
    counts: list[int],
    chance: random.Random,
) -> dict[str, Any]:
    shares = [count / sum(counts) * chance.uniform(0.8, 1.2) for count in counts]
    top = sorted(zip(shares, names, strict=True), reverse=True)[:50]
    return {
        "run_id": f"run-{number}", "published_at": 1_795_500_000.0 + 86_400 * number, "task": "ab", "model": "mini",
        "selection": None, "rows": rows, "statuses": statuses, "labels": {name: share / sum(shares) for share, name in top},
        "mean_confidence": 0.87 + number / 1000, "cost_usd": 0.0143 * (number + 1), "latency_p50": 0.3, "latency_p95": 0.9,
        "requests": rows, "reused": 0, "seconds": 120.0 + 60 * number,
    }  # fmt: skip


def _latency(rows: int, chance: random.Random) -> dict[str, Any]:
    counts = [
        [0.02 * 1.09**n, round(rows * math.exp(-(((n - 40) / 9) ** 2)) / 10) + chance.randrange(3)]
        for n in range(90)
    ]
    return {"replies": rows, "p50": 0.412, "p90": 0.93, "p95": 1.31, "p99": 2.84, "counts": counts}


def _series(rows: int, chance: random.Random, *, sent: bool) -> dict[str, list[Any]]:
    points, done, found = 600, 0.0, {name: [] for name in ("seconds", "done", "failed", "in_flight", "requests", "throttled", "tokens", "cost_usd")}  # type: dict[str, list[Any]]  # fmt: skip
    for number in range(points):
        done += rows / points * chance.uniform(0.7, 1.3)
        share = min(1.0, done / rows)
        asked = rows * share if sent else 0
        values = (
            3.04 * number, round(rows * share), round(rows * share * 0.015), round(40 + 20 * math.sin(number / 40)) if sent else 0,
            round(asked), round(asked / 60), round(98 * asked), 0.000013 * asked if sent else None,
        )  # fmt: skip
        for name, value in zip(found, values, strict=True):
            found[name].append(value)
    return found


def _examples(names: list[str], chance: random.Random, *, hostile: bool) -> dict[str, Any]:
    plain = (
        "My invoice of last month shows a fee that I have never agreed to, and nobody answers the telephone. "
    )
    texts = HOSTILE if hostile else (plain, plain * 3, "Where is my parcel?")

    def row(number: int, status: str) -> dict[str, Any]:
        has_label = status in {"ok", "unsure"}
        return {
            "row": number, "id": f"T-{number}" if not hostile else HOSTILE[number % 7], "text": texts[number % len(texts)], "status": status,
            "labels": [names[number % len(names)]] if has_label else [], "confidence": chance.random() if has_label else None,
            "error": None if has_label else "the reply is not one of the labels", "reply": None if has_label else texts[-1],
        }  # fmt: skip

    return {
        "failed": [row(number, "invalid") for number in range(20)],
        "least_sure": [row(number, "unsure") for number in range(100, 120)],
        "random": [row(number, "ok") for number in range(2_000, 2_010)],
        "note": None,
    }


def _suspects(names: list[str], *, hostile: bool) -> dict[str, Any]:
    texts = HOSTILE if hostile else ("Where is my parcel?",)

    def seen(number: int) -> dict[str, Any]:
        text = texts[number % len(texts)]
        return {"row": number, "id": text, "text": text * 3, "label": [names[number % len(names)]]}

    others = [names[(number + 1) % len(names)] for number in range(100)]
    rows = [
        {**seen(number), "proposed": [others[number]], "score": 0.9, "near": seen(number + 1) if number % 3 else None}
        for number in range(100)
    ]  # fmt: skip
    pairs = [{"one": seen(number), "other": seen(number + 1), "alike": 0.93} for number in range(100)]
    return {"rows": rows, "pairs": pairs, "looked_at": 5_900, "note": None}


def _packs() -> dict[str, Any]:
    thirds = {"first": {"rows": 70, "differ": 1}, "last": {"rows": 66, "differ": 2}}
    evidence = {
        "rows": 400, "same": 0.975, "same_alone": 0.99, "worse": 8, "better": 2, "p": 0.11, "lost_least": -0.004, "lost_most": 0.031,
        "thirds": thirds, "rows_per_request": 10,
    }  # fmt: skip
    found = [{**evidence, "what": "too many", "width": 20}, {**evidence, "what": "good", "width": 10}]
    return {"rows_per_request": 10, "auto": True, "found": found}


def _evaluation(names: list[str], chance: random.Random, *, hostile: bool) -> dict[str, Any]:
    counts = [[chance.randrange(6) if a != b else chance.randrange(20, 60) for b in range(len(names))] for a in range(len(names))]  # fmt: skip
    steps = [n / 10 for n in range(10)]
    return {
        "rows": 600, "coverage": 0.985, "accuracy": 0.834, "accuracy_low": 0.802, "accuracy_high": 0.862, "macro_f1": 0.801,
        "micro_f1": 0.834, "kappa": 0.79, "mcc": 0.79, "ece": 0.041, "ece_floor": {"mean": 0.022, "high": 0.04}, "brier": 0.12,
        "labels": {name: {"precision": chance.uniform(0.6, 1), "recall": chance.uniform(0.6, 1), "f1": 0.81, "support": sum(row)} for name, row in zip(names, counts, strict=True)},
        "confusion": {"labels": names, "counts": counts},
        "reliability": [{"confidence": low + 0.05, "right": min(1, low + 0.02), "low": max(0, low - 0.1), "high": min(1, low + 0.14), "rows": 60} for low in steps],
        "shares": {name: {"naive": 0.1, "share": 0.11, "low": 0.09, "high": 0.13} for name in names},
        "mistakes": [{"row": n, "id": f"T-{n}", "text": (HOSTILE if hostile else ("The app crashes when I pay.",))[n % (7 if hostile else 1)], "gold": [names[n % len(names)]], "label": [names[(n + 1) % len(names)]], "confidence": 0.97} for n in range(20)],
        "cost_per_1000_right_usd": 0.0161,
    }  # fmt: skip


def _job(names: list[str]) -> dict[str, Any]:
    return {
        "name": "tickets", "model": "mini", "simulated": False, "kind": "single", "labels": names, "unsure_below": 0.55,
        "max_failed": "5 %", "command": "pipeline run tickets.yaml", "config": "input:\n  path: tickets.parquet\n",
        "limits": {"requests_per_minute": 300, "tokens_per_minute": 60_000, "max_concurrency": 64, "max_cost_usd": None},
    }  # fmt: skip
