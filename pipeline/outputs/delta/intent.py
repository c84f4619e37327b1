"""What a run is about to append: known before the commit, so that it is known afterwards whose the commit was."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(slots=True)
class Append:
    """Who appends, and how far that has come.

    Attributes:
        owner: Names the state directory, which no other one has.
        batch: The number of the batch that the run was about to commit when it was last heard of; 0 for none.
        record: Keeps such a number, for the case that the run is killed.
    """

    owner: str
    batch: int
    record: Callable[[int], None]
