"""What belongs to one endpoint: its place, its key, its price, and in `model.endpoints` its limits and its share."""

import re
from hashlib import sha256
from typing import Annotated, Self, TypeAlias
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, Field, model_validator

from pipeline.config.base import Settings
from pipeline.config.paths import LocalPath
from pipeline.config.proxy import is_loopback
from pipeline.config.values import (
    CONTROL,
    Count,
    Line,
    UsdPerMillion,
    Weight,
    Whole,
    Within,
    all_wrong,
    wrong,
)

# Capitals only, as in POSIX, so that an API key pasted here by mistake is refused instead of looked up.
_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")
# A token as in RFC 9110, section 5.6.2.
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


def _variable(value: str) -> str:
    if _VARIABLE.fullmatch(value) is None:
        raise wrong("is not the name of an environment variable in capitals; write the name, never the key")
    return value


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


def safe_url(url: str, *, allow_insecure: bool, rehearses: bool) -> str:
    """Return a base URL without a slash at its end, or refuse it.

    Args:
        url: As written.
        allow_insecure: Whether the key and the rows may leave this machine unencrypted.
        rehearses: Whether only an endpoint on this machine will do.
    """
    parts = _split(url)
    is_open = parts.scheme == "http" and not is_loopback(parts.hostname or "")
    if rehearses and not is_loopback(parts.hostname or ""):
        raise wrong(
            "is not on this machine, and a rehearsal asks nobody else; leave it out, or give --provider simulate"
        )
    if is_open and not allow_insecure:
        raise wrong("sends the key and the rows unencrypted; write https://, or set allow_insecure: true")
    return parts._replace(path=parts.path.rstrip("/")).geturl() if parts.query else url.rstrip("/")


def _sound_headers(headers: dict[str, str]) -> dict[str, str]:
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


KeyVariable: TypeAlias = Annotated[str, AfterValidator(_variable)]
Headers: TypeAlias = Annotated[dict[str, str], AfterValidator(_sound_headers)]


class TokenPrices(Settings):
    """US dollars per million tokens."""

    input: UsdPerMillion = Field(description="US dollars per million tokens read.")
    output: UsdPerMillion = Field(description="US dollars per million tokens written.")
    cached: UsdPerMillion | None = Field(
        default=None, description="US dollars per million tokens read from the provider's cache."
    )


class PriceSettings(TokenPrices):
    """What the endpoint charges, in US dollars per million tokens."""

    batch: TokenPrices | None = Field(
        default=None, description="What it charges for the same in a batch (model.lane: batch)."
    )


class EndpointLimits(Settings):
    """What one of several endpoints takes; what is left out is as in the section `limits`."""

    requests_per_minute: Count | None = Field(default=None, description="Its RPM; null knows none.")
    tokens_per_minute: Count | None = Field(default=None, description="Its TPM; null knows none.")
    max_concurrency: Count = Field(default=64, description="At most so many requests at once there.")


class EndpointSettings(Settings):
    """One of several endpoints of the same model."""

    base_url: str | None = Field(
        default=None, description="Where it is, such as https://host/v1; left out, the provider's own place."
    )
    wire_name: Line | None = Field(default=None, description="The model's name there, if it has another one.")
    api_key_env: KeyVariable | None = Field(
        default=None, description="Name of the environment variable with its API key."
    )
    api_key_file: LocalPath | None = Field(
        default=None, description="File with its API key, instead of a variable."
    )
    headers: Headers = Field(
        default_factory=dict, repr=False, description="HTTP headers for it; secrets only as ${NAME}."
    )
    price: PriceSettings | None = Field(
        default=None, description="Its prices, where it does not tell them itself."
    )
    limits: EndpointLimits = Field(
        default_factory=EndpointLimits,
        description="What it takes; by default what the section `limits` says.",
    )
    weight: Weight = Field(
        default=1.0, description="Its share, compared with the others', while more than one has room."
    )
    priority: Whole = Field(
        default=0, description="Asked only while all of a lower number are closed or have been full for 2 s."
    )

    @model_validator(mode="after")
    def _one_source_of_the_key(self) -> Self:
        one_key(self.api_key_env, self.api_key_file)
        return self

    @property
    def account(self) -> str:
        """Whose quota is used up there, as a short name: with another place, model, key or header it is another one."""
        headers = sorted((name.lower(), value) for name, value in self.headers.items())
        key = str(self.api_key_env or self.api_key_file)
        told = ((self.base_url or "").rstrip("/"), self.wire_name, key, headers)
        return sha256(repr(told).encode()).hexdigest()[:12]


def one_key(variable: object, file: object) -> None:
    """Refuse two sources of one key."""
    if variable is not None and file is not None:
        raise wrong("is given beside api_key_file; keep one of them", "api_key_env")
