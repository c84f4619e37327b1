"""The section `model`: which endpoint to ask, and how. It never holds an API key itself."""

import re
from collections.abc import Iterator
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, PrivateAttr, field_validator, model_validator
from pydantic_core import PydanticCustomError
from pydantic_core.core_schema import ValidationInfo

from pipeline.config.base import Settings
from pipeline.config.endpoints import EndpointSettings, Headers, KeyVariable, PriceSettings, one_key, safe_url
from pipeline.config.parameters import Parameters
from pipeline.config.paths import LocalPath
from pipeline.config.proxy import AUTO, NONE, parse_proxy
from pipeline.config.values import (
    Count,
    Flag,
    FlagOrAuto,
    Line,
    Probability,
    RowsOrAuto,
    Temperature,
    Whole,
    Within,
    all_wrong,
    wrong,
)

ProviderName: TypeAlias = Literal["oxen", "openai", "openai-compatible", "local", "simulate"]
"""The keys of `providers.PROVIDERS`."""

BESIDE_NO_OTHERS = ("base_url", "api_key_env", "api_key_file", "headers", "price")
"""Keys that say which endpoint, so that several of them have these themselves."""

OF_ONE_ENDPOINT = (*BESIDE_NO_OTHERS, "parameters", "endpoints")
"""Keys that belong to one endpoint: `--provider` with another name resets them."""

SELL_NO_BATCHES = frozenset({"oxen", "local"})
"""Providers that take one request at a time."""

_EFFORT = re.compile(r"[a-z][a-z0-9_-]*")


def _proxy(value: object) -> object:
    """Check `model.proxy`, and return `auto`, `none` or the URL."""
    if value is None or value in {"", AUTO, NONE}:
        return value or AUTO
    if isinstance(value, str):
        try:
            parse_proxy(value, "")
        except ValueError as error:
            raise wrong(f"{error}, none for no proxy, or leave it out") from None
    return value


def _effort(value: str) -> str:
    if _EFFORT.fullmatch(value) is None:
        raise wrong("is not an effort; write auto, none, minimal, low, medium or high, as the model takes it")
    return value


