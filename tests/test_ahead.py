"""Making the next while one is used."""

import threading
from collections.abc import Iterator

import pytest

from pipeline.ahead import AHEAD, ahead


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
    taken.close()  # type: ignore[attr-defined]  # waits for the thread
    assert len(made) == 1 + AHEAD


def test_an_exception_comes_out_after_what_was_made_before_it_and_ends_the_thread() -> None:
    taken, threads = [], threading.active_count()
    with pytest.raises(OSError, match="no more"):
        taken.extend(ahead(numbers([], fail_at=3)))
    stream = ahead(numbers([], fail_at=3))
    assert [next(stream) for _ in range(3)] == [0, 1, 2]
    stream.close()  # type: ignore[attr-defined]
    assert threading.active_count() == threads
