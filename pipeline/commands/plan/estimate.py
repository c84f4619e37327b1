"""From what was counted to requests, tokens, dollars and time."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from pipeline.commands.plan.costs import (
    SECONDS_PER_REQUEST,
    Costs,
    Tokens,
    costs_of,
    dearest,
    duration,
    lasting,
)
from pipeline.commands.plan.counting import Counts
from pipeline.engine.finish.remedies import Load, Outlook, Speed, per_minute
from pipeline.engine.finish.watch import outlook
from pipeline.engine.packing.planned import Planned, planned
from pipeline.figures import count
from pipeline.job.job import Job
from pipeline.job.kept.history import latest_latency
from pipeline.llm.pricing import Price

DOUBT, DOUBT_OF_GUESS = 0.05, 0.15
"""How far a range reaches past what is expected of its ends: after answers of this job, and before."""


PACES = {
    "batch": "handed in as batches, which may take up to 24 h,",
    "processor": "with the embedded model on two cores",
}


class Estimate:
    """The estimate of one plan.

    Attributes:
        job: The job.
        counts: What was counted.
        sent: What is sent once.
        asked_again: Requests that ask once more.
        requests: All requests.
        tokens: What they are billed.
    """

    def __init__(self, job: Job, counts: Counts) -> None:
        self.job, self.counts = job, counts
        self.sent = planned(job, counts.missing.rows, counts.compared, counts.strangers)
        self.tokens, again = self._billed(self.sent, counts.missing.mean)
        self.asked_again = round(self.sent.requests * again)
        self.requests = self.sent.requests + self.asked_again

    def _billed(self, sent: Planned, mean: float) -> tuple[Tokens, float]:
        """Return what is billed to send so much about texts that have so many tokens each; and the share that is asked again."""
        bills = self.counts.bills
        rates, shape, again = bills.rates, bills.shape, bills.again
        alone = rates.billed(shape.request(1, mean), sent.alone * (1 + again))
        cached, completion, packed = alone * bills.cached(1), sent.alone * (1 + again) * bills.reply(1), 0.0
        if sent.packs:
            rows = max(1, round(sent.packed / sent.packs))
            packed = rates.billed(shape.request(rows, rows * mean), sent.packed / rows * (1 + again))
            cached += packed * bills.cached(rows)
            completion += sent.packed / rows * (1 + again) * bills.reply(rows)
        return Tokens(round(alone + packed), round(cached), round(completion)), again

    @property
    def completion_source(self) -> str:
        """What the tokens of the replies are from."""
        bills = self.counts.bills
        return bills.packed_replies.source if bills.packed_replies.replies else bills.replies.source

    @cached_property
    def price(self) -> Price | None:
        """The price of a token, one by one."""
        return self.counts.bills.price(dearest(self.job.config.each_endpoint(), self.tokens))

    @cached_property
    def costs(self) -> Costs:
        """What all of it costs."""
        return costs_of(self.job.config.model, self.price, self.tokens)

    @cached_property
    def latency(self) -> float | None:
        """Seconds that a reply has taken in the latest run; None if there was none."""
        return latest_latency(self.job.workspace, self.job.task.fingerprint.hex())

    @cached_property
    def _lasting(self) -> tuple[float, str]:
        model, configs = self.job.config.model, self.job.config.each_endpoint()
        live = duration(configs, self.requests, self.quota_tokens, self.latency)
        return lasting(model.lane, self.requests, live)

    @property
    def quota_tokens(self) -> int:
        """What counts against a limit of tokens, as the run counts it, too."""
        asked = self.sent.asked + self.asked_again
        return max(self.tokens.prompt, asked * self.job.config.model.max_tokens)

    @property
    def seconds(self) -> float:
        """How long it takes."""
        return self._lasting[0]

    @property
    def bound(self) -> str:
        """The limit that determines that."""
        return self._lasting[1]

    def finish(self, now: float) -> Outlook | None:
        """Return whether a run that begins *now* is done in time; None if there is no such time."""
        limits, model = self.job.config.limits, self.job.config.model
        due = limits.due(now)
        if due is None:
            return None
        if self.counts.second and self.counts.second["seconds_most"] > self.seconds:
            return self._finish_of_second(self.counts.second, now, due)
        if self.bound in {"batch", "processor"} or model.endpoints:
            configs = self.job.config.each_endpoint()
            live = now + duration(configs, self.requests, self.quota_tokens, self.latency)[0]
            would: tuple[str, ...] | None = None if model.endpoints else ()
            if self.bound == "batch" and live <= due < now + self.seconds:
                would = ("model.lane: live",)
            return Outlook(
                due, now + self.seconds, PACES.get(self.bound, "at the limits of all endpoints"), would
            )
        latency = self.latency or SECONDS_PER_REQUEST
        speed = Speed(limits.requests_per_minute, limits.tokens_per_minute, limits.max_concurrency, latency)
        pace = per_minute(60 * self.requests / self.seconds) if self.seconds else "with nothing to ask"
        load = Load(self.requests, self.quota_tokens)
        return outlook(self.job, speed, load, now=now, due=due, pace=pace)

    def _finish_of_second(self, second: Mapping[str, Any], now: float, due: float) -> Outlook:
        """Return the same where the second model, which is asked side by side with the first one, is the last."""
        config, seconds, remedies = self.job.config.second, second["seconds_most"], None
        assert config is not None, "the job has a second model"  # noqa: S101
        # Raising its own limits is of no use where the first one is late, too.
        helps = self.seconds <= due - now < seconds
        if helps and config.model.provider != "local" and not config.model.endpoints:
            limits, load = config.limits, Load(second["requests_most"], second["quota_tokens_most"])
            rpm, tpm, most = limits.requests_per_minute, limits.tokens_per_minute, limits.max_concurrency
            raised = Speed(rpm, tpm, most, SECONDS_PER_REQUEST).raised(load, due - now)
            remedies = tuple(f"escalate.{each}" for each in raised)
        pace = f"if {count(second['requests_most'], 'row')} are put to {second['model']},"
        return Outlook(due, now + seconds, pace, remedies)

    @property
    def canary_usd(self) -> float | None:
        """What it costs to ask the canary's rows anew."""
        canary = self.counts.canary
        tokens, _ = self._billed(Planned(1, 0, 0, canary.rows, 0), canary.mean)
        return self.price.cost(*tokens) if self.price else None

    @property
    def student(self) -> Mapping[str, Any] | None:
        """What the student may spare, in requests, tokens, dollars and seconds."""
        counts, missing = self.counts, self.counts.missing.rows
        found: dict[str, Any] | None = counts.student and counts.student.of(counts.answered, missing)
        if not found or not missing:
            return found
        doubt = DOUBT if counts.bills.answers else DOUBT_OF_GUESS
        whole = {
            "prompt_tokens": self.tokens.prompt, "completion_tokens": self.tokens.completion,
            "cost_usd": self.costs.own, "seconds": self.seconds,
        }  # fmt: skip
        for end, stretched in (("least", 1 - doubt), ("most", 1 + doubt)):
            share = found[f"requests_{end}"] / missing * stretched
            found |= {
                f"{name}_{end}": value if value is None else type(value)(value * share)
                for name, value in whole.items()
            }
        return found
