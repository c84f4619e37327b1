"""What a fault knows about the request that it spoils, down to its bytes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from pipeline.servers.simulator import call
from pipeline.servers.simulator.chat import Completion
from pipeline.servers.simulator.response import NoReply
from tests.faultserver.http1 import Request, Response, Wire


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(call.Call):
    """A request, its right answer, and dice.

    Attributes:
        request: As it came.
        elsewhere: URL of another origin, for redirects.
        prices: US dollars per token in and out, or None where usage tells no cost.
    """

    request: Request
    elsewhere: str
    prices: tuple[float, float] | None

    def reply(self, content: str | None, finish: str = "stop", refusal: str | None = None) -> Completion:
        """Return a completion that says *content*."""
        reply = call.Call.reply(self, content, finish, refusal)
        if self.prices is not None:
            price_in, price_out = self.prices
            reply.body["usage"]["cost"] = reply.tokens.prompt * price_in + reply.tokens.completion * price_out
        return reply


Act = Callable[[Call], Response | NoReply | Wire]


class Fault(NamedTuple):
    """One way to go wrong: a line for the reader, and the function that does it."""

    description: str
    act: Act
