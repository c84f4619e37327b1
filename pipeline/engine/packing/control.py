"""The control share: whether rows that are asked together get the labels that they would get alone.

Some rows are asked in both ways, and alone once more, since a model does not always agree with itself. What counts is how much
more often an answer among others differs from one alone than two answers alone do. With `auto` that decides how many rows
a request carries; no row is labelled by an answer of a width that has not been found good.
"""

import logging
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any

from pipeline.engine.packing.evidence import LOOK, LOOKS, Evidence
from pipeline.job.job import Job
from pipeline.llm.packs.memory import kept_widths
from pipeline.llm.packs.width import WIDTHS, Width

log = logging.getLogger(__name__)

SHARE, MOST_OF_FEW = 0.02, 0.1
"""Of the rows that are asked alone, too; and of a small table, to get to enough of them."""

TRIED_SHARE, TRIED_ROWS = 0.2, 2 * LOOK
"""Of the first rows while a width is on trial, and how many at least a trial takes."""

WORTH_A_TRIAL = 10 * LOOK
"""Rows of a table from which on a trial can pay."""

TRIED_AGAIN = 100 * LOOK * LOOKS
"""After so many rows more the next wider request is tried again: models get better, and the dearest trial is a fiftieth of them."""

HARM, NO_HARM = 0.01, 0.02
"""More rows with another label than so are a reason to ask fewer together; less than so, no reason not to."""


class Widths:
    """Decides how many rows a request carries, from the evidence; a number in the config stays, and is only judged.

    Attributes:
        width: How many rows a request carries.
        found: The evidence on each width.
        trial: The width on trial beside rows that are asked alone; 0 if none is.
        asked: How many rows were asked since the last trial ended.
        decisions: What this run has concluded, and from what, in order.
    """

    def __init__(self, width: Width, *, auto: bool, memory: Mapping[str, Sequence[int]]) -> None:
        """Begin with what earlier runs have found.

        Args:
            width: What is decided about.
            auto: Whether it is this program's to choose.
            memory: Rows, `worse` and `better` by width, as far as they count; and under `width` the one chosen, the
                one on trial, and how many rows were asked since.
        """
        self.width, self._auto = width, auto
        self._chosen = memory.get("width")  # by `auto`
        self.found = {int(name): _evidence(some) for name, some in memory.items() if name.isdigit()}
        self.trial = WIDTHS[-1] if auto else 0
        self.asked = self._put_off = 0
        self.decisions: list[dict[str, Any]] = []
        if auto and self._chosen:
            width.rows, self.trial, self.asked = (*self._chosen, 0)[:3]
            if not self.trial and self.asked >= TRIED_AGAIN and width.rows < WIDTHS[-1]:
                self.trial = min(each for each in WIDTHS if each > width.rows)
                self.found.pop(self.trial, None)  # it is about the model as it was

    @property
    def judged(self) -> int:
        """The width that is under examination: one on trial beside rows that are asked alone, or that of all rows."""
        return self.trial or self.width.rows

    @property
    def evidence(self) -> Evidence:
        """What is known about it."""
        return self.found.setdefault(self.judged, Evidence())

    @property
    def memory(self) -> dict[str, list[int]]:
        """What the next run begins with."""
        kept = {
            str(width): [one.rows, one.worse, one.better, one.differ]
            for width, one in self.found.items()
            if one.rows < LOOK * LOOKS
        }
        trial = self.trial or self._put_off
        chosen = [self.width.rows, trial, self.asked] if self._auto else self._chosen
        return {**kept, "width": list(chosen)} if chosen else kept

    def put_off(self) -> None:
        """Leave what is on trial to a later run."""
        self._put_off, self.trial = self.trial, 0

    def look(self, before: int) -> None:
        """Decide, if there is enough evidence more than *before*, when it was of so many rows."""
        found, width = self.evidence, self.judged
        if found.rows // LOOK == before // LOOK:
            return
        least, most = found.bounds
        if self.trial:
            self._conclude_trial(found, width, harm=least > HARM, fine=most < NO_HARM)
        elif least > HARM:
            self._narrow(found, width)

    def _conclude_trial(self, found: Evidence, width: int, *, harm: bool, fine: bool) -> None:
        if fine:
            log.info("requests carry %d rows from now on: %s", width, found.words)
            self.width.rows, self.trial = width, 0
            self._note("good", width, found)
            self.found.pop(width)
        elif harm or found.rows >= LOOK * LOOKS:
            lower = _next_lower(width)
            self.trial = lower if lower > self.width.rows else 0
            left = f"{lower} are tried" if self.trial else f"requests carry {self.width.rows} from now on"
            log.info("%d rows in a request are too many: %s; %s", width, found.words, left)
            self._note("too many", width, found)

    def _narrow(self, found: Evidence, width: int) -> None:
        if self._auto:
            self.width.rows = min(self.width.rows, _next_lower(width))
            log.warning("requests carry %d rows from now on: %s", self.width.rows, found.words)
        else:
            log.warning("model.rows_per_request: %d costs labels: %s; try a lower one", width, found.words)
        self._note("narrowed" if self._auto else "costs labels", width, found)

    def _note(self, what: str, width: int, found: Evidence) -> None:
        self.asked = 0
        self.decisions.append(
            {"what": what, "width": width, "rows_per_request": self.width.rows, **found.facts}
        )

    @property
    def finding(self) -> dict[str, Any]:
        """What the run has found out about packs, for its report: the evidence on the width that is judged last comes last."""
        now = {
            "what": "on trial" if self.trial else "in use",
            "width": self.judged,
            "rows_per_request": self.width.rows,
        }
        latest = [{**now, **self.evidence.facts}] if self.judged > 1 and self.evidence.rows else []
        return {"rows_per_request": self.width.rows, "auto": self._auto, "found": [*self.decisions, *latest]}


