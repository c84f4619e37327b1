"""Advice where money could be spared without a change of labels, each with what it would spare."""

from collections.abc import Iterator

from pipeline.commands.plan.estimate import Estimate
from pipeline.figures import count, percent, usd
from pipeline.tasks.schema import CACHED_FROM, is_listed

WORTH = 0.01
"""Less of the bill than so is not worth a word."""

FROM = 700
"""Tokens of a prefix from which on it costs less to lengthen it until the provider caches it."""

CACHED_PRICE = 0.5
"""What cached tokens cost at most, as a share of the others, for that to be worth it."""

LONG_TOKENS = 0.25
"""Few texts with so much of all tokens are worth a cut."""


def advice(found: Estimate) -> Iterator[str]:
    """Yield a sentence for each way to spare money."""
    if not found.counts.missing.rows or not found.tokens.prompt:
        return
    yield from _longer_prefix(found)
    yield from _shorter_labels(found)
    yield from _cut_texts(found)
    yield from _twins(found)


def _share(found: Estimate, prompt: float = 0.0, completion: float = 0.0) -> float:
    """Return which share of the bill so many tokens are; by the usual prices where none is known."""
    price, tokens = found.price, found.tokens
    read, written = (price.input, price.output) if price and price.output else (1.0, 4.0)
    whole = price.cost(*tokens) if price and price.output else tokens.prompt + 4 * tokens.completion
    return (read * prompt + written * completion) / whole if whole else 0.0


def _told(found: Estimate, share: float) -> str:
    """Return what a share of the bill is."""
    cost = found.costs.own
    return f"about {percent(share)} of the bill" + (f", {usd(share * cost)}" if cost else "")


def _longer_prefix(found: Estimate) -> Iterator[str]:
    price, width = found.price, found.sent.width
    if price is None or price.cached > CACHED_PRICE * price.input or found.tokens.cached:
        return
    if width > 1 and not is_listed(
        found.job.config.task
    ):  # each request has a schema of its own, which comes first
        return
    prefix = found.counts.bills.prefix(width)
    if not FROM <= prefix < CACHED_FROM:
        return
    # What is cached costs so much less that more of it is cheaper.
    spared = found.sent.requests * (prefix - CACHED_FROM * price.cached / price.input)
    if (share := _share(found, spared)) > WORTH:
        yield (
            f"every request begins with about {prefix:,.0f} tokens, and providers cache from {CACHED_FROM:,} on: lengthen the "
            f"instructions, descriptions or examples by {CACHED_FROM - prefix:,.0f} tokens, which would spare {_told(found, share)}"
        )


def _shorter_labels(found: Estimate) -> Iterator[str]:
    spared = found.counts.bills.shape.spared_by_short_labels()
    share = _share(found, completion=spared * found.sent.asked)
    if share > WORTH:
        yield (
            f"the labels' names are long, and every reply spells one: names of a word or two, with what they mean in the "
            f"description, would spare {_told(found, share)}"
        )


def _cut_texts(found: Estimate) -> Iterator[str]:
    missing = found.counts.missing
    cut = missing.lengths.cut()
    if (
        cut is None
        or cut.limit >= found.job.config.task.max_text_tokens
        or cut.tokens < LONG_TOKENS * missing.rough
    ):
        return
    share = _share(found, cut.tokens * missing.tokens / missing.rough)
    if share > WORTH:
        yield (
            f"{count(cut.texts, 'text')} of {missing.rows:,} have {percent(cut.tokens / missing.rough)} of all tokens beyond their "
            f"first {cut.limit:,}: task.max_text_tokens: {cut.limit} would spare {_told(found, share)}"
        )


def _twins(found: Estimate) -> Iterator[str]:
    share = found.counts.twins.share
    if share > WORTH:
        rows = round(share * found.counts.missing.rows)
        yield (
            f"{rows:,} of {found.counts.missing.rows:,} texts differ from another one only in case or blanks, and are asked about all "
            f"the same: make them alike in the input, which would spare {_told(found, share)}"
        )
