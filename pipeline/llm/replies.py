"""What one HTTP call may come to: a reply, or a failure of a named kind."""

from dataclasses import dataclass
from enum import Enum, auto
from typing import NamedTuple, TypeVar

from pipeline.records import Status

Number = TypeVar("Number", int, float)


class Usage(NamedTuple):
    """Tokens that a reply was billed for; None where the endpoint did not tell."""

    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    completion_tokens: int | None = None
    cost_usd: float | None = None

    def plus(self, other: "Usage") -> "Usage":
        """Return both together; what neither tells stays unknown."""
        if other is NOTHING:  # nearly always
            return self
        return Usage(
            _sum(self.prompt_tokens, other.prompt_tokens),
            _sum(self.cached_tokens, other.cached_tokens),
            _sum(self.completion_tokens, other.completion_tokens),
            _sum(self.cost_usd, other.cost_usd),
        )


def _sum(one: Number | None, other: Number | None) -> Number | None:
    return other if one is None else one if other is None else one + other


NOTHING = Usage()


class Reply(NamedTuple):
    """A complete reply of the model.

    Attributes:
        text: What the model said; None if it said nothing.
        finish: The finish reason, as sent.
        status: `refused` or `filtered` where the endpoint says so, else None.
        error: One sentence where `status` is set.
        usage: What it was billed for.
        model: The model's name as the endpoint gave it.
        request_id: The endpoint's id of the reply.
        logprobs: JSON array of [token, logprob], or None.
    """

    text: str | None
    finish: str | None
    status: Status | None
    error: str | None
    usage: Usage
    model: str | None
    request_id: str | None
    logprobs: str | None

    def costing(self, usd: float | None) -> "Reply":
        """Return the reply with its price in its usage."""
        return self._replace(usage=self.usage._replace(cost_usd=usd))


class FailureKind(Enum):
    """Classes of failures; what is done about each stands in `llm.retry`."""

    QUOTA = auto()
    """The account has no money or no quota left: the run ends."""
    DENIED = auto()
    """The key is refused: the run ends once it is certain."""
    REPLACED = auto()
    """The key is refused that was in use before it was read anew: the request goes out again with that one."""
    UNTRUSTED = auto()
    """The server's certificate is not valid: the run ends once it is certain."""
    CONFIG = auto()
    """The endpoint does not know the model, or is elsewhere: the run ends."""
    UNSUPPORTED = auto()
    """The endpoint refuses a part of the request's form, such as `response_format`."""
    THROTTLED = auto()
    """Too many requests: everybody waits."""
    TRANSIENT = auto()
    """It may go well the next time."""
    UNREACHABLE = auto()
    """No connection at all; as transient, and counted towards an outage."""
    GARBLED = auto()
    """Status 200 and no usable reply in it."""
    ROW = auto()
    """This row cannot be answered; others can."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A call that brought no reply.

    Attributes:
        kind: Its class.
        message: One sentence for people.
        status: The HTTP status, or None where there was none.
        retry_after: Seconds that the server asks to wait, or None.
        row_status: For kind ROW: the row's final status.
        timed_out: Whether it took too long, which may be a sign of too many requests.
        usage: What a garbled reply says it was billed for.
    """

    kind: FailureKind
    message: str
    status: int | None = None
    retry_after: float | None = None
    row_status: Status = Status.ERROR
    timed_out: bool = False
    usage: Usage = NOTHING

    @property
    def congested(self) -> bool:
        """Whether it is a sign of too many requests."""
        return self.kind is FailureKind.THROTTLED or self.timed_out


MAX_WINDOW_SECONDS = 60.0
"""Limits are counted by the minute; a window that is said to last longer is probed after one."""


@dataclass(frozen=True, slots=True)
class Window:
    """What a reply's headers tell about the rate limits; None where they do not.

    Attributes:
        limit_requests: Requests a minute.
        limit_tokens: Tokens a minute.
        remaining_requests: Requests left in the current window.
        reset_requests: Seconds until there are more.
        remaining_tokens: Tokens left in the current window.
        reset_tokens: Seconds until there are more.
    """

    limit_requests: float | None = None
    limit_tokens: float | None = None
    remaining_requests: float | None = None
    reset_requests: float | None = None
    remaining_tokens: float | None = None
    reset_tokens: float | None = None

    def wait_seconds(self, requests_per_minute: float | None, tokens_per_minute: float | None) -> float:
        """Return the seconds until a request may be sent again: 0 unless a window is used up.

        Where we ourselves keep to no more a minute than the endpoint allows, an empty window is no news: it is
        small, and there is room again by the time that we send.
        """
        requests = _reset(
            self.remaining_requests, self.reset_requests, self.limit_requests, requests_per_minute
        )
        tokens = _reset(self.remaining_tokens, self.reset_tokens, self.limit_tokens, tokens_per_minute)
        return min(max(requests, tokens), MAX_WINDOW_SECONDS)


def _reset(remaining: float | None, reset: float | None, limit: float | None, ours: float | None) -> float:
    kept = ours is not None and limit is not None and ours <= limit
    return 0.0 if remaining != 0 or kept else reset or 0.0
