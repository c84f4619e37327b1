"""The share that each of several rows has in what one request was billed for: together exactly the bill."""

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import TypeVar

from pipeline.llm.replies import NO_USAGE, Usage

Number = TypeVar("Number", int, float)


def shares(usage: Usage, sizes: Sequence[int], prefix: int) -> list[Usage]:
    """Return the share of each row in *usage*: of the prompt by its size, of the reply as much as the others.

    Args:
        usage: The bill.
        sizes: Tokens of each row's text, estimated.
        prefix: Tokens of what all of them share.
    """
    if usage is NO_USAGE:
        return [NO_USAGE] * len(sizes)
    by_size = _marks([prefix / len(sizes) + size for size in sizes])
    alike = _marks([1.0] * len(sizes))
    columns = (
        _whole(usage.prompt_tokens, by_size),
        _whole(usage.cached_tokens, by_size),
        _whole(usage.completion_tokens, alike),
        _parts(usage.cost_usd, by_size),
    )
    return [Usage(*row) for row in zip(*columns, strict=True)]


def _marks(weights: Sequence[float]) -> list[float]:
    """Return where on the way from 0 to 1 each share starts, and 1."""
    sums = list(accumulate(weights, initial=0.0))
    return [*(each / (sums[-1] or 1.0) for each in sums[:-1]), 1.0]


def _whole(total: int | None, marks: Sequence[float]) -> list[int | None]:
    if total is None:
        return [None] * (len(marks) - 1)
    return [int(total * stop) - int(total * start) for start, stop in pairwise(marks)]


def _parts(total: float | None, marks: Sequence[float]) -> list[float | None]:
    if total is None:
        return [None] * (len(marks) - 1)
    return [total * stop - total * start for start, stop in pairwise(marks)]
