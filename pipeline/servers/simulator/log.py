"""What the simulator was asked, what it sent, and what a provider would have put on the bill."""

import json
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from io import FileIO
from pathlib import Path
from typing import NamedTuple


class Tokens(NamedTuple):
    """What one reply is billed for.

    Attributes:
        prompt: Tokens of all messages' contents.
        completion: Tokens of the reply's content.
    """

    prompt: int
    completion: int


@dataclass(frozen=True, slots=True)
class Entry:
    """One request that was answered, or that will never be.

    Attributes:
        at: Unix time in seconds when it had arrived whole.
        key: Hex of the 128-bit blake2b of the user message; empty where there was none.
        text: The row's text; empty where there was none.
        again: The same text was asked before with another message: the stricter, second ask.
        status: HTTP status sent; 0 where none was.
        fault: Name of the fault in FAULTS, what else kept a right answer back, or None.
        billed: A whole answer was made, even if the bytes on the wire were broken afterwards.
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


def repeats(entries: Iterable[Entry]) -> dict[str, int]:
    """Return the keys that were billed more than once, with how often: what somebody paid twice for."""
    hits = Counter(entry.key for entry in entries if entry.billed)
    return {key: times for key, times in hits.items() if times > 1}


def read_log(path: Path) -> list[Entry]:
    """Return the entries of a log file; a last line that was cut short is left out."""
    with path.open(encoding="utf-8") as lines:
        return [Entry(**json.loads(line)) for line in lines if line.endswith("\n")]


class Log:
    """Takes entries: counts all, and keeps them in memory or in a file where that is wanted.

    Attributes:
        entries: In the order of answering; empty where `keep` is off.
        requests: How many there were.
        chats: How many of them asked for a completion; the others are about models, or unreadable.
        billed: How many of them were billed.
        prompt_tokens: Sum over the billed ones.
        completion_tokens: Sum over the billed ones.
        reasons: How often what kept a right answer back, by `Entry.fault`.
        on_failure: Told once when the file can no longer be written; without it the error is raised.
    """

    def __init__(self, path: Path | None, *, keep: bool, count_repeats: bool = True) -> None:
        self.entries: list[Entry] = []
        self.requests = self.chats = self.billed = self.prompt_tokens = self.completion_tokens = 0
        self.reasons: Counter[str] = Counter()
        self.on_failure: Callable[[OSError], None] | None = None
        self._bills: Counter[bytes] | None = Counter() if count_repeats else None
        self._keep = keep
        # Unbuffered: each line is one write, so a killed server leaves whole lines.
        self._file = path.open("ab", buffering=0) if path else None
        self._wordings: dict[int, int] = {}

    def is_again(self, text: str, content: str) -> bool:
        """Say whether *text* came before in another user message; always False where nothing is kept."""
        if not self._keep and self._file is None:
            return False
        wording = hash(content)
        return self._wordings.setdefault(hash(text), wording) != wording

    def add(self, entry: Entry) -> None:
        """Count *entry* and keep it."""
        self.requests += 1
        self.chats += entry.key != ""
        self.billed += entry.billed
        self.prompt_tokens += entry.prompt_tokens
        self.completion_tokens += entry.completion_tokens
        if entry.fault is not None:
            self.reasons[entry.fault] += 1
        if entry.billed and self._bills is not None:
            self._bills[bytes.fromhex(entry.key)] += 1
        if self._keep:
            self.entries.append(entry)
        if self._file is not None:
            self._write(self._file, entry)

    def repeats(self) -> dict[str, int] | None:
        """Return the keys that were billed more than once, with how often; None where that was not counted."""
        if self._bills is None:
            return None
        return {key.hex(): times for key, times in self._bills.items() if times > 1}

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