class ModelSettings(Settings):
    """The endpoint, the model and how it is sampled."""

    provider: ProviderName = Field(
        default="oxen",
        description="Who is asked. `local` is the embedded model, `simulate` an endpoint that only pretends; both need no key.",
    )
    name: Line = Field(default="gpt-4-1-nano-2025-04-14", description="The model's name at the provider.")
    allow_insecure: Flag = Field(
        default=False, description="Allow a base_url with http:// to another machine."
    )
    endpoints: tuple[EndpointSettings, ...] = Field(
        default=(),
        description="Several endpoints of this model, each with its key, price and limits; all of them are asked.",
    )
    base_url: str | None = Field(
        default=None,
        validate_default=True,
        description="Where the endpoint is, such as https://host/v1; openai-compatible needs it.",
    )
    api_key_env: KeyVariable | None = Field(
        default=None,
        description="Name of the environment variable with the API key; by default the provider's own.",
    )
    api_key_file: LocalPath | None = Field(
        default=None, description="File with the API key, instead of a variable."
    )
    headers: Headers = Field(
        default_factory=dict,
        repr=False,
        description="More HTTP headers for every request; secrets only as ${NAME}.",
    )
    proxy: Annotated[str, BeforeValidator(_proxy)] = Field(
        default=AUTO,
        repr=False,
        description="Proxy for the requests: its URL (a password only as ${NAME}), none, or auto for what HTTPS_PROXY, HTTP_PROXY and NO_PROXY say.",
    )
    ca_file: LocalPath | None = Field(
        default=None,
        description="File with certificates (PEM) to trust beside the system's: a company's own authority.",
    )
    temperature: Temperature | None = Field(
        default=0.0,
        description="0 to 2; null sends none. Left out of the config, a model that refuses it is asked without.",
    )
    top_p: Probability | None = Field(
        default=None, description="Nucleus sampling, above 0 to 1; null sends none."
    )
    seed: Whole | None = Field(default=None, description="Sampling seed; null sends none.")
    max_tokens: Count = Field(
        default=32,
        description="Longest reply in tokens; providers count it against limits. Raised for a model that reasons.",
    )
    reasoning_effort: Annotated[str, AfterValidator(_effort)] = Field(
        default="auto",
        description="How long the model reasons: none, minimal, low, medium, high; auto takes the least that it has.",
    )
    parameters: Parameters = Field(
        default_factory=dict,
        repr=False,
        description="More fields of every request, sent as they stand, such as service_tier: flex.",
    )
    structured_output: Literal["auto", "json_schema", "json_object", "text"] = Field(
        default="auto",
        description="How the reply is bound to the labels; auto takes the strictest that works.",
    )
    logprobs: FlagOrAuto = Field(
        default="auto",
        description="Ask for probabilities, which give label_confidence; auto where they work.",
    )
    lane: Literal["live", "batch"] = Field(
        default="live",
        description="live asks row by row; batch hands files of rows in, which take up to 24 h and cost half at most providers that take them.",
    )
    rows_per_request: RowsOrAuto = Field(
        default=1,
        description="Rows in one request: 1 to 100, or auto, which finds out how many the labels stand; see docs/packs.md.",
    )
    price: PriceSettings | None = Field(
        default=None, description="Prices, where the endpoint does not tell them."
    )
    _filled_in: frozenset[str] = PrivateAttr(default=frozenset())

    @property
    def secrets(self) -> frozenset[str]:
        """The values that `${NAME}` stands for in the headers: shown nowhere, whatever the headers are called."""
        return self._filled_in

    @field_validator("base_url")
    @classmethod
    def _base_url_is_safe(cls, url: str | None, info: ValidationInfo) -> str | None:
        if url is None:
            if info.data.get("provider") == "openai-compatible" and info.data.get("endpoints") == ():
                raise wrong(
                    "is missing, and provider openai-compatible needs it; write one such as https://host/v1"
                )
            return None
        rehearses = info.data.get("provider") == "simulate"
        return safe_url(url, allow_insecure=bool(info.data.get("allow_insecure")), rehearses=rehearses)

    @model_validator(mode="after")
    def _remember_what_was_filled_in(self, info: ValidationInfo) -> Self:
        self._filled_in = frozenset((info.context or {}).get("filled_in", ()))
        return self

    @model_validator(mode="after")
    def _one_source_of_the_key(self) -> Self:
        one_key(self.api_key_env, self.api_key_file)
        return self

    @model_validator(mode="after")
    def _lane_is_there(self) -> Self:
        if self.lane == "batch" and self.endpoints:
            raise wrong("asks one endpoint; leave model.endpoints out, or write live", "lane")
        if self.lane == "batch" and self.provider in SELL_NO_BATCHES:
            raise wrong(f"is not what provider {self.provider} takes; write live", "lane")
        return self

    @model_validator(mode="after")
    def _endpoints_are_told_apart(self) -> Self:
        problems: list[tuple[Within, str]] = []
        if self.endpoints:
            problems += [
                ((key,), "belongs to one endpoint; write it into the entries of model.endpoints that need it")
                for key in BESIDE_NO_OTHERS
                if key in self.model_fields_set and getattr(self, key)
            ]
            if self.provider in {"local", "simulate"}:
                problems.append(
                    (("endpoints",), f"are not asked by provider {self.provider}; leave them out")
                )
            problems += self._misplaced()
        if problems:
            raise all_wrong(problems)
        return self

    def _misplaced(self) -> Iterator[tuple[Within, str]]:
        places: set[object] = set()
        for index, one in enumerate(self.endpoints):
            place = one.base_url, one.wire_name, one.api_key_env, str(one.api_key_file), str(one.headers)
            if place in places:
                yield ("endpoints", index), "is the same as one above: place, name, key and headers; keep one"
            places.add(place)
            if one.base_url is None:
                if self.provider == "openai-compatible":
                    yield ("endpoints", index), "has no base_url; write one such as https://host/v1"
                continue
            try:
                safe_url(one.base_url, allow_insecure=self.allow_insecure, rehearses=False)
            except PydanticCustomError as error:
                yield ("endpoints", index, "base_url"), error.message()

    def only(self, one: EndpointSettings) -> "ModelSettings":
        """Return the section as if the endpoint *one* of several were the only one."""
        update = {name: getattr(one, name) for name in BESIDE_NO_OTHERS}
        if one.base_url is not None:
            # The provider's own key goes to the provider's own place only.
            update["base_url"], update["provider"] = one.base_url.rstrip("/"), "openai-compatible"
        return self.model_copy(update={**update, "name": one.wire_name or self.name, "endpoints": ()})
