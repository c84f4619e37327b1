"""The cost of each reply, from the best source there is."""

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from pipeline.config import ModelSettings
from pipeline.config.providers import batch_share
from pipeline.errors import ConfigError
from pipeline.figures import usd as in_usd
from pipeline.llm.catalog import NO_PRICE, catalog_price, ensure_payable
from pipeline.llm.pacing.tokens import TokenEstimate
from pipeline.llm.pricing import Price, endpoint_price, per_million
from pipeline.llm.protocol.body import SECOND_ASK
from pipeline.llm.replies import NO_USAGE, Failure, FailureKind, Reply, Usage
from pipeline.llm.request import Counters, Request

if TYPE_CHECKING:
    from pipeline.llm.transport.client import Client

log = logging.getLogger(__name__)

Outcome: TypeAlias = Reply | Failure
"""What a call came to."""

GUESS = per_million(1.0, 4.0, None, "guess")
"""Sets money aside where no price is known yet; what the first replies cost corrects it."""

ASK_AGAIN = frozenset(10**power for power in range(9))
"""After so many replies of unknown cost, the endpoint is asked for its price once more."""


class Billing:
    """Costs of replies: as the reply itself tells, else by the price in the config, the endpoint's, or the list price.

    Attributes:
        ask_again: Whether to `ask_once_more`.
    """

    def __init__(self, model: ModelSettings, *, capped: bool) -> None:
        self._model, self._capped = model, capped
        self._highest_usd: float | None = None
        self._unpriced = 0
        self._warned_unreported = self._warned_free = False
        self._price: Price | None = None
        if model.price is not None:
            self._price = per_million(model.price.input, model.price.output, model.price.cached, "config")
        self._looked_up = self._told_none = False
        self.ask_again = False

    @property
    def price(self) -> Price | None:
        """The price of a token; None if none is known."""
        if self._price is None and not self._looked_up:  # only now: most endpoints or replies tell theirs
            self._looked_up = True
            self._price = catalog_price(self._model)
        return self._price

    @property
    def batch_price(self) -> Price | None:
        """The price of a token in a batch; None if none is known."""
        given = self._model.price and self._model.price.batch
        if given:
            return per_million(given.input, given.output, given.cached, "config")
        share = batch_share(self._model)
        return self.price.times(share) if share is not None and self.price is not None else None

    def in_batch(self, outcome: Outcome, counters: Counters) -> Outcome:
        """Count the tokens of a line of a batch, and put its cost into the usage: as the reply tells, else by the batch price."""
        usage, price = outcome.usage, self.batch_price
        if usage is NO_USAGE:
            return outcome
        counters.add_usage(usage)
        if usage.cost_usd or usage.prompt_tokens is None or price is None:
            return outcome
        return outcome.with_cost(
            price.cost(usage.prompt_tokens, usage.cached_tokens or 0, usage.completion_tokens or 0)
        )

    @property
    def source(self) -> str | None:
        """Where costs come from: `reply`, `config`, `endpoint`, `catalog`, or None if they are unknown so far."""
        if self._highest_usd is not None:
            return "reply"
        return self._price.source if self._price else None

    async def ask(self, client: "Client") -> Mapping[str, Any] | Failure:
        """Ask the endpoint for the model's price, before anything is sent; returns its whole object about the model.

        Raises:
            ConfigError: If there is a budget and nobody will tell a price.
        """
        ensure_payable(self._model, capped=self._capped)
        about = await client.model(self._model.name)
        self.learn(about)
        if self._capped and self.price is None:
            log.warning(
                "limits.max_cost_usd is set and no price is known for %r; unless its first reply tells what it cost, "
                "the run ends there: set model.price to be sure",
                self._model.name,
            )
        return about

    async def ask_once_more(self, client: "Client") -> None:
        """Ask the endpoint for the model's price again, if it may tell it now.

        Raises:
            ConfigError: If there is a budget, and still no price.
        """
        self.ask_again = False  # first, so that one worker asks and not all of them
        # With a budget, others would be sent meanwhile: only an endpoint that could not answer is asked once more.
        if not (self._capped and self._told_none):
            self.learn(await client.model(self._model.name))
        self.ensure_priced()

    def learn(self, model_object: Mapping[str, Any] | Failure) -> None:
        """Take the price from the endpoint's model object, if it holds one and the config does not."""
        self._told_none = not isinstance(model_object, Failure) or model_object.kind is FailureKind.CONFIG
        if self._model.price is None and not isinstance(model_object, Failure):
            self._price = endpoint_price(model_object) or self._price

    def cost(self, usage: Usage) -> float | None:
        """Return the cost of a reply in US dollars, or None if it is unknown."""
        if usage.cost_usd and usage.cost_usd > 0:
            self._highest_usd = max(self._highest_usd or 0.0, usage.cost_usd)
            return usage.cost_usd
        usd: float | None = None
        if usage.prompt_tokens is not None and self.price is not None:
            usd = self.price.cost(usage.prompt_tokens, usage.cached_tokens or 0, usage.completion_tokens or 0)
        if usage.cost_usd is None:
            return usd
        if usd:
            self._warn_of_free(usd)
            return usd
        self._highest_usd = self._highest_usd or 0.0
        return 0.0

    def priced(self, outcome: Outcome, counters: Counters) -> Outcome:
        """Count the tokens, and put the cost into the usage; a garbled reply may have been billed too."""
        usage = outcome.usage
        usd = None
        if usage is not NO_USAGE:
            counters.add_usage(usage)
            usd = self.cost(usage)
        if usd is None and isinstance(outcome, Reply) and self._highest_usd is None and self.price is None:
            self._unpriced += 1
            self.ask_again |= self._unpriced in ASK_AGAIN
        return outcome if usd == usage.cost_usd else outcome.with_cost(usd)

    def charge(self, outcome: Outcome | None, request: Request, estimate: TokenEstimate) -> float | None:
        """Return what the call of *request* is charged to the budget: an estimate for a reply of unknown cost; None for nothing."""
        usd = outcome.usage.cost_usd if outcome is not None else None
        if usd is not None or not isinstance(outcome, Reply):
            return usd
        # Where only replies tell costs, the highest of them: a budget must rather end early than be exceeded.
        if self.price is None:
            return self._highest_usd
        completion_tokens = int(estimate.completion * request.rows) + 1
        return self.price.cost(estimate.prompt(request.prompt.text), 0, completion_tokens)

    def bound_usd(self, estimate: TokenEstimate, request: Request, ceiling: int) -> float:
        """Return the US dollars that *request* costs at most, with a reply up to *ceiling*; 0 without a budget."""
        if not self._capped:
            return 0.0
        completion_tokens = ceiling * (request.rows if request.previous is None else SECOND_ASK)
        return (self.price or GUESS).cost(estimate.bound(request.prompt.text), 0, completion_tokens)

    def warn_if_unreported(self, usage: Usage) -> None:
        """Log a warning for the first reply that does not report its tokens."""
        if not self._warned_unreported and None in {usage.prompt_tokens, usage.completion_tokens}:
            self._warned_unreported = True
            log.warning(
                "a reply does not report its tokens, or implausible ones; they are null in such rows, and the sums lack them"
            )

    def _warn_of_free(self, usd: float) -> None:
        if not self._warned_free and self._price is not None:
            self._warned_free = True
            log.warning(
                "a reply tells a cost of 0, but its tokens cost %s by the price from %s, which is counted; "
                "if the endpoint is free for you, set model.price: {input: 0, output: 0}",
                in_usd(usd),
                self._price.source,
            )

    def ensure_priced(self) -> None:
        """Make sure that costs are known if there is a budget; call it after a reply.

        Raises:
            ConfigError: If `limits.max_cost_usd` is set and no price is known.
        """
        # One reply without usage is no reason to stop: the budget is charged its estimate.
        if self._capped and self._highest_usd is None and self.price is None:
            raise ConfigError(NO_PRICE.format(self._model.name))
