"""The whole config and its smaller sections; these models define what a config may contain."""

import shlex
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

from pydantic import Field, PrivateAttr, field_validator
from pydantic.json_schema import SkipJsonSchema
from pydantic_core.core_schema import ValidationInfo

from pipeline.config.answerers import CarrySettings, EscalateSettings, StudentSettings
from pipeline.config.base import Settings
from pipeline.config.endpoint import ModelSettings
from pipeline.config.endpoints import EndpointSettings
from pipeline.config.given import Overrides
from pipeline.config.nights import Daytime, GateSettings, NotifySettings, next_time
from pipeline.config.paths import output_clash, state_clash
from pipeline.config.simulate.settings import SimulateSettings
from pipeline.config.slices import Slice
from pipeline.config.tables import InputSettings, OutputSettings, StateSettings
from pipeline.config.task import TaskSettings
from pipeline.config.values import (
    Allowance,
    Count,
    FailureAllowance,
    Line,
    Seconds,
    SecondsOrAuto,
    Usd,
    all_wrong,
    wrong,
)
from pipeline.errors import UsageError

# Used through factories below, so that the JSON schema can show the defaults as a user would write them.
_DEFAULT_OUTAGE_SECONDS = 1_800.0
_DEFAULT_DRAIN_SECONDS = 25.0


