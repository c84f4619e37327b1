"""How a fault server behaves: as a simulator, and in what else a provider may differ."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from pipeline.servers.simulator.settings import SimulatorSettings
from tests.faultserver.faults import FAULTS

Support = Literal["yes", "ignored", "refused"]
"""Whether an optional part of a request is heeded, passed over, or answered with 400."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultServerSettings(SimulatorSettings):
    """Everything that can be chosen about a fault server.

    Attributes:
        capacity_changes: (seconds after start, capacity from then on).
        json_schema: Support of that response format.
        json_object: Support of that response format.
        logprobs: Support of them.
        rate_headers: Whether x-ratelimit-* headers report the limits.
        model_objects: Whether GET /models is there.
        api_key: The only one taken; None takes all, and none.
        tell_cost: Whether usage tells the cost at the prices.
        keep_entries: Whether the log's entries stay in memory; off for millions of requests.
    """

    known_faults: ClassVar[tuple[str, ...]] = tuple(FAULTS)

    capacity_changes: tuple[tuple[float, int | None], ...] = ()
    json_schema: Support = "yes"
    json_object: Support = "yes"
    logprobs: Support = "yes"
    rate_headers: bool = True
    model_objects: bool = True
    api_key: str | None = field(default=None, repr=False)
    tell_cost: bool = False
    keep_entries: bool = True
