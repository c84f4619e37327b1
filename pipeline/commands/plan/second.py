"""What a run would put to the second model: certain of the rows that are answered, a range of those that are not."""

from collections.abc import Mapping, Sequence
from math import sqrt
from typing import Any

from pipeline.commands.plan.bills import Bills
from pipeline.commands.plan.costs import Tokens, dearest, duration
from pipeline.commands.plan.rates import Sample
from pipeline.commands.plan.shape import Shape
from pipeline.engine.escalation.known import escalated
from pipeline.engine.escalation.rule import Pair, second_job, second_retried
from pipeline.engine.reuse import Reuse
from pipeline.job.job import Job
from pipeline.ledger.store import Store
from pipeline.records import Prompt

Z = 1.96
"""Standard deviations within which 19 of 20 lie; the range is Wilson's."""

LEAST_ANSWERS = 20
"""Answers of the first model from which on their share is believed."""


class SecondForecast:
    """What is known of the first model's answers, and what follows from that for the second one."""

    def __init__(self, job: Job) -> None:
        self._job, self._second = job, second_job(job)
        self._reuse = Reuse(second_retried(job.options.retry))
        self._bills, self._waiting = Bills(self._second, Shape(self._second)), Sample()
        self._answered = self._unsure = 0

    def see(self, store: Store | None, answered: Sequence[tuple[Prompt, Pair]]) -> None:
        """Count prompts that the first model has *answered*."""
        known = {prompt.key: pair for prompt, pair in answered}
        prompts = [prompt for prompt, _ in answered]
        rows = escalated(self._job, store, prompts, known)
        self._answered += len(known)
        self._unsure += len(rows)
        for prompt in prompts:
            if (found := rows.get(prompt.key)) is None:
                continue
            if found.second is not None:
                self._bills.add(prompt, found.second[0])
            if found.second is None or not self._reuse.allows(*found.second):
                self._waiting.add(prompt.key, prompt.text)

    def of(self, store: Store | None, unanswered: Sample) -> Mapping[str, Any]:
        """Return what is put to the second model when the *unanswered* prompts have answers of the first one."""
        missing, waiting = unanswered.rows, self._waiting.rows
        if store is not None:
            self._bills.ask(store)
        is_known = not missing or self._answered >= LEAST_ANSWERS
        share = self._unsure / self._answered if self._answered else None
        low, high = (
            share_range(share, self._answered, missing) if share is not None and is_known else (0.0, 1.0)
        )
        counts = {
            "least": waiting + int(low * missing),
            "likely": waiting + round((share or 0) * missing) if is_known else None,
            "most": min(waiting + missing, waiting + round(high * missing + 0.5)),
        }
        a_text = (self._waiting.tokens + unanswered.tokens) / max(1, waiting + missing)
        costs = {name: self._cost(number, a_text) for name, number in counts.items()}
        return {
            "model": self._second.config.model.name,
            "below": self._job.config.escalate and self._job.config.escalate.below,
            "answered": self._answered,
            "unsure": self._unsure,
            "already": self._unsure - waiting,
            **{f"requests_{name}": number for name, number in counts.items()},
            **{f"cost_{name}_usd": cost for name, (cost, *_) in costs.items()},
            "cost_source": costs["most"][1],
            "seconds_most": costs["most"][2],
            "quota_tokens_most": costs["most"][3],
        }

    def _cost(self, requests: int | None, a_text: float) -> tuple[float | None, str | None, float, int]:
        """Return what *requests* about texts of so many tokens cost, by which price, how long they take, and what a quota counts."""
        if requests is None:
            return None, None, 0.0, 0
        config, configs, bills = self._second.config, self._second.config.each_endpoint(), self._bills
        again = requests * (1 + bills.again)
        prompt = round(bills.rates.billed(bills.shape.request(1, a_text), again))
        tokens = Tokens(prompt, round(prompt * bills.cached(1)), round(again * bills.reply(1)))
        price = bills.price(dearest(configs, tokens))
        counted = max(prompt, requests * config.model.max_tokens)
        seconds, _ = duration(configs, requests, counted)
        return (
            price.cost(*tokens) if price else None,
            price.source if price else None,
            round(seconds, 1),
            counted,
        )


def share_range(share: float, answered: int, missing: int) -> tuple[float, float]:
    """Return between which shares that of *missing* rows will lie, in 19 of 20 plans, if it was *share* of those *answered*."""
    # Those that were answered are a sample, and so are the others: both are off by chance.
    rows = answered * missing / (answered + missing) if missing else answered
    centre = (share + Z * Z / (2 * rows)) / (1 + Z * Z / rows)
    half = Z / (1 + Z * Z / rows) * sqrt(share * (1 - share) / rows + (Z / (2 * rows)) ** 2)
    return max(0.0, centre - half), min(1.0, centre + half)
