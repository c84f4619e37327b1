"""The section `model`: which endpoint to ask, and how. It never holds an API key itself."""

import re
from typing import Annotated, Literal, Self, TypeAlias
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, PrivateAttr, field_validator, model_validator
from pydantic_core.core_schema import ValidationInfo

from pipeline.config.base import Settings
from pipeline.config.parameters import Parameters
from pipeline.config.paths import LocalPath
from pipeline.config.proxy import AUTO, NONE, is_loopback, parse_proxy
from pipeline.config.values import (
    CONTROL,
    Count,
    Flag,
    FlagOrAuto,
    Line,
    Probability,
    Temperature,
    UsdPerMillion,
    Whole,
    Within,
    all_wrong,
    wrong,
)

ProviderName: TypeAlias = Literal["oxen", "openai", "openai-compatible", "local", "simulate"]
"""The keys of `providers.PROVIDERS`."""

OF_ONE_ENDPOINT = ("base_url", "api_key_env", "api_key_file", "headers", "price", "parameters")
"""Keys that belong to one endpoint: `--provider` with another name resets them."""

# Capitals only, as in POSIX, so that an API key pasted here by mistake is refused instead of looked up.
_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")
_EFFORT = re.compile(r"[a-z][a-z0-9_-]*")
# A token as in RFC 9110, section 5.6.2.
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


class PriceSettings(Settings):
    """What the endpoint charges, in US dollars per million tokens."""

    input: UsdPerMillion = Field(description="US dollars per million tokens read.")
    output: UsdPerMillion = Field(description="US dollars per million tokens written.")
    cached: UsdPerMillion | None = Field(
        default=None, description="US dollars per million tokens read from the provider's cache."
    )


def _split(url: str) -> SplitResult:
    """Split a base URL or refuse it, in sentences that never contain it."""
    if CONTROL.search(url) or " " in url or "\\" in url:
        raise wrong("has a blank, a backslash or a control character; write a URL such as https://host/v1")
    try:
        parts = urlsplit(url)
        host = parts.hostname
        _ = parts.port
    except ValueError:
        raise wrong("is not a URL; write one such as https://host/v1") from None
    if "@" in parts.netloc:
        raise wrong("carries a user name or a password; take it out and use api_key_env")
    if parts.scheme not in {"http", "https"} or not host:
        raise wrong("is not an http or https URL; write one such as https://host/v1")
    if parts.fragment or url.endswith(("?", "#")):
        raise wrong("has a # or an empty part after ?; leave that out")
    return parts


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


def _variable(value: str) -> str:
    if _VARIABLE.fullmatch(value) is None:
        raise wrong("is not the name of an environment variable in capitals; write the name, never the key")
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
    base_url: str | None = Field(
        default=None,
        validate_default=True,
        description="Where the endpoint is, such as https://host/v1; openai-compatible needs it.",
    )
    api_key_env: Annotated[str, AfterValidator(_variable)] | None = Field(
        default=None,
        description="Name of the environment variable with the API key; by default the provider's own.",
    )
    api_key_file: LocalPath | None = Field(
        default=None, description="File with the API key, instead of a variable."
    )
    headers: dict[str, str] = Field(
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
    rows_per_request: Literal[1] = Field(default=1, description="Rows in one request.")
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
            if info.data.get("provider") == "openai-compatible":
                raise wrong(
                    "is missing, and provider openai-compatible needs it; write one such as https://host/v1"
                )
            return None
        parts = _split(url)
        is_open = parts.scheme == "http" and not is_loopback(parts.hostname or "")
        if info.data.get("provider") == "simulate" and not is_loopback(parts.hostname or ""):
            raise wrong(
                "is not on this machine, and a rehearsal asks nobody else; leave it out, or give --provider simulate"
            )
        if is_open and not info.data.get("allow_insecure"):
            raise wrong("sends the key and the rows unencrypted; write https://, or set allow_insecure: true")
        return parts._replace(path=parts.path.rstrip("/")).geturl() if parts.query else url.rstrip("/")

    @field_validator("headers")
    @classmethod
    def _headers_are_sound(cls, headers: dict[str, str]) -> dict[str, str]:
        problems: list[tuple[Within, str]] = [
            ((name,), "is not the name of a header; use letters, digits and -")
            for name in headers
            if _HEADER_NAME.fullmatch(name) is None
        ]
        problems += [
            ((name,), "has a line break or a character that no header may hold; write plain ASCII")
            for name, value in headers.items()
            if CONTROL.search(value) or not value.isascii()
        ]
        if len({name.lower() for name in headers}) < len(headers):
            problems.append(((), "has a name twice, apart from capitals; keep one of them"))
        if problems:
            raise all_wrong(problems)
        return headers

    @model_validator(mode="after")
    def _remember_what_was_filled_in(self, info: ValidationInfo) -> Self:
        self._filled_in = frozenset((info.context or {}).get("filled_in", ()))
        return self

    @model_validator(mode="after")
    def _one_source_of_the_key(self) -> Self:
        if self.api_key_env is not None and self.api_key_file is not None:
            raise wrong("is given beside api_key_file; keep one of them", "api_key_env")
        return self
