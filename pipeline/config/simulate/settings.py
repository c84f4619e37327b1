"""The section `simulate`: how the endpoint of a rehearsal (provider `simulate`) behaves."""

from collections.abc import Iterator
from typing import Annotated, TypeAlias

from pydantic import BeforeValidator, Field, WithJsonSchema, field_validator
from pydantic_core.core_schema import ValidationInfo

from pipeline.config.base import Settings
from pipeline.config.simulate.faults import BatchFault, Described, Fault, share_problems
from pipeline.config.simulate.latency import USUAL, AnyLatency, Fixed, parse_latency
from pipeline.config.values import Seconds, Share, Within, all_wrong, number, wrong
from pipeline.errors import UsageError

_FAULT_NAMES = tuple(fault.value for fault in Fault)


def _latency(value: object) -> AnyLatency:
    if isinstance(value, AnyLatency):
        return value
    try:
        seconds = number(value)
        return parse_latency(str(value)) if seconds is None else Fixed(seconds)
    except UsageError:
        raise wrong("is no latency; write seconds: 0.5, uniform:0.2,0.8 or lognormal:0.5,0.4") from None


_WRITTEN = r"^(fixed:|uniform:|lognormal:)?[0-9.]+(,[0-9.]+)?$"
_LatencyOf: TypeAlias = Annotated[
    AnyLatency,
    BeforeValidator(_latency),
    WithJsonSchema({"anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": _WRITTEN}]}),
]


def _fault_problems(faults: dict[str, float], known: type[Described]) -> Iterator[tuple[Within, str]]:
    found = share_problems(faults, tuple(known))
    for name, similar in found.unknown.items():
        hint = f"did you mean {similar}?" if similar else "`simulate --list-faults` lists them"
        yield (name,), f"is given to a fault that does not exist; {hint}"
    if found.excess is not None:
        yield (), f"has shares that add up to {found.excess:g}; lower them to 1 or less"


class SimulateSettings(Settings):
    """How the simulated endpoint behaves; it keeps to `limits` by itself."""

    latency: _LatencyOf = Field(
        default_factory=lambda: USUAL,
        json_schema_extra={"default": str(USUAL)},
        description="Seconds until a reply: 0.5, uniform:0.2,0.8 or lognormal:0.5,0.4 (median, sigma); 0 for at once.",
    )
    faults: dict[str, Share] = Field(
        default_factory=dict,
        json_schema_extra={"propertyNames": {"enum": list(_FAULT_NAMES)}},
        description="Share of the requests, 0 to 1, that go wrong in each way, such as {http_500: 0.1}.",
    )

    batch_seconds: Seconds = Field(
        default_factory=lambda: 5.0,
        json_schema_extra={"default": "5s"},
        description="How long a batch takes.",
    )
    batch_faults: dict[str, Share] = Field(
        default_factory=dict,
        json_schema_extra={"propertyNames": {"enum": [fault.value for fault in BatchFault]}},
        description="Share of the batches, 0 to 1, that go wrong in each way, such as {expired: 0.1}.",
    )

    @field_validator("faults", "batch_faults")
    @classmethod
    def _faults_are_known(cls, faults: dict[str, float], info: ValidationInfo) -> dict[str, float]:
        problems = list(_fault_problems(faults, BatchFault if info.field_name == "batch_faults" else Fault))
        if problems:
            raise all_wrong(problems)
        return faults
