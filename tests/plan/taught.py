"""Ten tables for a student, from plain to hopeless, and whether the range of a plan holds their bill."""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pipeline
from pipeline.config.simulate.latency import Fixed
from tests.faultserver.server import FaultServer
from tests.faultserver.settings import FaultServerSettings
from tests.plan.promise import job_about
from tests.plan.tables import SECTIONS, Table
from tests.plan.till import Till

ROWS, AUDITS, ANSWERS = 2_400, 150, 500
COMMON = [
    "the",
    "a",
    "of",
    "for",
    "with",
    "and",
    "to",
    "in",
    "is",
    "it",
    "this",
    "program",
    "tool",
    "library",
    "support",
    "files",
    "data",
    "small",
    "simple",
    "user",
    "new",
]


@dataclass(frozen=True, slots=True)
class Range:
    """What a plan has said of a student, and what came.

    Attributes:
        least: Requests, at least.
        most: Requests, at most.
        requests: What was asked.
        usd: The bill, with the ends of its range before and after it.
    """

    least: int
    most: int
    requests: int
    usd: tuple[float, float, float]

    @property
    def holds(self) -> bool:
        """Whether the ranges of requests and of dollars hold what came."""
        return self.least <= self.requests <= self.most and self.usd[0] <= self.usd[1] <= self.usd[2]


class Model:
    """Labels rows by their words; some by nothing that anybody could learn."""

    def __init__(self, seed: int, hard: float, words: int) -> None:
        random = Random(seed)
        self._hard, self._names = hard, [name for name, _ in SECTIONS]
        self._words = {
            name: [f"{name[:2]}{random.getrandbits(20):x}" for _ in range(words)] for name in self._names
        }
        self._random = random

    def rows(self) -> Iterator[str]:
        """Yield the rows of a table."""
        for row in range(ROWS):
            name = self._random.choice(self._names)
            said = self._random.choices(self._words[name], k=3) + self._random.choices(COMMON, k=8)
            self._random.shuffle(said)
            yield f"{' '.join(said)} n{row}"

    def __call__(self, text: str) -> str:
        number = zlib.crc32(text.encode())
        if number % 1_000 < 1_000 * self._hard:
            return self._names[number // 1_000 % len(self._names)]
        return next(name for name, words in self._words.items() if set(words) & set(text.split()))


def ranges(folder: Path, *, answers: int) -> Iterator[Range]:
    """Yield what comes of the student on each table, after so many answers."""
    for number in range(10):
        model = Model(number, hard=0.005 * number, words=10 + 60 * (number % 3))
        yield _range(Table(str(number), list(model.rows()), SECTIONS), model, folder / str(number), answers)


def _range(table: Table, model: Model, folder: Path, answers: int) -> Range:
    settings = FaultServerSettings(keep_entries=False, count_repeats=False, latency=Fixed(0.002))
    till = Till(table)
    folder.mkdir(parents=True)
    with FaultServer(settings, label_for=model) as server:
        server.when(lambda _: True, till)
        job = job_about(table, folder, server.base_url)
        if answers:
            pipeline.run(job.config(), pipeline.RunOptions(sample=answers))
        job.set(student={"target": 0.95, "audits": AUDITS, "answers": ANSWERS})
        said, before = pipeline.plan(job.config()).student, till.bill
        assert said is not None
        pipeline.run(job.config())
    requests, usd = int(till.bill[0] - before[0]), till.bill[3] - before[3]
    return Range(
        said["requests_least"],
        said["requests_most"],
        requests,
        (said["cost_usd_least"], usd, said["cost_usd_most"]),
    )
