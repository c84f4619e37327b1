"""A request from the queue to its answer."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from hashlib import blake2b
from typing import NamedTuple, Protocol

from pipeline.llm.protocol.form import RequestForm
from pipeline.llm.replies import NO_USAGE, Failure, Reply, Usage
from pipeline.llm.retry import Attempts
from pipeline.records import KEY_BYTES, Answer, Prompt

UNTRIED = Attempts()


class Pack(NamedTuple):
    """Several prompts that are sent as one.

    Attributes:
        ids: The id of each in this request.
        members: The request of each, as if it were sent alone.
    """

    ids: Sequence[str]
    members: Sequence["Request"]

    @property
    def items(self) -> list[tuple[str, str]]:
        """Each id, with the text that it stands for."""
        return [(name, member.prompt.text) for name, member in zip(self.ids, self.members, strict=True)]


class Request(NamedTuple):
    """A prompt to be sent, with its history.

    Attributes:
        prompt: What is asked.
        previous: The invalid answer that makes this the second, stricter ask; None for the first.
        attempts: Its failed calls so far.
        failing_since: When it first failed while others got replies, on the clock; None if it did not.
        form: The form to send it in; None for the one that is current when it is sent.
        control: Whether it is about no row, and only shows whether the endpoint answers (see `llm.held_rows`).
        pack: The prompts that it carries, where it carries several; then `prompt` stands for all of them.
        rows: How many prompts it carries.
        ids: The ids of these, where they are several.
    """

    prompt: Prompt
    previous: Answer | None = None
    attempts: Attempts = UNTRIED
    failing_since: float | None = None
    form: RequestForm | None = None
    control: bool = False
    pack: Pack | None = None
    rows: int = 1
    ids: Sequence[str] = ()

    def again_in(self, form: RequestForm, paid: Usage) -> "Request":
        """Return the request to send again in *form*, after a reply without its answer that has cost *paid*."""
        attempts = replace(self.attempts, calls=self.attempts.calls + 1, paid=self.attempts.paid.plus(paid))
        return self._replace(attempts=attempts, form=form)

    def after(self, failure: Failure, since: float, *, others_succeed: bool) -> "Request":
        """Return the request with *failure* in its history, failing *since* then, to be sent in whatever form is current."""
        attempts = self.attempts.after(failure, others_succeed=others_succeed)
        return self._replace(attempts=attempts, failing_since=since, form=None)


def request_for(prompt: Prompt, previous: Answer | None, owed: Answer | None) -> Request:
    """Return the request about *prompt*; *previous* is its invalid answer, if it is asked again, *owed* its bill so far."""
    return Request(prompt, previous, UNTRIED if owed is None else Attempts(paid=billed(owed)))


@dataclass(slots=True)
class Counters:
    """What the workers have done so far, in calls and tokens; `latencies` counts replies by `telemetry.latency.bucket_of`."""

    requests: int = 0
    retries: int = 0
    throttled: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    latencies: Counter[float] = field(default_factory=Counter)

    def __add__(self, other: "Counters") -> "Counters":
        return Counters(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(self)))

    def add_usage(self, usage: Usage) -> None:
        """Add the tokens that a call was billed for; an unknown number adds nothing."""
        self.prompt_tokens += usage.prompt_tokens or 0
        self.completion_tokens += usage.completion_tokens or 0


class Figures(NamedTuple):
    """What has been asked for in one execution of a run, and where it stands.

    Attributes:
        counters: What was done.
        sending: Requests in flight.
        spent_usd: What the run has been billed for, by its earlier executions, too.
        price_source: Where costs come from; None if they are unknown so far.
        away: Whether nothing is sent because nobody is there to answer.
        shares: Requests sent so far by endpoint; nothing where there is one.
    """

    counters: Counters
    sending: int = 0
    spent_usd: float = 0.0
    price_source: str | None = None
    away: bool = False
    shares: Mapping[str, int] = {}


def answer_from_reply(request: Request, reply: Reply, run: str, at: float) -> Answer:
    """Return the answer to *request* that *reply* gives, recorded at Unix time *at*.

    Its usage includes the garbled replies before it, and the invalid answer of the same run that it replaces.
    """
    first = request.previous
    # Only of the same run: what an earlier run paid is on that run's bill.
    replaced = first if first is not None and first.run == run else None
    usage = reply.usage.plus(request.attempts.paid).plus(billed(replaced))
    return Answer(
        key=request.prompt.key,
        run=run,
        text=reply.text,
        finish=reply.finish,
        status=reply.status,
        error=reply.error,
        logprobs=reply.logprobs,
        prompt_tokens=usage.prompt_tokens,
        cached_tokens=usage.cached_tokens,
        completion_tokens=usage.completion_tokens,
        cost_usd=usage.cost_usd,
        model=reply.model,
        request_id=reply.request_id,
        attempts=request.attempts.calls + 1 + (replaced.attempts if replaced else 0),
        asks=1 + (first.asks if first else 0),
        at=at,
    )


def answer_from_failure(request: Request, failure: Failure, run: str, at: float) -> Answer:
    """Return the answer that records that *request* is given up, at Unix time *at*.

    An invalid answer from before stays, with the usage of this run added to it.
    """
    calls = request.attempts.calls + 1
    paid = request.attempts.paid.plus(failure.usage)
    previous = request.previous
    if previous is not None:
        # What an earlier run paid is on that run's bill.
        bill = billed(previous if previous.run == run else None).plus(paid)
        return previous._replace(
            run=run,
            at=at,
            asks=previous.asks + 1,
            attempts=previous.attempts + calls,
            prompt_tokens=bill.prompt_tokens,
            cached_tokens=bill.cached_tokens,
            completion_tokens=bill.completion_tokens,
            cost_usd=bill.cost_usd,
        )
    error = f"after {calls} attempts: {failure.message}" if calls > 1 else failure.message
    given_up = without_reply(request.prompt.key, run, paid, calls, at)
    return given_up._replace(status=failure.row_status, error=error, asks=1)


def bill_key(key: bytes, run: str) -> bytes:
    """Return the key of the bill of *run* for the prompt with *key*: one of its own, so that it hides no answer."""
    return blake2b(b"bill\0" + key + run.encode(), digest_size=KEY_BYTES).digest()


def billed(answer: Answer | None) -> Usage:
    """Return what *answer* was billed for; nothing if it is None."""
    if answer is None:
        return NO_USAGE
    return Usage(answer.prompt_tokens, answer.cached_tokens, answer.completion_tokens, answer.cost_usd)


def without_reply(key: bytes, run: str, paid: Usage, calls: int, at: float) -> Answer:
    """Return a bill: what *run* has paid for the prompt with *key*, in so many *calls*, without an answer."""
    return Answer(
        key=key,
        run=run,
        text=None,
        finish=None,
        status=None,
        error=None,
        logprobs=None,
        prompt_tokens=paid.prompt_tokens,
        cached_tokens=paid.cached_tokens,
        completion_tokens=paid.completion_tokens,
        cost_usd=paid.cost_usd,
        model=None,
        request_id=None,
        attempts=calls,
        asks=0,
        at=at,
    )


class Asker(Protocol):
    """Who asks: one endpoint or several."""

    @property
    def figures(self) -> Figures:
        """What was done, and where it stands."""

    def ask(self, prompt: Prompt, previous: Answer | None = None, owed: Answer | None = None) -> None:
        """Queue *prompt*; *previous* is its invalid answer, if this is the second ask, and *owed* its bill so far."""

    def affords(self, prompts: Iterable[Prompt]) -> int:
        """Return how many of *prompts*, the first ones, there is money for while nothing else is asked."""

    async def start(self) -> None:
        """Begin to send what is queued."""

    async def drain(self, seconds: float) -> None:
        """Send nothing more; wait up to *seconds* for what is in flight, and give up the rest."""