class LimitSettings(Settings):
    """What the run may use up."""

    requests_per_minute: Count | None = Field(default=None, description="The account's RPM; null knows none.")
    tokens_per_minute: Count | None = Field(default=None, description="The account's TPM; null knows none.")
    shared: Line | None = Field(
        default=None,
        description="A name, or the URL of a Redis: all runs on this machine, or that reach it, share the two limits above.",
    )
    max_concurrency: Count = Field(default=64, description="At most so many requests at once.")
    max_cost_usd: Usd | None = Field(default=None, description="Stop before the run costs more US dollars.")
    max_runtime: Seconds | None = Field(default=None, description="Stop after so long: 90s, 30m, 6h, 1d.")
    finish_by: Daytime | None = Field(
        default=None,
        description='When the run is to be done, "06:00" by this machine\'s clock; it says whether it makes that.',
    )
    max_failed: Allowance = Field(
        default_factory=lambda: FailureAllowance(Fraction(1), is_percent=True),
        json_schema_extra={"default": "1%"},
        description="Share (1%) or number of rows that may fail before the run ends with exit status 1.",
    )
    max_outage: Seconds = Field(
        default_factory=lambda: _DEFAULT_OUTAGE_SECONDS,
        json_schema_extra={"default": "30m"},
        description="Give up when the provider is away for longer: 90s, 30m, 6h, 1d.",
    )
    drain: Seconds = Field(
        default_factory=lambda: _DEFAULT_DRAIN_SECONDS,
        json_schema_extra={"default": "25s"},
        description="How long a stopped run waits for the requests in flight.",
    )
    request_timeout: SecondsOrAuto = Field(
        default="auto", description="Longest wait for one reply; auto learns it from the replies."
    )

    _part: Slice | None = PrivateAttr(default=None)

    def due(self, began: float) -> float | None:
        """Return by when a run that *began* at this Unix time is to be done, a Unix time as well; None for no such time."""
        return None if self.finish_by is None else next_time(self.finish_by, began)

    def divided(self, part: Slice) -> "LimitSettings":
        """Return the limits of one of several processes that work side by side, so that together they keep to these."""
        share: dict[str, object] = {
            "max_concurrency": max(1, (self.max_concurrency + part.count - 1 - part.index) // part.count),
            "max_cost_usd": self.max_cost_usd and self.max_cost_usd / part.count,
        }
        if self.shared is None:
            for name in ("requests_per_minute", "tokens_per_minute"):
                limit = getattr(self, name)
                share[name] = limit and limit / part.count
        divided = self.model_copy(update=share)
        divided._part = part  # noqa: SLF001 - it is one of these
        return divided

    def only(self, one: EndpointSettings | EscalateSettings) -> "LimitSettings":
        """Return the limits for one of several who are asked: its own, and these where it has none; a quota for each."""
        own = {name: getattr(one.limits, name) for name in one.limits.model_fields_set}
        limits = self.model_copy(update=own)
        if self._part is not None:
            limits = self.model_copy(update={name: getattr(limits.divided(self._part), name) for name in own})
        if self.shared is None:
            return limits
        name = "#" if "://" in self.shared and "#" not in self.shared else "-"
        return limits.model_copy(update={"shared": f"{self.shared}{name}{one.account}"})


class Origin(Protocol):
    """What a config was made of."""

    def changed(self, overrides: Overrides, provider: str | None) -> "Config":
        """Make another config of it, with other settings."""


@dataclass(frozen=True, slots=True)
class Call:
    """How the command line names a config: its file, and the options that change it. No part of what the config says."""

    words: tuple[str, ...] = field(default=("CONFIG",), compare=False)


class Config(Settings):
    """A whole job, checked; every path in it is absolute.

    Attributes:
        path: The config file; not a key that can be written.
    """

    path: SkipJsonSchema[Path]
    input: InputSettings = Field(description="Where the rows come from.")
    task: TaskSettings = Field(description="What is asked about each row.")
    model: ModelSettings = Field(default_factory=ModelSettings, description="Who is asked.")
    limits: LimitSettings = Field(default_factory=LimitSettings, description="What the run may use up.")
    escalate: EscalateSettings | None = Field(
        default=None, description="Who is asked about the rows that the model is unsure of."
    )
    output: OutputSettings = Field(description="Where the labelled table goes.")
    state: StateSettings = Field(
        default_factory=dict, validate_default=True, description="Where paid answers and progress are kept."
    )
    gates: GateSettings = Field(
        default_factory=GateSettings, description="What must hold before the output is published."
    )
    notify: NotifySettings = Field(
        default_factory=NotifySettings, description="Who is told that a run began and how it ended."
    )
    student: StudentSettings | None = Field(
        default=None, description="Who answers what the model need not be asked."
    )
    carry: CarrySettings = Field(
        default_factory=CarrySettings, description="What `run --from` has to prove before it asks less."
    )
    simulate: SimulateSettings = Field(
        default_factory=SimulateSettings, description="How provider simulate behaves; no other heeds it."
    )

    _origin: "Origin | None" = PrivateAttr(default=None)
    _call: Call = PrivateAttr(default=Call())

    def remember(self, origin: "Origin | None", words: Sequence[str] = ()) -> None:
        """Take note of what this config was made of, for `with_`; and of the *words* that name it, for `command`."""
        self._origin = origin
        self._call = Call(tuple(words)) if words else self._call

    def command(self, verb: str, *options: str) -> str:
        """Return the command line that does *verb* with this very config, as it is to be typed in this folder."""
        first, *others = self._call.words
        with suppress(ValueError, OSError):  # it is elsewhere, or this folder is gone
            first = str(Path(first).relative_to(Path.cwd()))
        return shlex.join(["pipeline", verb, first, *others, *options])

    def with_(self, overrides: Overrides = (), *, provider: str | None = None) -> "Config":
        """Return a config with other settings, checked as a whole; this one stays as it is.

        Args:
            overrides: Settings that take precedence: a dict such as `{"limits.max_concurrency": 8}`.
            provider: Ask this endpoint instead, such as `local`.

        Raises:
            UsageError: If they are wrong; or if this config is a copy, which does not know what it was made of.
        """
        if self._origin is None:
            raise UsageError("with_: this config is a copy with changes; call it on one from load_config")
        return self._origin.changed(overrides, provider)

    def each_endpoint(self) -> "tuple[Config, ...]":
        """Return a config for each of several endpoints, as if it were the only one; just this one if there is one."""
        return tuple(map(self._only, self.model.endpoints)) or (self,)

    def _only(self, one: EndpointSettings) -> "Config":
        return self.model_copy(update={"model": self.model.only(one), "limits": self.limits.only(one)})

    @property
    def second(self) -> "Config | None":
        """The config of the second model, as if it were the only one; None if there is none."""
        if self.escalate is None:
            return None
        limits = self.limits.only(self.escalate)
        return self.model_copy(update={"model": self.escalate.model, "limits": limits, "escalate": None})

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> "Config":
        """Return a copy; one with changes has not been checked, and cannot be the start of others."""
        copy = super().model_copy(update=update, deep=deep)
        if update:
            copy.remember(None)
        return copy

    @field_validator("escalate")
    @classmethod
    def _second_model_is_another(
        cls, escalate: EscalateSettings | None, info: ValidationInfo
    ) -> EscalateSettings | None:
        model = info.data.get("model")
        return escalate.beside(model) if escalate and model else escalate

    @field_validator("output")
    @classmethod
    def _output_spares_the_input(cls, output: OutputSettings, info: ValidationInfo) -> OutputSettings:
        source = info.data.get("input")
        sentence = source and output_clash(source.path, output.path, is_table=output.is_table)
        if sentence:
            raise wrong(sentence, "path")
        return output

    @field_validator("gates")
    @classmethod
    def _gates_can_close(cls, gates: GateSettings, info: ValidationInfo) -> GateSettings:
        task = info.data.get("task")
        unsure = [] if info.data.get("escalate") else [("unsure", "unsure_below")]
        missing = [
            ((gate,), f"would never close: it needs task.{key}; set it, or leave the gate out")
            for gate, key in [("gold_accuracy", "gold"), *unsure]
            if task and getattr(gates, gate) is not None and getattr(task, key) is None
        ]
        if missing:
            raise all_wrong(missing)
        return gates

    @field_validator("state")
    @classmethod
    def _state_spares_input_and_output(cls, state: StateSettings, info: ValidationInfo) -> StateSettings:
        source, output = info.data.get("input"), info.data.get("output")
        sentence = source and output and state_clash(source.path, output.path, state.store or state.dir)
        if sentence:
            raise wrong(sentence, "dir")
        return state
