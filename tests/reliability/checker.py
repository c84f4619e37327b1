"""Compares a job's output and ledger with its input and with what the server saw; names every broken promise.

A violation is a line `<promise>: <what is wrong>`. The promises:

- paid is kept: an answer that was durable once is still there, unchanged; of the answers that a server
  delivered in an execution that was not killed none is missing.
- never twice: nothing is asked that had a durable answer, or twice in one execution; a killed execution loses
  at most what was in flight and in one commit, and on a slow disk what waited for it.
- exactly once: every row is there once, in order, its columns unchanged, with a terminal status.
- output is a function: what a row says is what the ledger's answer to its prompt says.
- only known labels: a label is a member of the set, and the right one where that is known.
- the books balance: the tokens of the run's rows are those of its answers, and those the server billed.
- nothing left behind: no temporary file, no part, nothing that others may read.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from statistics import median
from typing import Any

import polars as pl

from pipeline.ledger.writer import MAX_GATHERED
from pipeline.llm.held_rows import CONTROL
from pipeline.records import Answer
from pipeline.servers.simulator.log import Entry
from pipeline.tasks.parse import Parser
from tests.faultserver.server import FaultServer
from tests.jobs import JobFiles, right_label
from tests.reliability.evidence import (
    Stored,
    input_of,
    input_stamp,
    litter,
    prompts_of,
    read_ledger,
    read_table,
)
from tests.reliability.labelled import Labelled

COMMIT = 64
"""Answers that a kill usually costs beyond those in flight: what arrives within one commit of 50 ms, generously."""

MOST = 2 * MAX_GATHERED
"""Answers that it may cost beyond them while the disk is busy: one set is written and one gathers."""

ENOUGH_KILLS = 5
"""So many tell what is usual."""

Record = Callable[[str, object], None]
"""pytest's `record_property`."""


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
            commit: Answers that a kill usually costs beyond those in flight, at most.
            right: The right label of a row's text, where it is known.
        """
        self._job, self._entries, self._commit, self._right = job, entries, commit, right
        self._seen = 0
        self._stored = Stored({}, {})
        self.broken: list[str] = []
        self.lost: list[int] = []  # answers, at each kill
        self._rendered: tuple[object, dict[str, bytes]] = (None, {})

    def execution_ended(self, *, killed: bool = False) -> None:
        """Look at the ledger and at the server's log of one execution, which has just ended."""
        entries = self._entries()[self._seen :]
        state = self._job.folder / self._job.settings["state"]["dir"]
        before, after = self._stored, read_ledger(state)
        self._seen, self._stored = self._seen + len(entries), after
        self.broken += _kept(before, after)
        self.broken += self._asked_again(before, entries)
        self.broken += self._missing(after, entries, killed=killed)

    def record(self, record: Record, what: str) -> None:
        """Record counts for the session's summary; *what* is what the executions were ended with."""
        record(f"{what}: times", self.kills)
        record(f"{what}: answers delivered", sum(1 for _ in _delivered(self._entries())))
        record(f"{what}: answers in flight or in a commit, paid again", sum(self.lost))
        record(f"{what}: most of them at one time", max(self.lost, default=0))
        record(f"{what}: promises broken", len(self.broken))

    def verdict(self) -> list[str]:
        """Return all violations; the last execution must have ended well and been told of."""
        rows = input_of(self._job)
        try:
            output = read_table(self._job.output)
        except (OSError, pl.exceptions.PolarsError) as error:
            return [*self.broken, f"exactly once: the output cannot be read: {error}"]
        table = Labelled(self._job, rows, output, self._stored, self._right)
        broken = [*self.broken, *self._usually_lost(), *table.violations()]
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
        is_final = {
            key
            for key, answer in before.newest.items()
            if parser.is_final(parser.outcome(answer).status, answer.asks)
        }
        for entry in entries:
            if keys.get(entry.text) in is_final:
                yield f"never twice: {entry.text!r} was asked although its answer was durable"
        for text, times in Counter(entry.text for entry in _delivered(entries)).items():
            if times > 1 and text != CONTROL.prompt.text:  # which is about no row
                yield f"never twice: {text!r} was answered {times} times in one execution"

    def _missing(self, after: Stored, entries: Sequence[Entry], *, killed: bool) -> Iterator[str]:
        keys = self._keys()
        asked = {entry.text for entry in _delivered(entries) if entry.text in keys}
        missing = [text for text in asked if keys[text] not in after.newest]
        if killed:
            self.lost.append(len(missing))
        if len(missing) > (self._in_flight + MOST if killed else 0):
            yield f"paid is kept: {len(missing)} answers were delivered and are not in the ledger, such as {missing[0]!r}"

    def _usually_lost(self) -> Iterator[str]:
        usual = self._in_flight + self._commit
        if self.kills >= ENOUGH_KILLS and median(self.lost) > usual:
            yield f"paid is kept: more than half of the kills cost over {usual} answers, up to {max(self.lost)}"

    @property
    def kills(self) -> int:
        """Number of executions that were killed."""
        return len(self.lost)

    @property
    def _in_flight(self) -> int:
        return int(self._job.settings.get("limits", {}).get("max_concurrency", 64))

    def _bill(self, table: Labelled) -> Iterator[str]:
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


def violations(job: JobFiles, server: FaultServer | Sequence[Entry] = (), **settings: Any) -> list[str]:
    """Return all violations of a job that was not killed, asked of *server*, and has ended well."""
    entries = server.entries if isinstance(server, FaultServer) else list(server)
    witness = Witness(job, lambda: entries, **settings)
    witness.execution_ended()
    return witness.verdict()
