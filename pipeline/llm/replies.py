"""The outcomes of one HTTP call: a reply, or a failure of a named kind."""

from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import NamedTuple, TypeVar

from pipeline.records import Status

Number = TypeVar("Number", int, float)


class Usage(NamedTuple):
    """What a reply was billed for, in tokens and US dollars; None where the endpoint does not report it."""

    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    completion_tokens: int | None = None
    cost_usd: float | None = None

    def plus(self, other: "Usage") -> "Usage":
        """Return the sum of both; what neither reports stays None."""
        if other is NO_USAGE:  # nearly always
            return self
        return Usage(
            _sum(self.prompt_tokens, other.prompt_tokens),
            _sum(self.cached_tokens, other.cached_tokens),
            _sum(self.completion_tokens, other.completion_tokens),
            _sum(self.cost_usd, other.cost_usd),
        )


def _sum(one: Number | None, other: Number | None) -> Number | None:
    return other if one is None else one if other is None else one + other


NO_USAGE = Usage()
"""The usage of a call that was not billed, or not as far as the endpoint reports."""


class Reply(NamedTuple):
    """A complete reply of the model.

    Attributes:
        text: The model's text; None if there is none.
        finish: The finish reason, as sent.
        status: REFUSED or FILTERED where the endpoint reports it, else None.
        error: One sentence where `status` is set.
        usage: What it was billed for.
        model: The model's name as the endpoint sent it.
        request_id: The endpoint's id of the reply.
        logprobs: JSON array of [token, logprob], or None.
        reasoning_tokens: Tokens of thought among those billed, where the reply is cut or has no text of its own; 0 if
            the endpoint names none.
    """

    text: str | None
    finish: str | None
    status: Status | None
    error: str | None
    usage: Usage
    model: str | None
    request_id: str | None
    logprobs: str | None
    reasoning_tokens: int = 0

    def with_cost(self, usd: float | None) -> "Reply":
        """Return the reply with a cost of *usd* US dollars in its usage."""
        return self._replace(usage=self.usage._replace(cost_usd=usd))


class FailureKind(Enum):
    """The classes of failures, by what is done about them (in `llm.failure_policy`)."""

    QUOTA = auto()
    """The account has no money or no quota left: the run ends once it is certain."""
    DENIED = auto()
    """The key is refused: the run ends once it is certain."""
    REPLACED = auto()
    """A key was refused that has been replaced since: the request is sent again with the new one."""
    UNTRUSTED = auto()
    """The server's certificate is not valid: the run ends once it is certain."""
    CONFIG = auto()
    """The endpoint does not know the model, or redirects elsewhere: the run ends once it is certain."""
    UNSUPPORTED = auto()
    """The endpoint refuses an optional part of the request, such as `response_format`: another form is sent."""
    THROTTLED = auto()
    """Too many requests: this one waits; whether the others do, too, is the pacer's business."""
    TRANSIENT = auto()
    """The same request may succeed later."""
    UNREACHABLE = auto()
    """No connection: as TRANSIENT, and a sign of an outage."""
    GARBLED = auto()
    """A status of success without a usable reply."""
    ROW = auto()
    """The endpoint refuses this request; perhaps for its row alone, and others can be answered."""


RUN_WIDE = frozenset({FailureKind.QUOTA, FailureKind.DENIED, FailureKind.UNTRUSTED, FailureKind.CONFIG})
"""Kinds that concern all rows, once it is certain."""

REQUEST_TIMEOUT = 408
SERVER_ERRORS = range(500, 600)


@dataclass(frozen=True, slots=True)
class Failure:
    """A call without a usable reply.

    Attributes:
        kind: Its class.
        message: One sentence for the user.
        status: The HTTP status, or None where there was none.
        retry_after: Seconds that the server asks to wait, or None.
        row_status: The row's final status, if it is given up for this.
        timed_out: Whether no whole reply came in time.
        usage: What a garbled reply was billed for, as far as it reports it.
        param: The part of the request that the endpoint blames (`error.param`), as it names it, or None.
        code: The error's code, type and status words, in lower case with blanks between; empty if it has none.
        about_content: Whether status or words say that it is the row's own content: too long, or filtered.
    """

    kind: FailureKind
    message: str
    status: int | None = None
    retry_after: float | None = None
    row_status: Status = Status.ERROR
    timed_out: bool = False
    usage: Usage = NO_USAGE
    param: str | None = None
    code: str = ""
    about_content: bool = False

    def with_cost(self, usd: float | None) -> "Failure":
        """Return the failure with a cost of *usd* US dollars in its usage."""
        return replace(self, usage=self.usage._replace(cost_usd=usd))

    @property
    def may_mean_load(self) -> bool:
        """Whether sending less may make it rarer: a throttle, a timeout, or a server error that may pass."""
        if self.kind is FailureKind.TRANSIENT:
            return self.timed_out or self.status == REQUEST_TIMEOUT or self.status in SERVER_ERRORS
        return self.kind is FailureKind.THROTTLED


MAX_WINDOW_SECONDS = 60.0
"""Limits are counted by the minute, so a window that claims to last longer is tried again after one."""


@dataclass(frozen=True, slots=True)
class Window:
    """A reply's rate-limit headers; None where one is missing or invalid.

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

        Args:
            requests_per_minute: The configured rate, which the run keeps to anyway.
            tokens_per_minute: Likewise.
        """
        requests = _reset(
            self.remaining_requests, self.reset_requests, self.limit_requests, requests_per_minute
        )
        tokens = _reset(self.remaining_tokens, self.reset_tokens, self.limit_tokens, tokens_per_minute)
        return min(max(requests, tokens), MAX_WINDOW_SECONDS)


def _reset(remaining: float | None, reset: float | None, limit: float | None, rate: float | None) -> float:
    # At a rate that the endpoint allows, an empty window is no news: there is room again by the next request.
    kept = rate is not None and limit is not None and rate <= limit
    return 0.0 if remaining != 0 or kept else reset or 0.0
