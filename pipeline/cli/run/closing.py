"""The closing lines of a run: its rows, its labels, what they cost, and where the output and the report are."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson

from pipeline import figures as write
from pipeline.cli.tables import bar, table_lines, width
from pipeline.config import Config
from pipeline.telemetry.summary import RunResult

TOO_MANY = "more rows failed than limits.max_failed allows ({}); see label_error"

MOST_LABELS = 12
BAR = 24
"""Columns of the bar of the most frequent label."""

LEAST_BAR = 8


def closing_lines(result: RunResult, config: Config) -> list[str]:
    """Return the lines that describe the result of a run to people."""
    counts = report_of(result)
    lines = [
        _rows(result, counts, config),
        *label_lines(counts.get("labels", {}), result.ok + counts.get("statuses", {}).get("unsure", 0)),
        *evaluation_lines(counts),
        f"{result.requests:,} requests ({result.retries:,} repeated); {result.reused:,} answers reused, {_carried(result)}{result.duplicates:,} duplicate rows",
        *_escalated(result),
        *_beside(result),
        f"{result.prompt_tokens:,} prompt and {result.completion_tokens:,} completion tokens, {_cost(result)}, {_time(result)}",
        f"output: {_near(result.output)}",
        f"report: {_near(_readable(result.report))}",
    ]
    if config.model.provider == "simulate":
        hint = "; add --retry all to rehearse these rows once more" if not result.requests else ""
        lines.append(f"a rehearsal: the labels mean nothing, and no money was spent{hint}")
    if result.exit_status:
        lines.append(TOO_MANY.format(config.limits.max_failed))
    return lines


def report_of(result: RunResult) -> dict[str, Any]:
    """Return what the report of a run counts; nothing if it was removed, or damaged."""
    with suppress(OSError, ValueError):
        found = orjson.loads(Path(result.report).read_bytes())
        if isinstance(found, dict) and all(
            _are_counts(found.get(name, {})) for name in ("statuses", "labels")
        ):
            return found
    return {}


def _are_counts(found: object) -> bool:
    return isinstance(found, dict) and all(isinstance(count, int) for count in found.values())


def _rows(result: RunResult, counts: Mapping[str, Any], config: Config) -> str:
    statuses = counts.get("statuses", {})
    unsure, skipped, truncated = (
        statuses.get("unsure", 0),
        statuses.get("skipped", 0),
        counts.get("truncated", 0),
    )
    parts = [
        f"{result.ok + unsure:,} labelled" + (f" ({unsure:,} of them unsure)" if unsure else ""),
        *([f"{result.empty:,} empty"] if result.empty else []),
        *([f"{result.pending:,} pending"] if result.pending else []),
        f"{result.failed:,} failed",
    ]
    cut = f"{truncated:,} text{'s' if truncated != 1 else ''} cut at {config.task.max_text_tokens:,} tokens"
    more = [
        *([f"{skipped:,} more rows do not match input.where"] if skipped else []),
        *([cut] if truncated else []),
        *(["finished before, nothing was sent"] if result.again else []),
    ]
    return "; ".join([f"{result.rows:,} rows: {', '.join(parts)}", *more])


def label_lines(labels: Mapping[str, int], rows: int) -> list[str]:
    """Return a table of the most frequent *labels*, with their shares of the labelled *rows*."""
    if not labels or not rows:
        return []
    ordered = sorted(labels.items(), key=lambda item: -item[1])
    top = ordered[0][1]
    shown = [(name, f"{count:,}", write.percent(count / rows)) for name, count in ordered[:MOST_LABELS]]
    room = min(BAR, width() - 30)
    bars = [bar(count / top, room) for _, count in ordered[:MOST_LABELS]] if room >= LEAST_BAR else []
    cells = [[*row, *bars[n : n + 1]] for n, row in enumerate(shown)]
    lines = table_lines([""] * len(cells[0]), cells, wide=0, right=(1, 2))
    rest = ordered[MOST_LABELS:]
    return [*lines, f"  and {len(rest):,} more, {sum(n for _, n in rest):,} rows"] if rest else lines


def evaluation_lines(counts: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is known of how right the labels are."""
    found = counts.get("evaluation") or {}
    with suppress(KeyError, TypeError, ValueError):
        accuracy, low, high = (float(found[name]) for name in ("accuracy", "accuracy_low", "accuracy_high"))
        rows = int(found["rows"])
        yield f"accuracy: {write.percent(accuracy)} ({write.interval(low, high)}) on {rows:,} rows with gold labels"


def _escalated(result: RunResult) -> Iterator[str]:
    """Yield what became of the rows that were put to the second model."""
    if not (found := result.escalation):
        return
    cost = "" if found["cost_usd"] is None else f", {write.usd(found['cost_usd'])}"
    if found["cost_usd"] and found["cost_source"]:
        cost += f" by the {found['cost_source']}'s price"
    fates = {
        "changed": "got another label",
        "same": "the same",
        "mended": "a label at last",
        "unanswered": "kept theirs as it had none",
        "failed": "have none",
    }
    told = ", ".join(f"{found[name]:,} {fate}" for name, fate in fates.items() if found[name])
    yield f"{write.count(found['rows'], 'row')} put to {found['model']}{': ' if told else ''}{told}{cost}"


def _carried(result: RunResult) -> str:
    """Return how many rows have labels of an earlier config."""
    return f"{result.carried:,} labels carried over, " if result.carried else ""


def _beside(result: RunResult) -> Iterator[str]:
    """Yield what was paid for that is in no row."""
    if result.side:
        cost = "" if result.side.cost_usd is None else f", {write.usd(result.side.cost_usd)}"
        yield f"beside the rows: {result.side.requests:,} requests to compare{cost}"


def _cost(result: RunResult) -> str:
    if result.cost_usd == 0:
        return "nothing to pay"
    if result.cost_usd is None:
        return "no price known"
    source = f" by the {result.cost_source}'s price" if result.cost_source else ""
    return f"{write.usd(result.cost_usd)}{source}"


def _time(result: RunResult) -> str:
    seconds = write.duration(result.seconds)
    return f"{seconds}, {write.rate(result.rows / result.seconds)} rows/s" if result.seconds else seconds


def _readable(report: str) -> str:
    """Return the page for people beside the *report*, if there is one."""
    page = Path(report).with_suffix(".html")
    return str(page) if page.exists() else report


def _near(path: str) -> str:
    """Return *path* as it is called from the working directory, if it is below it."""
    with suppress(ValueError, OSError):
        return str(Path(path).relative_to(Path.cwd()))
    return path
