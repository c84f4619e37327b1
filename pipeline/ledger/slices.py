"""A ledger that is cut: each of n folders holds the answers whose keys fall to its slice."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain, islice

from pipeline.config.slices import slice_of
from pipeline.ledger.prune import Prunable
from pipeline.ledger.store import RunTotals, Store
from pipeline.records import Answer, Answers

AT_ONCE = 5_000
"""Answers that are copied in one transaction."""


def deal(store: Store, parts: Sequence[Store]) -> int:
    """Copy each answer of *store* to the one of *parts* that it falls to, and return how many there were."""
    copied, cells = 0, store.cells()
    while some := list(islice(cells, AT_ONCE)):
        copied += len(some)
        for index, part in enumerate(parts):
            part.append_cells([each for each in some if slice_of(each[0], len(parts)) == index])
    for part in parts:
        part.index()
    return copied


class SlicedStore(Store):
    """The ledgers of all slices as one; a slice that has none yet has no answers."""

    def __init__(self, stores: Mapping[int, Store], count: int, create: Callable[[int], Store]) -> None:
        """Join *stores*, by the index of their slice; *create* makes one that is missing when it is written to."""
        self._stores, self._count, self._create = dict(stores), count, create

    @property
    def damaged(self) -> int:  # type: ignore[override]  # nobody sets it
        """Answers that were found damaged and count as absent."""
        return sum(store.damaged for store in self._stores.values())

    def append(self, answers: Iterable[Answer]) -> None:
        """Make *answers* durable, each in the ledger of its slice."""
        owned: dict[int, list[Answer]] = defaultdict(list)
        for answer in answers:
            owned[slice_of(answer.key, self._count)].append(answer)
        for index, some in owned.items():
            if index not in self._stores:
                self._stores[index] = self._create(index)
            self._stores[index].append(some)

    def look_up(self, keys: Sequence[bytes]) -> Answers:
        """Return the newest answer of each of *keys* that has one."""
        owned: dict[int, list[bytes]] = defaultdict(list)
        for key in keys:
            owned[slice_of(key, self._count)].append(key)
        found = [self._stores[index].look_up(some) for index, some in owned.items() if index in self._stores]
        names = Answer._fields
        return Answers(
            {name: list(chain.from_iterable(each.columns[name] for each in found)) for name in names}
        )

    def starting_with(self, prefix: bytes) -> Answers:
        """Return the newest answer of each key that starts with *prefix*."""
        found = [store.starting_with(prefix) for store in self._stores.values()]
        return Answers.of(chain.from_iterable(some.values() for some in found))

    def index(self) -> None:
        """Add the answers that any process has appended to the index."""
        for store in self._stores.values():
            store.index()

    def answers(self) -> Iterator[Answer]:
        """Yield the newest answer of every key."""
        return chain.from_iterable(store.answers() for store in self._stores.values())

    def spent(self, run: str) -> float:
        """Return the US dollars that *run* has paid, as far as prices are known."""
        return sum(store.spent(run) for store in self._stores.values())

    def totals(self, run: str | None = None) -> list[RunTotals]:
        """Return what each run, or only *run*, has paid for, by the run's id."""
        found: dict[str, RunTotals] = {}
        for store in self._stores.values():
            for each in store.totals(run):
                found[each.run] = each.plus(found[each.run]) if each.run in found else each
        return [found[name] for name in sorted(found)]

    def recent_tokens(self) -> list[tuple[str, int]]:
        """Return the model and the completion tokens of some of the newest replies."""
        return [each for store in self._stores.values() for each in store.recent_tokens()]

    def prune(self, before: float) -> int:
        """Delete answers that arrived before *before* (Unix time); return how many."""
        return sum(store.prune(before) for store in self._stores.values())

    def prunable(self, before: float) -> Prunable:
        """Return what `prune` would delete."""
        total = Prunable(0, None)
        for each in (store.prunable(before) for store in self._stores.values()):
            costs = [cost for cost in (total.cost_usd, each.cost_usd) if cost is not None]
            total = replace(
                total,
                answers=total.answers + each.answers,
                cost_usd=sum(costs) if costs else None,
                unpriced=total.unpriced + each.unpriced,
            )
        return total

    def cells(self) -> Iterator[tuple[bytes, bytes, int]]:
        """Yield every answer as cells, each key's in the order of their arrival."""
        return chain.from_iterable(store.cells() for store in self._stores.values())

    def give_space_back(self) -> None:
        """Make the files as small as their answers."""
        for store in self._stores.values():
            store.give_space_back()

    def close(self) -> None:
        """Close all files."""
        for store in self._stores.values():
            store.close()
