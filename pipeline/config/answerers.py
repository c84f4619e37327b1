"""The sections about who answers beside the model: a student, an earlier config (`carry`), a second model (`escalate`)."""

from fractions import Fraction
from hashlib import sha256
from typing import Any, Literal

from pydantic import Field, GetJsonSchemaHandler, field_validator, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema
from pydantic_core.core_schema import ValidationInfo

from pipeline.config.base import Settings
from pipeline.config.endpoint import BESIDE_NO_OTHERS, ModelSettings
from pipeline.config.endpoints import EndpointLimits
from pipeline.config.paths import SourcePath
from pipeline.config.values import Allowance, Count, FailureAllowance, Flag, Share, Text, Usd, wrong


class StudentSettings(Settings):
    """A small model that answers the rows for which it is proven to say what the model would; off if the section is not there."""

    target: Share = Field(
        default=0.95,
        description="Share of the student's rows that have to have the model's label, 0.5 to 0.999.",
    )
    delta: Share = Field(
        default=0.05, description="How often that may be wrong, 0.001 to 0.5: 0.05 is one run of 20."
    )
    audits: Count | None = Field(
        default=None,
        description="How many of them are asked to find out; by default 600 up to a target of 0.95, 1200 up to 0.98, 3000 above.",
    )
    answers: Count = Field(
        default=1_600,
        description="Answers to learn from, at least 500; what the ledger lacks is asked first, for rows at random.",
    )
    train_on: tuple[SourcePath, ...] = Field(
        default=(),
        description="Other tables, as input.path has them; their rows that have answers teach, too, and are not labelled.",
    )
    labels_always_asked: tuple[Text, ...] = Field(
        default=(),
        description="Labels that the student never gives; where one of them is likely, the model is asked.",
    )
    ask_twice: Count | None = Field(
        default=None,
        description="Audited rows that are asked once more, to see how often the model agrees with itself.",
    )
    recertify: Flag = Field(
        default=False, description="Whether each run forgets what earlier runs have proven, and starts anew."
    )

    @property
    def audited(self) -> int:
        """How many rows are audited."""
        return self.audits or next(count for limit, count in _AUDITS if self.target <= limit)

    @field_validator("target", "delta", "answers")
    @classmethod
    def _is_in_range(cls, value: float, info: ValidationInfo) -> float:
        least, most = _RANGES[info.field_name or ""]
        if not least <= value <= most:
            raise wrong(f"is not between {least:,} and {most:,}; write one such as {least:,}")
        return value


class CarrySettings(Settings):
    """What has to be proven before `run --from` leaves rows alone whose labels an earlier config has found."""

    max_missed: Allowance = Field(
        default_factory=lambda: FailureAllowance(Fraction(1), is_percent=True),
        json_schema_extra={"default": "1%"},
        description="Share (1%) or number of the rows left alone that may have another label.",
    )
    delta: Share = Field(
        default=0.05, description="How often that may be wrong, 0.001 to 0.5: 0.05 is one run of 20."
    )
    audits: Count | None = Field(
        default=None,
        description="How many of them are asked to find out, twice and four times as many if need be; by default 441 for 1%.",
    )

    @field_validator("delta")
    @classmethod
    def _is_in_range(cls, value: float) -> float:
        least, most = _RANGES["delta"]
        if not least <= value <= most:
            raise wrong(f"is not between {least:,} and {most:,}; write one such as 0.05")
        return value


_AUDITS = ((0.95, 600), (0.98, 1_200), (1.0, 3_000))
_RANGES = {"target": (0.5, 0.999), "delta": (0.001, 0.5), "answers": (500, 1_000_000)}


class SecondModelSettings(ModelSettings):
    """The second model; a plain text is short for one with only a name, at the endpoint of the first."""

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _is_asked_at_once(self) -> "SecondModelSettings":
        if "name" not in self.model_fields_set and self.provider != "local":
            raise wrong(
                "is missing; write which model the rows are put to that the first one is unsure of", "name"
            )
        if self.lane != "live":
            raise wrong(
                "is not for the second model, which is asked as soon as the first one has answered; leave it out",
                "lane",
            )
        if self.rows_per_request != 1:
            raise wrong(
                "is not for the second model, which is asked row by row; leave it out", "rows_per_request"
            )
        return self

    def beside(self, first: ModelSettings) -> "SecondModelSettings":
        """Return the section with the *first* model's endpoint where it names none; a rehearsal asks nobody else."""
        own = self.model_fields_set
        if first.provider == "simulate":
            there = {name: getattr(first, name) for name in (*_ENDPOINT, *_WAY)}
            return self.model_copy(update={**there, "endpoints": ()})
        taken = {name: getattr(first, name) for name in _WAY if name not in own}
        if own.isdisjoint({"provider", "base_url", "endpoints"}):
            if first.endpoints:
                raise wrong(
                    "names no endpoint, and model.endpoints are those of the first model; write provider or base_url",
                    "model",
                )
            keys = {"api_key_env", "api_key_file"}
            kept = own | (keys if own & keys else set())
            taken |= {name: getattr(first, name) for name in _ENDPOINT if name not in kept}
        return self.model_copy(update=taken)

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        schema = handler.resolve_ref_schema(handler(core_schema))
        whole = dict(schema)
        schema.clear()
        schema.update({"anyOf": [{"type": "string", "minLength": 1}, whole]})
        return schema


_ENDPOINT = ("provider", "allow_insecure", *(name for name in BESIDE_NO_OTHERS if name != "price"))
"""Keys that say where a model is, and with whose key."""

_WAY = ("proxy", "ca_file")
"""Keys that are about the network of this machine."""


class EscalateLimits(EndpointLimits):
    """What the second model may use up; what is left out is as in the section `limits`, with a quota of its own."""

    max_cost_usd: Usd | None = Field(
        default=None,
        description="Stop before the second model costs more US dollars; limits.max_cost_usd covers both.",
    )


class EscalateSettings(Settings):
    """A second model that is asked about the rows of which the first one is unsure; off if the section is not there."""

    model: SecondModelSettings = Field(description="Who is asked: a name, or keys as in the section `model`.")
    below: Share = Field(
        description="Rows whose label_confidence is below this are asked about again, 0 to 1; 0 is none for that reason."
    )
    on: tuple[Literal["invalid", "refused", "filtered", "too_long", "error"], ...] = Field(
        default=("invalid", "refused", "filtered", "too_long", "error"),
        description="Statuses of rows without a label that are asked about again, too; by default all.",
    )
    limits: EscalateLimits = Field(
        default_factory=EscalateLimits, description="What the second model may use up."
    )

    @property
    def account(self) -> str:
        """Whose quota the second model uses up, as a short name."""
        model = self.model
        told = (model.provider, model.base_url, model.name, str(model.api_key_env or model.api_key_file))
        return "escalate-" + sha256(repr(told).encode()).hexdigest()[:12]

    def beside(self, first: ModelSettings) -> "EscalateSettings":
        """Return the section with the *first* model's endpoint where it names none."""
        if self.below and first.logprobs is False:
            raise wrong(
                "never holds, as model.logprobs is false and no row has a confidence; set it to auto, or below to 0",
                "below",
            )
        if not self.below and not self.on:
            raise wrong("is 0 and on is empty, so that no row is asked about again; set one of them", "below")
        return self.model_copy(update={"model": self.model.beside(first)})
