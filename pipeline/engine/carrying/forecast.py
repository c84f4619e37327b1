"""What `plan` says of labels that are carried over: which rows a run asks all the same, begun by a killed one or told to begin."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack

from pipeline.engine.carrying.old import OldAnswers
from pipeline.engine.carrying.terms import Asked, fixed, gone_on_with, is_asked, is_worth_it, most_rows
from pipeline.job.decisions import ConfiguredTask, nights_file
from pipeline.job.job import Job
from pipeline.job.previous import previous_of
from pipeline.ledger import opened
from pipeline.ledger.store import Store
from pipeline.outputs.columns import CARRIED
from pipeline.records import Answer, Answers, Prompt, Prompts
from pipeline.student.left_over import LeftOver
from pipeline.student.missed import drawn
from pipeline.student.store import FORCED, Night, StudentStore, opened_students

Learn = Callable[[Prompt, Answer], None]
"""Takes in what the answer to an earlier question about a prompt was billed."""


class CarryForecast:
    """The forecast of one plan; of `see`, `settle` and `open_kinds`, in this order, the first and the last see the whole table.

    Attributes:
        left_alone: How many prompts a killed run was about to leave alone.
    """

    def __init__(self, job: Job, held: ExitStack) -> None:
        """Open what is needed, until *held* is closed."""
        self._job, self.left_alone = job, 0
        self._ledger = held.enter_context(opened(job.config.state.dir))
        file = nights_file(job, CARRIED).with_suffix(".sqlite")
        self._store: StudentStore | None = None
        if file.exists():
            self._store = held.enter_context(opened_students(file))
        self._left = LeftOver(self._store) if self._store else None
        self._night: Night | None = None
        self._old: tuple[OldAnswers, Asked, Store | None] | None = None
        if job.options.previous is not None:
            old = OldAnswers(previous_of(job.options.previous))
            before = held.enter_context(opened(old.asked.config.state.dir))
            self._old = old, Asked.of(old.asked, job), before

    @property
    def previous(self) -> ConfiguredTask | None:
        """What an earlier config has asked whose labels are to be carried over."""
        return self._old[0].asked if self._old else None

    def see(self, prompts: Prompts) -> None:
        """Look for what is left over, in a first pass."""
        found = self._left.see(prompts.keys) if self._left and self._left.nights else {}
        if self._left and found:
            here = prompts.where(found.__contains__)
            aliases = self._job.task.aliases(zip(here.keys, here.texts, strict=True))
            known = _looked_up(self._ledger, [*found, *aliases]).under(aliases)
            self._left.count(found, known)

    def settle(self) -> None:
        """Find out which coins count, after the first pass.

        Raises:
            ConfigError: If a run would refuse to go on with what is left over.
        """
        left, job, asked = self._left, self._job, self._old and self._old[1]
        begun = gone_on_with(left, job, asked) if left else []
        if left and begun:
            kinds = left.kinds(most_rows(job))
            draw = drawn(kinds, job.config.carry)
            if is_worth_it(draw):
                self._night = Night("", left.secret, fixed(draw, kinds, begun, job, asked))

    def open_kinds(self, prompts: Sequence[Prompt], learn: Learn | None) -> Mapping[bytes, int | None]:
        """Return of those *prompts* that could keep labels what kind they are, or None if they do; all others are asked."""
        found: dict[bytes, int | None] = {}
        if self._store and (night := self._night):
            fallen = self._store.undecided([prompt.key for prompt in prompts])
            found = {
                each.key: None for each in fallen if not is_asked(night, each, float(night.facts["share"]))
            }
            self.left_alone += len(found)
            decided = {each.key for each in fallen}
            prompts = [prompt for prompt in prompts if prompt.key not in decided]
        if self._old is None:
            return found
        old, asked, before = self._old
        some = Prompts(
            [each.key for each in prompts], [each.text for each in prompts], [False] * len(prompts)
        )
        wanted = old.wanted(some)
        known = _looked_up(before, wanted.keys)
        answers = {wanted.new[key]: each for key, each in known.under(wanted.aliases).items()}
        for prompt in prompts:
            if learn is not None and prompt.key in answers:
                learn(prompt, answers[prompt.key])
        proposals = (asked.proposal(key, each) for key, each in old.labels(wanted, known).items())
        return found | {each.key: each.kind for each in proposals if each.kind != FORCED}

    def audited(self, kinds: Mapping[int, int]) -> Mapping[int, float]:
        """Return which share of the prompts of each kind an audit is going to ask, if there are so many of them."""
        if self._old is not None and self._old[1].renaming:
            return dict.fromkeys(kinds, 0.0)
        draw = drawn(kinds, self._job.config.carry)
        if not is_worth_it(draw):
            return dict.fromkeys(kinds, 1.0)
        # As `Draw.expected` has it: what is merged may have a share of its own.
        return {kind: draw.expected({kind: count}) / count for kind, count in kinds.items() if count}


def _looked_up(store: Store | None, keys: Sequence[bytes]) -> Answers:
    return store.look_up(keys) if store and keys else Answers.of(())
