"""Compares a job's output and ledger with its input and with what the server saw; names every broken promise.

A violation is a line `<promise>: <what is wrong>`. The promises:

- paid is kept: an answer that was durable once is still there, unchanged; of the answers that a server
  delivered in an execution that was not killed none is missing.
- never twice: nothing is asked that had a durable answer, or twice in one execution; a killed execution loses
  at most what was in flight and in one commit.
- exactly once: every row is there once, in order, its columns unchanged, with a terminal status.
- output is a function: what a row says is what the ledger's answer to its prompt says.
- only known labels: a label is a member of the set, and the right one where that is known.
- the books balance: the tokens of the run's rows are those of its answers, and those the server billed.
- nothing left behind: no temporary file, no part, nothing that others may read.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import orjson
import polars as pl

from jobs import JobFiles, right_label
from pipeline.endpoints.simulator import Simulator
from pipeline.endpoints.simulator_log import Entry
from pipeline.records import Answer, Prompt, Status
from pipeline.tasks.parse import Parser
from reliability.evidence import (
    NEW_COLUMNS,
    Stored,
    input_of,
    input_stamp,
    litter,
    prompts_of,
    read_ledger,
    read_table,
)

COMMIT = 64
"""Answers that a kill may cost beyond those in flight: what arrives within one commit of 50 ms, generously."""

SHOWN = 5
Record = Callable[[str, object], None]
"""pytest's `record_property`."""

TOKENS = ("prompt_tokens", "cached_tokens", "completion_tokens")


class Witness:
    """Watches a job over all its executions."""

    def __init__(
        self,
        job: JobFiles,
        entries: Callable[[], Sequence[Entry]],
        *,
        commit: int = COMMIT,
        right: Callable[[str], str] | None = right_label,
    ) -> None:
        """Begin to watch, before the first execution.

        Args:
            job: The job.
            entries: Gives the server's log so far.
            commit: Answers that a kill may cost beyond those in flight.
            right: The right label of a row's text, where it is known.
        """
        self._job, self._entries, self._commit, self._right = job, entries, commit, right
        self._seen = 0
        self._stored = Stored({}, {})
        self.broken: list[str] = []
        self.kills = self.lost = self.worst = 0
        self._rendered: tuple[object, dict[str, bytes]] = (None, {})

    def execution_ended(self, *, killed: bool = False) -> None:
        """Look at the ledger and at the server's log of one execution, which has just ended."""
        entries = self._entries()[self._seen :]
        state = self._job.folder / self._job.settings["state"]["dir"]
        before, after = self._stored, read_ledger(state)
        self._seen, self._stored = self._seen + len(entries), after
        self.kills += killed
        self.broken += _kept(before, after)
        self.broken += self._asked_again(before, entries)
        self.broken += self._missing(after, entries, killed=killed)

    def record(self, record: Record, what: str) -> None:
        """Record counts for the session's summary; *what* is what the executions were ended with."""
        record(f"{what}: times", self.kills)
        record(f"{what}: answers delivered", sum(1 for _ in _delivered(self._entries())))
        record(f"{what}: answers in flight or in a commit, paid again", self.lost)
        record(f"{what}: most of them at one time", self.worst)
        record(f"{what}: promises broken", len(self.broken))

    def verdict(self) -> list[str]:
        """Return all violations; the last execution must have ended well and been told of."""
        rows = input_of(self._job)
        try:
            output = read_table(self._job.output)
        except (OSError, pl.exceptions.PolarsError) as error:
            return [*self.broken, f"exactly once: the output cannot be read: {error}"]
        table = Labelled(self._job, rows, output, self._stored, self._right)
        broken = [*self.broken, *table.violations()]
        broken += self._bill(table)
        broken += [f"nothing left behind: {each}" for each in litter(self._job)]
        return broken

    def _keys(self) -> dict[str, bytes]:
        """Return the key of each text of the input; rendered anew when the job or its input has changed."""
        version = (input_stamp(self._job), str(self._job.settings))
        if version != self._rendered[0]:
            prompts = prompts_of(self._job, input_of(self._job))
            self._rendered = (version, {each.text: each.key for each in prompts if each is not None})
        return self._rendered[1]

    def _asked_again(self, before: Stored, entries: Sequence[Entry]) -> Iterator[str]:
        keys, parser = self._keys(), Parser(self._job.config().task)
        settled = {
            key for key, answer in before.newest.items() if parser.settled(answer, parser.outcome(answer))
        }
        for entry in entries:
            if keys.get(entry.text) in settled:
                yield f"never twice: {entry.text!r} was asked although its answer was durable"
        for text, times in Counter(entry.text for entry in _delivered(entries)).items():
            if times > 1:
                yield f"never twice: {text!r} was answered {times} times in one execution"

    def _missing(self, after: Stored, entries: Sequence[Entry], *, killed: bool) -> Iterator[str]:
        keys = self._keys()
        asked = {entry.text for entry in _delivered(entries) if entry.text in keys}
        missing = [text for text in asked if keys[text] not in after.newest]
        allowed = self._in_flight + self._commit if killed else 0
        self.lost += len(missing)
        self.worst = max(self.worst, len(missing))
        if len(missing) > allowed:
            yield f"paid is kept: {len(missing)} answers were delivered and are not in the ledger, such as {missing[0]!r}"

    @property
    def _in_flight(self) -> int:
        return int(self._job.settings.get("limits", {}).get("max_concurrency", 64))

    def _bill(self, table: "Labelled") -> Iterator[str]:
        entries = self._entries()
        billed = sum(entry.prompt_tokens + entry.completion_tokens for entry in entries)
        totals: dict[tuple[str, bytes], Answer] = {
            (answer.run, answer.key): answer for answer in self._stored.by_id.values()
        }
        known = sum(
            (answer.prompt_tokens or 0) + (answer.completion_tokens or 0) for answer in totals.values()
        )
        clean = not self.kills and not any(entry.fault for entry in entries)
        if known > billed or (clean and known != billed):
            yield f"the books balance: the server billed {billed} tokens, the ledger knows of {known}"
        yield from table.bill(totals)


