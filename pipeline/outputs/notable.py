"""Which rows of an output are worth reading: the least sure ones, and some that failed for each reason."""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.records import Status

LEAST_SURE = 50
FAILED = 10
"""How many rows are kept, of the failed ones for each status."""

Floats = npt.NDArray[np.float64]


class Notable:
    """Keeps the numbers of such rows, counted from 0, as the rows of an output go by.

    Attributes:
        failed: Those that failed first, by status.
    """

    def __init__(self) -> None:
        self.failed: dict[str, list[int]] = {}
        self._sureness, self._unsure = np.empty(0), np.empty(0, np.int64)
        self._seen = 0

    @property
    def least_sure(self) -> list[int]:
        """The rows with the lowest confidence, those first; rows that repeat another one are left out."""
        return [int(row) for row in self._unsure]

    def add(self, status: pa.ChunkedArray, failed: Iterable[str], sureness: Floats) -> None:
        """Look at rows, given the *status* of each, which of those are *failed*, and how sure each is; NaN is not known."""
        skipped = pc.equal(status, Status.SKIPPED.value)
        counted = pc.sum(skipped).as_py() or 0
        places: npt.NDArray[np.int64] | None = None
        if counted:  # they have no number
            places = np.cumsum(~_flags(skipped)) - 1
        for name in failed:
            kept = self.failed.setdefault(name, [])
            if len(kept) < FAILED:
                found = np.flatnonzero(_flags(pc.equal(status, name)))[: FAILED - len(kept)]
                kept.extend(self._numbers(found, places).tolist())
        self._keep_least_sure(sureness, places)
        self._seen += len(status) - counted

    def _keep_least_sure(self, sureness: Floats, places: npt.NDArray[np.int64] | None) -> None:
        is_full = len(self._sureness) == LEAST_SURE
        bound = self._sureness[-1] if is_full else np.inf
        found = np.flatnonzero(sureness < bound)  # NaN is not
        if not len(found):
            return
        values = np.concatenate([self._sureness, sureness[found]])
        rows = np.concatenate([self._unsure, self._numbers(found, places)])
        order = np.argsort(values, kind="stable")[:LEAST_SURE]
        self._sureness, self._unsure = values[order], rows[order]

    def _numbers(
        self, found: npt.NDArray[np.intp], places: npt.NDArray[np.int64] | None
    ) -> npt.NDArray[np.int64]:
        return self._seen + (found if places is None else places[found])


def _flags(values: pa.ChunkedArray) -> npt.NDArray[np.bool_]:
    flags: npt.NDArray[np.bool_] = pc.fill_null(values, fill_value=False).to_numpy(zero_copy_only=False)
    return flags
