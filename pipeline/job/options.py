"""What one run does differently from others of its job."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.config.slices import Slice, ensure_engine, slice_named
from pipeline.errors import UsageError
from pipeline.records import Status

if TYPE_CHECKING:
    from pipeline.config import Config


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What one run does differently from the config.

    Attributes:
        limit: Label only the first *limit* rows, into an output of their own.
        sample: Label *sample* random rows, into an output of their own.
        seed: Determines which ones.
        retry: Ask again for rows whose stored answer has one of these statuses. Given as names, as on the command line:
            `"all"`, `"error,invalid"` or a list of them; kept as a frozenset of statuses.
        overwrite: Replace an output that another program wrote.
        offline: Send nothing: publish what is answered, and fail if a row is not.
        anyway: Publish even if a gate is closed.
        partial: Where the run stops early, publish what is answered into an output of its own.
        workers: How many processes ask; they share the limits.
        wait: Whether to wait for batches that are under way; otherwise the run ends with WaitingError, and the next one
            fetches them.
        slice: Ask only about the keys of this slice, and publish nothing. Given as on the command line, `"0/4"`.
        engine: `"ray"` to have the *workers* of a Ray cluster ask, a slice each.
        address: That of the cluster; by default RAY_ADDRESS, or this machine alone.
        previous: An earlier config of the same table with other labels: those that its runs have found are carried over,
            and only rows are asked that must change.

    Raises:
        UsageError: If a value is none that the command line takes, or if two contradict each other.
    """

    limit: int | None = None
    sample: int | None = None
    seed: int = 0
    retry: Collection[str] = frozenset()
    overwrite: bool = False
    offline: bool = False
    anyway: bool = False
    partial: bool = False
    workers: int = 1
    wait: bool = True
    slice: Slice | str | None = None
    engine: str | None = None
    address: str | None = None
    previous: "Config | None" = None

    def __post_init__(self) -> None:
        for name, count in (("limit", self.limit), ("sample", self.sample), ("workers", self.workers)):
            if count is not None and (not _is_whole_number(count) or count < 1):
                raise UsageError(f"{name}: {count!r} is not a whole number above 0; write one such as 100")
        if self.limit is not None and self.sample is not None:
            raise UsageError("limit and sample: both choose the rows; give one of them")
        if not _is_whole_number(self.seed):
            raise UsageError(f"seed: {self.seed!r} is not a whole number; write one such as 7")
        if self.seed and self.sample is None:
            raise UsageError("seed: chooses the rows of sample; give sample too, or leave seed out")
        for name in ("overwrite", "offline", "anyway", "partial", "wait"):
            if not isinstance(value := getattr(self, name), bool):
                raise UsageError(f"{name}: {value!r} is not True or False; write one of them")
        object.__setattr__(self, "retry", statuses(self.retry))
        object.__setattr__(self, "slice", slice_named(self.slice))
        if self.slice is not None and (self.selection or self.offline or self.partial or self.workers > 1):
            raise UsageError(
                "slice: is one of all rows that are asked about, and publishes nothing; give it alone"
            )
        ensure_engine(self.engine, self.address, part=self.selection or self.slice)

    @property
    def on_ray(self) -> bool:
        """Whether a Ray cluster asks."""
        return self.engine is not None and not self.offline

    @property
    def part(self) -> Slice | None:
        """The slice that the run asks about; None for all keys."""
        return self.slice if isinstance(self.slice, Slice) else None

    @property
    def is_partial(self) -> bool:
        """Whether the output is a partial one: rows without an answer are pending in it."""
        return self.partial and self.offline

    @property
    def is_whole(self) -> bool:
        """Whether the output is that of all rows."""
        return self.selection is None and not self.is_partial and self.slice is None

    @property
    def selection(self) -> str | None:
        """Name of the selection of rows, as in the output's name; None for all rows."""
        if self.sample is not None:
            return f"sample-{self.sample}-{self.seed}"
        return f"limit-{self.limit}" if self.limit is not None else None


def _is_whole_number(value: object) -> bool:
    """Return whether a value is an integer; True and False are none here."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_whole(options: RunOptions, provider: str | None) -> bool:
    """Return whether a run of all rows asks a real model; any other run says nothing about how the job goes.

    *provider* is the one that will be asked; None stands for any real one.
    """
    return options.is_whole and provider != "simulate"


_NEVER_ASKED = {
    Status.EMPTY: "rows without text (empty) are never asked",
    Status.SKIPPED: "rows that input.where excludes (skipped) are never asked",
    Status.PENDING: "rows without an answer (pending) are asked by each run",
}


def statuses(names: Collection[str]) -> frozenset[Status]:
    """Return the statuses called *names*, for `RunOptions.retry`; `all` alone stands for every status.

    Args:
        names: The names, in a collection or as one text with commas between them.

    Raises:
        UsageError: If a name is unknown, or of a status that is never asked.
    """
    if isinstance(names, str):
        names = [name.strip() for name in names.split(",")]
    if not isinstance(names, Collection) or not all(isinstance(name, str) for name in names):
        raise UsageError(f"retry: {names!r} is no list of statuses; write one such as ['error', 'invalid']")
    if list(names) == ["all"] or frozenset(names) == frozenset(Status):
        return frozenset(Status)
    retriable = [status for status in Status if status not in _NEVER_ASKED]
    for status in _NEVER_ASKED.keys() & set(names):
        raise UsageError(f"{_NEVER_ASKED[status]}; leave that status out")
    unknown = [name for name in names if name not in retriable]
    if unknown:
        raise UsageError(f"there is no status {unknown[0]!r}; there are {', '.join(retriable)} and all")
    return frozenset(map(Status, names))
