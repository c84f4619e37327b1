"""A job whose answers are in its ledger, without a server: what the tests of judging commands need."""

import json
from collections.abc import Sequence
from math import log
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import polars as pl

from pipeline.commands.answered import readable
from pipeline.inputs.read import read_chunks
from pipeline.inputs.source import all_spans
from pipeline.ledger import open_store
from pipeline.records import Status
from tests.answers import answer
from tests.jobs import LABELS, JobFiles


class Reply(NamedTuple):
    """What the model said about a row."""

    labels: str | Sequence[str] = ()
    confidence: float | None = None
    status: Status | None = None
    cost: float | None = 0.001


NO_REPLY = None
"""A row that is not answered yet."""

TICKETS = {
    "games": "The level does not load after the update of {n}, my save game is gone",
    "sound": "No audio on channel {n}; the recorder only plays noise",
    "graphics": "Export of {n} pictures as PNG gives black images",
    "science": "The fit of the spectrum diverges with {n} peaks",
    "mail": "Filter {n} moves every e-mail of the list to spam",
}


def jobs_without_server(folder: Path, **task: Any) -> JobFiles:
    """A job that asks nobody, as nobody is there."""
    job = JobFiles(folder, "http://127.0.0.1:9/v1")
    job.set(task=task, input={"id": "id"}, model={"name": "test-model"})
    return job


def answer_rows(job: JobFiles, replies: Sequence[Reply | None]) -> None:
    """Put the replies about the rows of *job* into its ledger."""
    config = job.config()
    with readable(config) as made, open_store(config.state.dir) as store:
        columns = made.config.task.columns
        chunks = read_chunks(made.source, columns, all_spans(made.source))
        keys = [key for chunk in chunks for key in made.task.prompts(chunk.columns).keys]
        pairs = zip(keys, replies, strict=True)
        store.append([_answer(key, reply) for key, reply in pairs if key is not None and reply is not None])


def _answer(key: bytes, reply: Reply) -> Any:
    if reply.status is not None:
        return answer(key=key, text=None, status=reply.status, error="it failed", cost_usd=reply.cost)
    single = isinstance(reply.labels, str)
    text = json.dumps({"label": reply.labels} if single else {"labels": list(reply.labels)})
    sure = None if reply.confidence is None else json.dumps(_tokens(text, reply), separators=(",", ":"))
    return answer(key=key, text=text, logprobs=sure, cost_usd=reply.cost)


def _tokens(text: str, reply: Reply) -> list[tuple[str, float]]:
    """The reply's tokens: all but the first label are certain."""
    first = reply.labels if isinstance(reply.labels, str) else next(iter(reply.labels), "")
    before, name, after = text.partition(first) if first else (text, "", "")
    return [(before, 0.0), (name, log(reply.confidence or 1e-9)), (after, 0.0)]


def tickets(count: int, *, seed: int = 7, right: float = 0.8) -> tuple[pl.DataFrame, list[Reply]]:
    """A table of support tickets, skewed, with the right label in `gold`, and a model's replies that are mostly right."""
    random = Random(seed)
    gold = random.choices(LABELS, [50, 25, 15, 8, 2], k=count)
    frame = pl.DataFrame({
        "id": [f"T-{n:05}" for n in range(count)],
        "text": [TICKETS[name].format(n=n) for n, name in enumerate(gold)],
        "gold": gold,
    })  # fmt: skip
    replies = []
    for name in gold:
        is_right = random.random() < right
        others = [each for each in LABELS if each != name]
        sure = random.uniform(0.6, 0.99) if is_right else random.uniform(0.4, 0.97)
        replies.append(Reply(name if is_right else random.choice(others), sure))
    return frame, replies
