"""What a run would put to the second model: certain of the rows that are answered, a range of those that are not."""

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.commands.plan.costs import dearest, duration
from pipeline.commands.plan.reply_tokens import ReplyTokens
from pipeline.engine.escalation.known import escalated
from pipeline.engine.escalation.rule import Pair
from pipeline.engine.escalation.second import second_job
from pipeline.job.job import Job
from pipeline.ledger.store import Store
from pipeline.quality.intervals import wilson
from pipeline.records import Prompt
from pipeline.tasks.tokens import CHAT_TOKENS, estimate_tokens

LEAST_ANSWERS = 20
"""Answers of the first model from which on their share is believed."""


class SecondForecast:
    """What is known of the first model's answers, and what follows from that for the second one."""

    def __init__(self, job: Job) -> None:
        self._job, self._second = job, second_job(job)
        self._replies = ReplyTokens()
        self._answered = self._unsure = self._waiting = self._tokens = 0

    def see(self, store: Store | None, answered: Sequence[tuple[Prompt, Pair]]) -> None:
        """Count prompts that the first model has *answered*."""
        known = {prompt.key: pair for prompt, pair in answered}
        prompts = [prompt for prompt, _ in answered]
        rows = escalated(self._job, store, prompts, known)
        self._answered += len(known)
        self._unsure += len(rows)
        for each in rows.values():
            if each.second is not None:
                self._replies.add(each.second[0])
        open_rows = [prompt for prompt in prompts if prompt.key in rows and rows[prompt.key].second is None]
        self._waiting += len(open_rows)
        self._tokens += sum(estimate_tokens(prompt.text) for prompt in open_rows)

    def of(self, store: Store | None, missing: int, missing_tokens: int) -> Mapping[str, Any]:
        """Return what is put to the second model when *missing* more prompts, whose texts have *missing_tokens*, are answered."""
        if store is not None:
            self._replies.ask(store, self._second.config.model)
        low, high = wilson(self._unsure, self._answered) if self._answered else (0.0, 1.0)
        is_known = not missing or self._answered >= LEAST_ANSWERS
        low, high = (low, high) if is_known else (0.0, 1.0)
        share = self._unsure / self._answered if self._answered else None
        counts = {
            "least": self._waiting + int(low * missing),
            "likely": self._waiting + round((share or 0) * missing) if is_known else None,
            "most": min(self._waiting + missing, self._waiting + round(high * missing + 0.5)),
        }
        a_text = (self._tokens + missing_tokens) / max(1, self._waiting + missing)
        costs = {name: self._cost(number, a_text) for name, number in counts.items()}
        return {
            "model": self._second.config.model.name,
            "below": self._job.config.escalate and self._job.config.escalate.below,
            "answered": self._answered,
            "unsure": self._unsure,
            "already": self._unsure - self._waiting,
            **{f"requests_{name}": number for name, number in counts.items()},
            **{f"cost_{name}_usd": cost for name, (cost, _, _) in costs.items()},
            "cost_source": costs["most"][1],
            "seconds_most": costs["most"][2],
        }

    def _cost(self, requests: int | None, a_text: float) -> tuple[float | None, str | None, float]:
        """Return what *requests* cost, whose texts have so many tokens each, where the price is from, and how long they take."""
        if requests is None:
            return None, None, 0.0
        config, configs = self._second.config, self._second.config.each_endpoint()
        prefix = estimate_tokens(self._second.task.system) + CHAT_TOKENS
        prompt = round(requests * (prefix + a_text))
        completion = self._replies.of(requests, config.model.max_tokens)
        price = dearest(configs, prompt, completion)
        quota = max(prompt, requests * config.model.max_tokens)
        seconds, _ = duration(configs, requests, quota)
        cost = price.cost(prompt, 0, completion) if price else None
        return cost, price.source if price else None, round(seconds, 1)
