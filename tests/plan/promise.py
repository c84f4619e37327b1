"""What a plan has said, and what was billed then: one table at a time."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pipeline
from pipeline.config.simulate.latency import Fixed
from tests.faultserver.server import FaultServer
from tests.faultserver.settings import FaultServerSettings
from tests.jobs import JobFiles
from tests.plan.tables import Table
from tests.plan.till import PRICE, Till

SOME = 20
"""Answers after which a plan has to be right."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A plan beside its bill.

    Attributes:
        plan: What was said.
        requests: What came, billed ones.
        prompt_tokens: Of the prompts.
        completion_tokens: Of the replies.
        usd: Together.
    """

    plan: pipeline.Plan
    requests: int
    prompt_tokens: int
    completion_tokens: int
    usd: float

    @property
    def error(self) -> float:
        """How far the dollars are off, as a share of the bill: above 0 where too much was said."""
        return (self.plan.cost_usd or 0.0) / self.usd - 1

    @property
    def errors(self) -> Mapping[str, float]:
        """The same of all that was said."""
        return {
            "requests": self.plan.requests / self.requests - 1,
            "prompt": self.plan.prompt_tokens / self.prompt_tokens - 1,
            "completion": self.plan.completion_tokens / self.completion_tokens - 1,
            "usd": self.error,
        }


def job_about(table: Table, folder: Path, url: str, **model: Any) -> JobFiles:
    """Return the job of *table*, asked at *url*."""
    job = JobFiles(folder, url)
    job.settings["task"]["labels"] = [{"name": name, "description": about} for name, about in table.labels]
    job.settings["task"]["instructions"] = (
        "Choose what describes the text best. If in doubt, choose what a reader would look for first."
    )
    job.set(task=table.task, model={"price": PRICE, **table.model, **model}, output={"report": False})
    job.table(list(table.rows))
    return job


def kept(
    table: Table,
    folder: Path,
    *,
    answers: int = 0,
    then: Mapping[str, Any] | None = None,
    **model: Any,
) -> Kept:
    """Plan and run the job about *table*, after so many *answers*, and compare.

    Args:
        table: The table.
        folder: For the job.
        answers: Rows that are answered before.
        then: What of the config's section `model` is different after these.
        model: What of it is different from the beginning.
    """
    settings = FaultServerSettings(keep_entries=False, count_repeats=False, latency=Fixed(0.002))
    till = Till(table)
    folder.mkdir(parents=True, exist_ok=True)
    with FaultServer(settings) as server:
        server.when(lambda _: True, till)
        job = job_about(table, folder, server.base_url, **model)
        if answers:
            pipeline.run(job.config(), pipeline.RunOptions(limit=answers))
        job.set(model=then or {})
        planned, before = pipeline.plan(job.config()), till.bill
        pipeline.run(job.config())
        requests, prompt, completion, usd = (b - a for a, b in zip(before, till.bill, strict=True))
    return Kept(planned, int(requests), int(prompt), int(completion), usd)