def _next_lower(width: int) -> int:
    return max((each for each in WIDTHS if each < width), default=1)


def _evidence(counts: Sequence[int]) -> Evidence:
    rows, worse, better, differ = counts
    return Evidence(rows, worse, better, differ)


def widths_of(job: Job) -> Widths:
    """Return how many rows a request of *job* carries, and what is tried, as far as earlier runs have found that out."""
    wanted = job.config.model.rows_per_request
    width = Width(1 if wanted == "auto" else wanted)
    memory = kept_widths(job.config.state.dir, job.task.fingerprint)
    widths = Widths(width, auto=wanted == "auto", memory=memory)
    if job.source.rows < WORTH_A_TRIAL or is_share(job):
        widths.put_off()
    return widths


def compared_of(job: Job, widths: Widths) -> tuple[float, int]:
    """Return which share of the rows of *job* is asked alone, too, and how many at most."""
    if is_share(job) or widths.judged == 1:
        return 0.0, 0
    if widths.trial:
        return TRIED_SHARE, max(TRIED_ROWS, (widths.evidence.rows // LOOK + 1) * LOOK)
    return _share_of(job), LOOK * LOOKS


def compared_later(job: Job, drawn: int) -> int:
    """Return how many of the rows that a trial has *drawn* and left are compared once it has ended well."""
    return min(LOOK * LOOKS, round(drawn * _share_of(job) / TRIED_SHARE))


def _share_of(job: Job) -> float:
    return max(SHARE, min(MOST_OF_FEW, LOOK / max(1, job.source.rows)))


def is_share(job: Job) -> bool:
    """Return whether other processes ask about rows of *job*, too: each would compare for itself, and find out other things."""
    return job.options.part is not None or job.options.workers > 1


def is_packed(job: Job) -> bool:
    """Return whether *job* asks about several rows in one request; the embedded model would gain nothing by it."""
    return job.config.model.rows_per_request != 1 and job.config.model.provider != "local"


def coin(key: bytes, width: int) -> float:
    """Return a number from 0 to 1 that is as good as drawn, for the row with *key* at a *width*: always the same."""
    return int.from_bytes(blake2b(key, digest_size=4, salt=bytes([width])).digest(), "big") / 2**32
