"""How long the texts are, where to cut them, and what labelling them costs."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from pipeline.commands.init.columns import Column
from pipeline.commands.init.templates import Label, Template
from pipeline.config import ModelSettings
from pipeline.config.template import render_rows
from pipeline.llm.billing import Billing
from pipeline.tasks.tokens import estimate_tokens

MOST_TOKENS, LEAST_TOKENS = 2_000, 100
"""Bounds of the proposed cut: beyond the first a label is rarely decided, below the second nothing is saved."""

PERCENTILE = 0.95

_OVERHEAD_TOKENS = 120
"""What a prompt has beside its labels and its text."""

_REPLY_TOKENS = 12
_MARGIN = 1.5
_LEAST_USD = 1.0
_FRAME_TOKENS, _LEAST_REPLY, _MOST_REPLY = 16, 32, 1024


@dataclass(frozen=True, slots=True)
class Measures:
    """The lengths of the texts, in tokens of four bytes.

    Attributes:
        percentile: 95 of 100 texts are no longer.
        longest: The longest one.
        cut_at: The proposed `max_text_tokens`.
        cut: The share of texts that are longer.
        cost_usd: About what the whole table costs, by the list price; None if there is none.
        cap_usd: The proposed limit.
    """

    percentile: int
    longest: int
    cut_at: int
    cut: float
    cost_usd: float | None
    cap_usd: float


def measured(
    columns: Sequence[Column], template: str, rows: int, task: Template, model: ModelSettings
) -> Measures:
    """Measure the texts that *template* makes of the sampled *columns* of a table of so many *rows*."""
    cells = {each.name: [cell if isinstance(cell, str) else None for cell in each.cells] for each in columns}
    sizes = sorted(estimate_tokens(text) for text in render_rows(template, cells) if text) or [0]
    percentile = sizes[min(len(sizes) - 1, ceil(PERCENTILE * len(sizes)) - 1)]
    cut_at = min(MOST_TOKENS, max(LEAST_TOKENS, _rounded_up(percentile)))
    prompt = sum(min(size, cut_at) for size in sizes) / len(sizes) + _OVERHEAD_TOKENS
    prompt += sum(estimate_tokens(f"- {label.name}: {label.description}\n") for label in task.labels)
    price = Billing(model, capped=False).price
    cost = None if price is None else rows * price.cost(int(prompt), 0, _REPLY_TOKENS)
    cap = max(_LEAST_USD, float(ceil(_MARGIN * (cost or 0))))
    cut = sum(size > cut_at for size in sizes) / len(sizes)
    return Measures(percentile, sizes[-1], cut_at, cut, cost, cap)


def reply_tokens(labels: Sequence[Label], most: int | None) -> int:
    """Return the room that the longest reply needs, in steps of 32 tokens; *most* labels a row, None for one."""
    sizes = sorted((len(label.name.encode()) / 2 + 4 for label in labels), reverse=True)
    needed = _FRAME_TOKENS + sum(sizes[: most or 1])
    return min(_MOST_REPLY, max(_LEAST_REPLY, 32 * ceil(needed / 32)))


def _rounded_up(tokens: int) -> int:
    """Round up to a number that looks chosen: two digits, the second one 0 or 5."""
    step: int = max(1, 10 ** max(0, len(str(tokens)) - 2) * 5)
    return -(-tokens // step) * step
