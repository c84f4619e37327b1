"""Compares an output, row by row, with the input and the ledger that it comes from: half of the checker."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import orjson
import polars as pl

from pipeline.records import Answer, Prompt, Prompts, Status
from pipeline.tasks.parse import Parser
from tests.jobs import JobFiles
from tests.reliability.evidence import NEW_COLUMNS, Stored, prompts_of

SHOWN = 5
TOKENS = ("prompt_tokens", "cached_tokens", "completion_tokens")


@dataclass(frozen=True)
class Labelled:
    """An output beside the input and the ledger that it comes from."""

    job: JobFiles
    rows: pl.DataFrame
    output: pl.DataFrame
    stored: Stored
    right: Callable[[str], str] | None

    def violations(self) -> list[str]:
        """Return what is wrong with the output's rows."""
        broken = list(self._rows())
        if broken:
            return broken
        seen: set[bytes] = set()
        parser = Parser(self.job.config().task)
        known = {label.name for label in self.job.config().task.labels}
        for number, (prompt, row) in enumerate(zip(self._prompts(), self._new(), strict=True)):
            broken += [f"{each} (row {number})" for each in self._row(prompt, row, parser, known, seen)]
        return first_of(broken) + list(self._report())

    def _rows(self) -> Iterator[str]:
        if len(self.output) != len(self.rows):
            yield f"exactly once: {len(self.rows)} rows in the input, {len(self.output)} in the output"
            return
        only = self.job.settings["output"].get("columns", {}).get("only")
        for name in self.rows.columns if only is None else only:
            if name not in self.output.columns:
                yield f"exactly once: column {name!r} has gone"
            elif not self.rows[name].equals(self.output[name]):
                yield f"exactly once: column {name!r} is not what it is in the input"

    def _prompts(self) -> Prompts:
        return prompts_of(self.job, self.rows)

    @property
    def _prefix(self) -> str:
        return str(self.job.settings["output"].get("columns", {}).get("prefix", ""))

    def _new(self) -> Iterator[dict[str, Any]]:
        names = [name for name in NEW_COLUMNS if self._prefix + name in self.output.columns]
        new = self.output.select([self._prefix + name for name in names]).rename(
            {self._prefix + name: name for name in names}
        )
        return new.iter_rows(named=True)

    def _row(
        self, prompt: Prompt | None, row: dict[str, Any], parser: Parser, known: set[str], seen: set[bytes]
    ) -> Iterator[str]:
        status, labels = row["label_status"], _labels(row)
        yield from self._label(prompt, status, labels, known)
        if prompt is None:
            if (status, row["label_source"], row["prompt_tokens"]) != ("empty", "none", 0):
                yield f"exactly once: a row without text is {status}"
            return
        answer = self.stored.newest.get(prompt.key)
        if answer is None:
            yield "paid is kept: the row's answer is not in the ledger"
            return
        outcome = parser.outcome(answer)
        said = (status, labels, row["label_confidence"], row["label_error"], row["label_truncated"])
        meant = (
            outcome.status.value,
            list(outcome.labels),
            outcome.confidence,
            outcome.error,
            prompt.truncated,
        )
        if (*said, row["label_run"], row["label_model"]) != (*meant, answer.run, answer.model):
            yield f"output is a function: the row says {said}, the ledger {outcome}"
        first = prompt.key not in seen
        seen.add(prompt.key)
        if row["label_source"] != ("model" if first else "duplicate"):
            yield f"exactly once: label_source is {row['label_source']}"
        billed = [getattr(answer, name) if first else 0 for name in (*TOKENS, "cost_usd")]
        if (found := [row[name] for name in (*TOKENS, "cost_usd")]) != billed:
            yield f"the books balance: the row has {found}, its answer {answer}"

    def _label(self, prompt: Prompt | None, status: str, labels: list[str], known: set[str]) -> Iterator[str]:
        if status not in set(Status):
            yield f"exactly once: {status!r} is no status"
        if not set(labels) <= known:
            yield f"only known labels: {labels} are not all of the set"
        if (status == "ok") != bool(labels) and "label" in self.output.columns:
            yield f"only known labels: status {status} with the labels {labels}"
        if prompt is not None and self.right is not None and status == "ok":
            right = self.right(prompt.text)
            if labels != [right]:
                yield f"only known labels: {prompt.text!r} is {labels}, not {right}"

    def bill(self, totals: dict[tuple[str, bytes], Answer]) -> Iterator[str]:
        """Yield where the tokens of the run's rows are not those of its answers."""
        run = self._run()["run_id"]
        rows = self.output.filter(pl.col(f"{self._prefix}label_run") == run)
        for name in TOKENS:
            known = sum(getattr(answer, name) or 0 for (owner, _), answer in totals.items() if owner == run)
            if (found := rows[self._prefix + name].sum()) != known:
                yield f"the books balance: {name} of the run is {found} in the output, {known} in the ledger"

    def _run(self) -> dict[str, Any]:
        state = self.job.folder / self.job.settings["state"]["dir"]
        reports = sorted(state.glob("runs/*/report.json"), key=lambda path: path.stat().st_mtime_ns)
        found = [orjson.loads(path.read_bytes()) for path in reports]
        mine = [each for each in found if each["output"] == str(self.job.output)]
        return dict(mine[-1])

    def _report(self) -> Iterator[str]:
        report = self._run()
        counted = Counter(self.output[f"{self._prefix}label_status"].to_list())
        if report["statuses"] != dict(counted) or report["rows"] != len(self.output):
            yield f"the books balance: the report counts {report['statuses']}, the output has {dict(counted)}"


def _labels(row: dict[str, Any]) -> list[str]:
    if "labels" in row:
        return list(row["labels"] or [])
    return [] if row["label"] is None else [row["label"]]


def first_of(lines: list[str]) -> list[str]:
    """Return the first few *lines* and how many more there are."""
    more = [f"and {len(lines) - SHOWN} more lines"] if len(lines) > SHOWN else []
    return [*islice(lines, SHOWN), *more]
