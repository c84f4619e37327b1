"""What an earlier config has found for prompts: its answers in the ledger, and those that it had from others in turn."""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from pipeline.engine.student.known import stand_ins
from pipeline.job.decisions import ConfiguredTask, load_calibration
from pipeline.ledger import Ledger, opened
from pipeline.records import LABELLED, Answer, Answers, Outcome, Prompts
from pipeline.system.threads import Threads
from pipeline.tasks.parse import Parser

LookUp = Callable[[Sequence[bytes]], Awaitable[Answers]]


class OldLabels(NamedTuple):
    """The labels of one prompt under an earlier config.

    Attributes:
        labels: Its labels, under their old names.
        confidence: How sure the model was of them; None if that is not known.
        run: The run that has found them.
        model: The model that has.
    """

    labels: tuple[str, ...]
    confidence: float | None
    run: str
    model: str


class Wanted(NamedTuple):
    """What is looked up for some prompts.

    Attributes:
        new: The new key of each old one.
        aliases: The old key of each key that is as good.
    """

    new: Mapping[bytes, bytes]
    aliases: Mapping[bytes, bytes]

    @property
    def keys(self) -> list[bytes]:
        """All of them."""
        return [*self.new, *self.aliases]


class OldAnswers:
    """The answers to an earlier config, by the keys that it has given to the same texts."""

    def __init__(self, old: ConfiguredTask) -> None:
        self.asked = old
        calibration = load_calibration(old.config.state.dir, old.task.fingerprint)
        self._parser = Parser(old.config.task, calibration)

    def wanted(self, prompts: Prompts) -> Wanted:
        """Return what is to be looked up for *prompts* in the earlier config's ledger."""
        task, texts = self.asked.task, prompts.texts
        keys = task.keys(texts)
        new = {old: key for old, key in zip(keys, prompts.keys, strict=True) if old is not None and key}
        return Wanted(new, task.aliases(zip(keys, texts, strict=True)))

    def labels(self, wanted: Wanted, known: Answers) -> Mapping[bytes, OldLabels]:
        """Return the old labels of those *wanted* prompts that had some, by their new keys; *known* is what was looked up."""
        answers = known.under(wanted.aliases)
        found = {key: _old(answer, self._parser.outcome(answer)) for key, answer in answers.items()}
        others = stand_ins(self.asked, [key for key in wanted.new if key not in answers])
        found |= {key: _old(*pair) for key, pair in others.items()}
        return {wanted.new[key]: old for key, old in found.items() if old is not None}


@contextmanager
def looking_up(old: ConfiguredTask, ledger: Ledger, state: Path, threads: Threads) -> Iterator[LookUp]:
    """Open the ledger of *old* while the block runs; if it is the one in *state*, that is *ledger*, open already."""
    if old.config.state.dir == state:
        yield ledger.look_up
        return
    with opened(old.config.state.dir) as store:

        async def look_up(keys: Sequence[bytes]) -> Answers:
            return Answers.of(()) if store is None else await threads.run(store.look_up, keys)

        yield look_up


def _old(answer: Answer, outcome: Outcome) -> OldLabels | None:
    if outcome.status not in LABELLED:
        return None
    return OldLabels(outcome.labels, outcome.confidence, answer.run, answer.model or "")
