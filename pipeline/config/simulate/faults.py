"""What a simulated endpoint can do wrong, and to what share of the requests."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum
from typing import Self

ROUNDING = 1e-9
"""Tolerance for shares whose sum exceeds 1 only because they are binary fractions."""


class Described(StrEnum):
    """A name, with a line for the reader about it."""

    description: str

    def __new__(cls, name: str, description: str) -> Self:
        """Make a member that is its name."""
        fault = str.__new__(cls, name)
        fault._value_ = name
        fault.description = description
        return fault


class Fault(Described):
    """The name of a fault, and what it does in a line for the reader.

    To add one, add a line here and its act in `servers/simulator/faults.py`.
    """

    HTTP_500 = "http_500", "500, the server failed"
    HTTP_502 = "http_502", "502 in JSON, the server behind the gateway failed"
    HTTP_503 = "http_503", "503, the server is loading or down"
    OVERLOADED = "overloaded", "503 with code slow_down: congestion, not a failure"
    HTML_502 = "html_502", "502 with a gateway's HTML page"
    RATE_LIMIT = "rate_limit", "429 without Retry-After"
    RATE_LIMIT_SECONDS = "rate_limit_seconds", "429, Retry-After: 2"
    RATE_LIMIT_MS = "rate_limit_ms", "429, retry-after-ms: 250"
    RATE_LIMIT_DATE = "rate_limit_date", "429, Retry-After as an HTTP date two to three seconds ahead"
    QUOTA_EXHAUSTED = "quota_exhausted", "429 with insufficient_quota: waiting never helps"
    INSUFFICIENT_CREDITS = "insufficient_credits", "402 in Oxen's envelope: the account is empty"
    UNAUTHORIZED = "unauthorized", "401, the key is refused"
    MODEL_NOT_FOUND = "model_not_found", "404, there is no such model"
    CONTEXT_LENGTH = "context_length", "400 with context_length_exceeded"
    BAD_REQUEST = "bad_request", "400, this request is refused"
    HANG = "hang", "the request is taken and nothing is ever sent"
    DROP = "drop", "closed without a byte"
    EMPTY_200 = "empty_200", "200 with an empty body"
    ERROR_200 = "error_200", "200 with an error in the body"
    CUT_JSON = "cut_json", "the right body cut at a random byte, with Content-Length of the cut body; billed"
    NULL_CONTENT = "null_content", "content null, finish_reason stop"
    LENGTH = "length", "half the right content, finish_reason length"
    CONTENT_FILTER = "content_filter", "content null, finish_reason content_filter"
    REFUSAL = "refusal", "a refusal instead of content"
    PROSE = "prose", "a sentence that names the right label"
    TWO_LABELS = "two_labels", "two labels where one is due; one label twice in a list"
    UNKNOWN_LABEL = "unknown_label", "a label outside the set"


class BatchFault(Described):
    """The name of what can go wrong with a batch; `servers/simulator/batches/service.py` does it."""

    LOST_REPLY = "lost_reply", "the batch is made, and the connection closed without a word of it"
    EXPIRED = "expired", "the batch expires when half of its lines are answered"
    QUEUE_FULL = "queue_full", "the batch fails after it was taken: token_limit_exceeded"
    ALL_REFUSED = "all_refused", "every line is refused, so that there is no output file"
    EMPTY_IDS = "empty_ids", "the id of a file that is not there is empty instead of null"
    SHUFFLED = "shuffled", "the lines of the output are in another order"
    DUPLICATED = "duplicated", "a line of the output is there twice"
    MISSING = "missing", "a line is in neither file, although it was billed"
    CUT_DOWNLOAD = "cut_download", "the first download breaks off, and the second is cut and does not tell"
    GONE = "gone", "the batch was made, and is never found again: 404"


@dataclass(frozen=True, slots=True)
class ShareProblems:
    """What is wrong with the shares of faults.

    Attributes:
        unknown: Names of no fault, each with the most similar name of one, or None.
        outside: Names whose share is not within 0 and 1.
        excess: The sum of the shares if it is more than 1, or None.
    """

    unknown: Mapping[str, str | None]
    outside: tuple[str, ...]
    excess: float | None


def share_problems(shares: Mapping[str, float], known: Collection[str] = tuple(Fault)) -> ShareProblems:
    """Return what is wrong with *shares*, by name of a fault; the caller words it."""
    unknown = {
        name: next(iter(get_close_matches(name, known, 1)), None) for name in shares if name not in known
    }
    outside = tuple(name for name, share in shares.items() if not 0 <= share <= 1)
    total = sum(shares.values())
    return ShareProblems(unknown, outside, total if total > 1 + ROUNDING else None)