def _delivered(entries: Sequence[Entry]) -> Iterator[Entry]:
    """Yield the requests whose right answer went out whole."""
    return (e for e in entries if e.text and e.billed and e.fault is None and e.status == 200 and not e.again)


def _kept(before: Stored, after: Stored) -> Iterator[str]:
    gone = [number for number in before.by_id if number not in after.by_id]
    if gone:
        yield f"paid is kept: {len(gone)} durable answers have gone, such as number {gone[0]}"
    changed = [n for n, answer in before.by_id.items() if n in after.by_id and after.by_id[n] != answer]
    if changed:
        yield f"paid is kept: {len(changed)} durable answers have changed, such as number {changed[0]}"


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
        return _first(broken) + list(self._report())

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

    def _prompts(self) -> list[Prompt | None]:
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
        said = (status, labels, row["label_run"], row["label_model"])
        if said != (outcome.status.value, list(outcome.labels), answer.run, answer.model):
            yield f"output is a function: the row says {said}, the ledger {outcome}"
        first = prompt.key not in seen
        seen.add(prompt.key)
        if row["label_source"] != ("model" if first else "duplicate"):
            yield f"exactly once: label_source is {row['label_source']}"
        if [row[name] for name in TOKENS] != (
            [getattr(answer, name) for name in TOKENS] if first else [0, 0, 0]
        ):
            yield f"the books balance: the row has {[row[name] for name in TOKENS]}, its answer {answer}"

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


def _first(lines: list[str]) -> list[str]:
    more = [f"and {len(lines) - SHOWN} more lines"] if len(lines) > SHOWN else []
    return [*islice(lines, SHOWN), *more]


def violations(job: JobFiles, server: Simulator | Sequence[Entry] = (), **settings: Any) -> list[str]:
    """Return all violations of a job that was not killed, asked of *server*, and has ended well."""
    entries = server.entries if isinstance(server, Simulator) else list(server)
    witness = Witness(job, lambda: entries, **settings)
    witness.execution_ended()
    return witness.verdict()
