"""What the simulator was asked, what it sent, and what a provider would have billed."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from io import FileIO
from mmap import mmap
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Entry:
    """One request that was answered, or that never will be.

    Attributes:
        at: Unix time in seconds at which it had arrived in full.
        key: Hex of the 128-bit blake2b of the user message; empty where there was none.
        text: The row's text; empty where there was none.
        again: Whether the same text was asked before in another message: the stricter, second ask.
        status: HTTP status sent; 0 where none was.
        fault: Name of the `config.faults.Fault`, another reason why no right answer was sent, or None.
        billed: Whether a whole answer was made, even if its bytes were broken afterwards.
        prompt_tokens: Billed tokens of the input; 0 where nothing was billed.
        completion_tokens: Billed tokens of the output.
        latency_seconds: From the request's last byte to the reply's first.
    """

    at: float
    key: str
    text: str
    again: bool
    status: int
    fault: str | None
    billed: bool
    prompt_tokens: int
    completion_tokens: int
    latency_seconds: float


SLOTS = 1 << 22
MOST_KEYS = SLOTS // 4 * 3

RECENT_TEXTS = 1 << 16
"""A second ask about a text follows the first one soon: it comes from the same run."""


class RepeatCounter:
    """Counts the keys that come more than once, in 32 MB, however many there are.

    Attributes:
        repeats: How many; None once there were more keys than fit.
    """

    def __init__(self) -> None:
        self.repeats: int | None = 0
        self._keys = 0
        # A hash table with open addressing: half a key in each slot, whose last bit says that it came twice.
        self._slots = memoryview(mmap(-1, 8 * SLOTS)).cast("Q")

    def add(self, key: str) -> None:
        """Count *key*, 128 bits in hex."""
        if self.repeats is None:
            return
        slots, mark, at = self._slots, int(key[:16], 16) | 1, int(key[16:], 16) % SLOTS
        while slots[at] | 1 != mark:
            if not slots[at]:
                self._take(at, mark)
                return
            at = (at + 1) % SLOTS
        if not slots[at] & 1:
            slots[at] = mark
            self.repeats += 1

    def _take(self, at: int, mark: int) -> None:
        if self._keys == MOST_KEYS:
            self.repeats = None
        else:
            self._keys += 1
            self._slots[at] = mark - 1


class Log:
    """Counts entries and, if there is a path, appends them to a file.

    Attributes:
        requests: How many there were.
        chats: How many of them asked for a completion; the others are about models, or unreadable.
        billed: How many of them were billed.
        prompt_tokens: Sum over the billed ones.
        completion_tokens: Sum over the billed ones.
        reasons: How many requests got no right answer for each reason, by `Entry.fault`.
        on_failure: Called once when the file can no longer be written; if None, the error is raised.
    """

    def __init__(self, path: Path | None = None, *, count_repeats: bool = True) -> None:
        self.requests = self.chats = self.billed = self.prompt_tokens = self.completion_tokens = 0
        self.reasons: Counter[str] = Counter()
        self.on_failure: Callable[[OSError], None] | None = None
        self._counter = RepeatCounter() if count_repeats else None
        # Unbuffered: each line is one write, so a killed server leaves whole lines.
        self._file = path.open("ab", buffering=0) if path else None
        self._marks_second_asks = count_repeats or path is not None
        self._wordings: dict[int, int] = {}

    @property
    def repeats(self) -> int | None:
        """Keys that were billed more than once; None where that was not counted, or for too many keys."""
        return self._counter.repeats if self._counter else None

    def is_again(self, text: str, content: str) -> bool:
        """Return whether *text* was asked recently in another user message; False if this is not tracked."""
        if not self._marks_second_asks:
            return False
        wording = hash(content)
        is_again = self._wordings.setdefault(hash(text), wording) != wording
        if len(self._wordings) > RECENT_TEXTS:
            del self._wordings[next(iter(self._wordings))]
        return is_again

    def add(self, entry: Entry) -> None:
        """Count *entry* and write it."""
        self.requests += 1
        self.chats += entry.key != ""
        self.billed += entry.billed
        self.prompt_tokens += entry.prompt_tokens
        self.completion_tokens += entry.completion_tokens
        if entry.fault is not None:
            self.reasons[entry.fault] += 1
        if entry.billed and self._counter is not None:
            self._counter.add(entry.key)
        if self._file is not None:
            self._write(self._file, entry)

    def _write(self, file: FileIO, entry: Entry) -> None:
        try:
            file.write(json.dumps(asdict(entry)).encode() + b"\n")
        except OSError as error:
            if self.on_failure is None:
                raise
            self.close()
            self.on_failure(error)

    def close(self) -> None:
        """Close the file, if there is one."""
        if self._file is not None:
            self._file.close()
            self._file = None
