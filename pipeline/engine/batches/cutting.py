"""Cutting: prompts go into files that are small enough for the provider, and into the book."""

from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple, Self
from uuid import uuid4

from pipeline.llm.batch.book import FOLDER, Book, Submission
from pipeline.llm.batch.lines import MOST_BYTES, MOST_LINES, request_line
from pipeline.llm.dispatcher import Dispatcher
from pipeline.records import Prompt
from pipeline.system.atomic import make_private
from pipeline.system.clock import Clock
from pipeline.system.threads import Threads
from pipeline.tasks.tokens import BYTES_PER_TOKEN, estimate_tokens


class Money(NamedTuple):
    """What batches may cost.

    Attributes:
        left_usd: The money that is left; None for no limit.
        surroundings: Tokens of a request beside its prompt's text, at most; None if that is not known.
    """

    left_usd: float | None = None
    surroundings: int | None = None


class Cutter:
    """Writes files of requests; each that is full is in the book, and is to be handed in.

    Attributes:
        made: What was written: the submission, its file and the size of that.
        is_short: Whether prompts were left out because there may be no money for them.
    """

    def __init__(
        self, asker: Dispatcher, book: Book, state: Path, about: Submission, money: Money, *,
        most_lines: int = MOST_LINES, clock: Clock, threads: Threads,
    ) -> None:  # fmt: skip
        """Begin to cut.

        Args:
            asker: Knows how a prompt is asked, and what that may cost.
            book: The book.
            state: The state directory.
            about: Who pays and who is asked.
            money: What it may cost.
            most_lines: The most lines of a file.
            clock: The time.
            threads: Where files are written.
        """
        self._asker, self._book, self._about, self._clock = asker, book, about, clock
        self._threads = threads
        self._folder, self._most_lines = state / FOLDER, min(most_lines, MOST_LINES)
        self._left, self._surroundings = money
        self._file: BinaryIO | None = None
        self._keys: set[bytes] = set()
        self._name, self._size, self._bound = "", 0, 0.0
        self.made: list[tuple[Submission, Path, int]] = []
        self.is_short = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:  # it was not finished, and no book names it
            self._file.close()

    @property
    def lines(self) -> int:
        """How many prompts are in the file that is being written."""
        return len(self._keys)

    async def add(self, prompts: Sequence[Prompt]) -> None:
        """Take *prompts*, each of which is asked about nowhere else."""
        if prompts and not self.is_short:
            await self._threads.run(self._add, prompts)

    async def end(self) -> None:
        """Close the last file."""
        await self._threads.run(self._close)

    def _add(self, prompts: Sequence[Prompt]) -> None:
        negotiator = self._asker.negotiator
        for prompt in prompts:
            bound = self._bound_usd(prompt)
            if self._left is not None and bound > self._left:
                self.is_short = True
                return
            line = request_line(prompt.key, negotiator.body(prompt.text, negotiator.form, again=False))
            if len(self._keys) == self._most_lines or self._size + len(line) > MOST_BYTES:
                self._close()
            if self._file is None:
                self._name = uuid4().hex
                make_private(self._folder)
                self._file = (self._folder / self._name).open("wb")
            self._file.write(line)
            self._keys.add(prompt.key)
            self._size += len(line)
            self._bound += bound
            if self._left is not None:
                self._left -= bound

    def _bound_usd(self, prompt: Prompt) -> float:
        """Return what a prompt may cost at most; 0 where that does not matter."""
        price = self._asker.billing.batch_price
        if self._left is None or price is None:
            return 0.0
        tokens = self._asker.estimate.bound(prompt.text)
        if self._surroundings is not None:
            tokens = min(tokens, self._surroundings + BYTES_PER_TOKEN * estimate_tokens(prompt.text))
        return price.cost(tokens, 0, self._asker.negotiator.form.ceiling)

    def _close(self) -> None:
        """Close the file, and write into the book what it asks about."""
        if self._file is None:
            return
        self._file.close()
        submission = self._about._replace(
            intent=self._name, lines=len(self._keys), bound_usd=self._bound, written_at=self._clock.wall()
        )
        self._book.add(submission, self._keys)
        self.made.append((submission, self._folder / self._name, self._size))
        self._file, self._keys, self._size, self._bound = None, set(), 0, 0.0
