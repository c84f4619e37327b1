"""The canary: rows that each run asks anew, to see whether the model still says what it said.

A hundred prompts are chosen when the job is first published, and stay. Their keys are hashes, so that the lowest ones
are a random choice. What is asked anew has a key of its own in each run: it is no row's answer, and is paid for.
The rows come first: once all of them have their answers, as many are asked anew as `limits.max_cost_usd` has money left for.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b

from pipeline.engine.resolver import Resolver
from pipeline.job.decisions import asked_anew, has_canary, save_canary
from pipeline.job.job import Job
from pipeline.ledger import Ledger
from pipeline.outputs.columns import KEY, SOURCE
from pipeline.outputs.parts import Parts
from pipeline.quality.drawing import Lowest
from pipeline.quality.gates import Share
from pipeline.records import KEY_BYTES, LABELLED, Answer, Prompts, Span
from pipeline.tasks.packs import place_in
from pipeline.tasks.parse import Parser
from pipeline.telemetry.summary import Side

log = logging.getLogger(__name__)

ROWS = 100
"""How many prompts are asked anew."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What the canary has found.

    Attributes:
        flips: How many of the rows that were asked anew got other labels; None if none was.
        side: What asking them has cost; None if it has cost nothing.
    """

    flips: Share | None = None
    side: Side | None = None

    def beside(self, other: Side | None) -> "Finding":
        """Return the finding of a run that has also paid *other* for answers that are no row's; None is nothing."""
        return replace(self, side=self.side.plus(other) if self.side and other else self.side or other)


Beside = Callable[[Mapping[bytes, bool]], None]
"""What is told which keys to ask about alone, and which among others."""


class Canary:
    """The canary of one run; without `gates.canary_flips` it has no rows."""

    def __init__(self, job: Job, run: str) -> None:
        self._job, self._run = job, run
        self._parser = Parser(job.config.task)
        self._chosen = asked_anew(job)
        self._met: dict[bytes, tuple[str | None, bool]] = {}
        self._found: Mapping[bytes, Sequence[str]] = {}

    def meet(self, prompts: Prompts) -> None:
        """Remember those of *prompts* that are to be asked anew."""
        for row, key in enumerate(prompts.keys if self._chosen else ()):
            if key is not None and key in self._chosen:
                self._met[key] = prompts.texts[row], prompts.truncated[row]

    def unmet(self, parts: Parts, spans: Iterable[Span]) -> list[Span]:
        """Return those of *spans*, which an earlier execution has done, that hold prompts to ask anew. Runs in a thread."""
        if not self._chosen:
            return []
        wanted = self._chosen.keys() - self._met.keys()
        return [
            span for span in spans if not wanted.isdisjoint(parts.read(span, [KEY]).column(0).to_pylist())
        ]

    async def ask(self, resolver: Resolver, beside: Beside | None = None) -> None:
        """Ask anew about the prompts that were met, each as it was asked before, as far as the run's budget goes."""
        if not self._met or self._job.options.offline:
            return
        of_run = {_key_in(self._run, key): prompt for key, prompt in self._met.items()}
        if beside is not None:
            texts, truncated = zip(*self._met.values(), strict=True)
            rows = await resolver.known(Prompts(list(self._met), list(texts), list(truncated)))
            places = {key: place_in(rows[key].request_id) for key in self._met if key in rows}
            beside({_key_in(self._run, key): place is None for key, place in places.items()})
        known = await resolver.ledger.look_up(list(of_run))
        left = [key for key in of_run if key not in known]
        while left:
            texts, truncated = zip(*(of_run[key] for key in left), strict=True)
            # What the first ones cost tells how many more there is money for.
            some = await resolver.affordable(Prompts(left, list(texts), list(truncated)))
            if not len(some):
                break
            await resolver.resolve(some, counts=False)
            left = left[len(some) :]
        if left:
            log.warning(
                "gates.canary_flips: %s of %s rows are asked anew; limits.max_cost_usd has nothing left for more",
                f"{len(of_run) - len(left):,}", f"{len(of_run):,}",
            )  # fmt: skip

    async def finding(self, ledger: Ledger) -> Finding:
        """Return what the rows that were asked anew have got, whichever execution of the run has asked them."""
        if not self._chosen:
            return Finding()
        before = {_key_in(self._run, key): labels for key, labels in self._chosen.items()}
        answers = await ledger.look_up(list(before))
        outcomes = {answer.key: self._parser.outcome(answer) for answer in answers.values()}
        self._found = {key: found.labels for key, found in outcomes.items() if found.status in LABELLED}
        # One that gets no label any more has changed its mind, too.
        same = sum(set(labels) == set(before[key]) for key, labels in self._found.items())
        flips = Share(len(outcomes) - same, len(outcomes)) if outcomes else None
        return Finding(flips, bill(answers.values()) if answers else None)

    def choose(self, parts: Parts, spans: Iterable[Span]) -> None:
        """Choose the rows for the runs to come, if this is the first, from those that have labels. Runs in a thread.

        They are chosen anew once half of them have left the table. What was published although the gate was closed is what
        the next runs compare with.

        Raises:
            OSError: If they cannot be stored.
        """
        if not has_canary(self._job):
            return
        if self._chosen and 2 * len(self._met) >= len(self._chosen):
            if self._job.options.anyway:
                now = {
                    key: self._found.get(_key_in(self._run, key), labels)
                    for key, labels in self._chosen.items()
                }
                save_canary(self._job.config.state.dir, self._job.task.fingerprint, now)
            return
        if self._chosen:
            log.warning("the canary's rows have left the table; the next run asks others anew")
        single = self._job.config.task.kind == "single"
        lowest = Lowest[Sequence[str]](ROWS)
        for span in spans:
            part = parts.read(span, [KEY, "label_status", SOURCE, "label" if single else "labels"])
            keys, statuses, sources, labels = (column.to_pylist() for column in part.columns)
            for key, status, source, found in zip(keys, statuses, sources, labels, strict=True):
                if status in LABELLED and source is None and lowest.wants(key):  # the model's own
                    lowest.add(key, [found] if single else found)
        if lowest:
            save_canary(self._job.config.state.dir, self._job.task.fingerprint, lowest.first(ROWS))


def _key_in(run: str, key: bytes) -> bytes:
    """Return the key of an answer that *run* orders anew for the prompt with *key*; it is looked up for no row."""
    return blake2b(b"canary\0" + key + run.encode(), digest_size=KEY_BYTES).digest()


def bill(answers: Iterable[Answer]) -> Side:
    """Return what *answers* have cost that are no row's; those of one request count as one."""
    bills = list(answers)
    shared = {place.request for place in (place_in(bill.request_id) for bill in bills) if place}
    costs = [bill.cost_usd for bill in bills if bill.cost_usd is not None]
    return Side(
        requests=sum(alone.attempts for alone in bills if not place_in(alone.request_id)) + len(shared),
        prompt_tokens=sum(bill.prompt_tokens or 0 for bill in bills),
        cached_tokens=sum(bill.cached_tokens or 0 for bill in bills),
        completion_tokens=sum(bill.completion_tokens or 0 for bill in bills),
        cost_usd=sum(costs) if costs else None,
    )
