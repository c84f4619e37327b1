"""HTTP proxies: how one is written, and which one the environment names for an endpoint."""

import base64
import ipaddress
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import SplitResult, unquote, urlsplit

from pipeline.config.values import CONTROL

AUTO, NONE = "auto", "none"
"""Words for `model.proxy`: what the environment says, and no proxy at all."""

EXAMPLE = "http://proxy.example:3128"

_SEPARATORS = re.compile(r"[\s,]+")
_PORT = re.compile(r"(.*):([0-9]+)")


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy.

    Attributes:
        url: Its URL, without credentials.
        source: Where it is named: `model.proxy`, or an environment variable.
        credentials: User name and password; None if there are none.
    """

    url: str
    source: str
    credentials: tuple[str, str] | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return f"the proxy {self.url} ({self.source})"

    @property
    def authorization(self) -> str | None:
        """The header that holds the credentials; None if there are none."""
        if self.credentials is None:
            return None
        return "Basic " + base64.b64encode(":".join(self.credentials).encode()).decode()

    @property
    def secrets(self) -> frozenset[str]:
        """What must be shown nowhere."""
        return frozenset(filter(None, [self.authorization, *(self.credentials or ())[1:]]))


def parse_proxy(text: str, source: str) -> Proxy:
    """Parse the URL of a proxy; without a scheme it is http.

    Raises:
        ValueError: If it is none; the sentence never holds the text, which may hold a password.
    """
    scheme, separator, rest = text.strip().partition("://")
    if not separator:
        scheme, rest = "http", text.strip()
    # From the right: a password as a variable holds it may have an @ or a / in it.
    userinfo, _, place = rest.rpartition("@")
    scheme = scheme.lower()
    if scheme.startswith("socks"):
        raise ValueError(f"is a SOCKS proxy, and only HTTP proxies are spoken; write one such as {EXAMPLE}")
    if scheme not in {"http", "https"} or not _is_place(place):
        raise ValueError(f"is not the URL of a proxy; write one such as {EXAMPLE}")
    user, _, password = userinfo.partition(":")
    credentials = (unquote(user), unquote(password)) if userinfo else None
    return Proxy(f"{scheme}://{place.rstrip('/')}", source, credentials)


def proxy_in_environment(target: SplitResult, env: Mapping[str, str]) -> Proxy | None:
    """Return the proxy that the variables in *env* name for the URL *target*; None for the direct way.

    Raises:
        ValueError: If the variable holds no proxy that can be used; the sentence names it.
    """
    host = target.hostname or ""
    if is_loopback(host) or _is_exempt(host, target.port, env):
        return None
    for name in (f"{target.scheme}_proxy", "all_proxy"):
        for variable in (name, name.upper()):
            if env.get(variable, "").strip():
                try:
                    return parse_proxy(env[variable], variable)
                except ValueError as error:
                    raise ValueError(
                        f"the environment variable {variable} {error}, or set model.proxy"
                    ) from None
    return None


def is_loopback(host: str) -> bool:
    """Return whether *host* is this machine itself."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _is_place(text: str) -> bool:
    """Return whether *text* is a host, perhaps with a port."""
    with suppress(ValueError):
        parts = urlsplit(f"//{text}")
        plain = not (CONTROL.search(text) or " " in text or "\\" in text)
        return plain and bool(parts.hostname) and parts.port != 0 and text.rstrip("/") == parts.netloc
    return False


def _is_exempt(host: str, port: int | None, env: Mapping[str, str]) -> bool:
    """Return whether NO_PROXY names the host: by name, by its domain, by address or network, with a port or without."""
    listed = env.get("no_proxy", "").strip() or env.get("NO_PROXY", "").strip()
    return any(_names(entry, host.rstrip("."), port) for entry in _SEPARATORS.split(listed.lower()) if entry)


def _names(entry: str, host: str, port: int | None) -> bool:
    if entry == "*":
        return True
    with suppress(ValueError):
        return ipaddress.ip_address(host) in ipaddress.ip_network(entry, strict=False)
    if found := _PORT.fullmatch(entry):
        if int(found[2]) != port:
            return False
        entry = found[1]
    domain = entry.strip("[]").lstrip("*").lstrip(".")
    return host == domain or (bool(domain) and host.endswith(f".{domain}"))
