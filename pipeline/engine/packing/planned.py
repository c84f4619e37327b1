"""What asking rows together comes to, beforehand."""

from collections.abc import Callable
from typing import NamedTuple

from pipeline.engine.packing.control import coin, compared_later, compared_of, is_packed, widths_of
from pipeline.job.job import Job

ITEM_TOKENS = 8
"""Tokens that a row's id and its place among others add to its text."""


class Planned(NamedTuple):
    """What is sent.

    Attributes:
        width: How many rows a request carries.
        packs: Requests that carry so many.
        packed: Rows in these.
        alone: Requests about one row, those that are only compared included.
        compared: Rows that are asked in both ways.
    """

    width: int
    packs: int
    packed: int
    alone: int
    compared: int

    @property
    def requests(self) -> int:
        """All requests."""
        return self.packs + self.alone

    @property
    def asked(self) -> int:
        """How many answers they ask for, those that are only compared included."""
        return self.packed + self.alone


def comparison(job: Job) -> Callable[[bytes], bool]:
    """Return what tells whether the row with a key would be asked alone, too, if there is no end to them."""
    if not is_packed(job):
        return lambda _: False
    widths = widths_of(job)
    share, _ = compared_of(job, widths)
    return lambda key: coin(key, widths.judged) < share


def planned(job: Job, rows: int, compared: int, strangers: int = 0) -> Planned:
    """Return what is sent to ask about so many *rows* of *job*.

    Args:
        job: The job.
        rows: How many.
        compared: How many of them would be asked alone, too.
        strangers: How many of them are alone in a request, by `input.untrusted`.
    """
    if not is_packed(job) or (widths := widths_of(job)).judged == 1:
        return Planned(1, 0, 0, rows, 0)
    _, most = compared_of(job, widths)
    drawn = compared
    compared = min(drawn, max(0, most - widths.evidence.rows))
    if (
        widths.trial
    ):  # once it is good, it goes on being compared, on those of the drawn rows that the trial leaves
        compared += compared_later(job, drawn - compared)
    packed = rows - strangers
    # On trial each of these is asked alone, alone again, and among others; else among others, and alone twice.
    return Planned(widths.judged, -(-packed // widths.judged), packed, strangers + 2 * compared, compared)
