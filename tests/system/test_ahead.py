"""Making the next while one is used."""

import threading
import time
import weakref
from collections.abc import Iterator

import pytest

from pipeline.system.prefetch import AHEAD, ahead


def numbers(made: list[int], *, fail_at: int = -1) -> Iterator[int]:
    for number in range(10):
        if number == fail_at:
            raise OSError("no more")
        made.append(number)
        yield number


def test_all_come_in_order_from_one_other_thread() -> None:
    threads: set[int] = set()

    def noted() -> Iterator[int]:
        for number in numbers([]):
            threads.add(threading.get_ident())
            yield number

    assert list(ahead(noted())) == list(range(10))
    assert len(threads - {threading.get_ident()}) == 1


def test_no_more_are_made_ahead_than_is_told() -> None:
    made: list[int] = []
    taken = ahead(numbers(made))
    next(taken)
    taken.close()  # waits for the thread
    assert len(made) == 1 + AHEAD


def test_an_exception_comes_out_after_what_was_made_before_it_and_ends_the_thread() -> None:
    taken, threads = [], threading.active_count()
    with pytest.raises(OSError, match="no more"):
        taken.extend(ahead(numbers([], fail_at=3)))
    stream = ahead(numbers([], fail_at=3))
    assert [next(stream) for _ in range(3)] == [0, 1, 2]
    stream.close()
    assert threading.active_count() == threads


class Item:
    """Something that a weak reference can be had of."""


def test_what_was_taken_is_not_kept_until_the_next_is_there() -> None:
    seen: list[weakref.ref[Item]] = []

    def items() -> Iterator[Item]:
        yield Item()
        end = time.monotonic() + 5
        while not (seen and seen[0]() is None) and time.monotonic() < end:
            time.sleep(0.001)
        assert seen[0]() is None
        yield Item()

    for item in ahead(items()):
        seen.append(weakref.ref(item))
        del item
    assert len(seen) == 2
