"""Whose certificates are trusted: the system's, and those of authorities that a company or the config adds.

Verification cannot be switched off.
"""

import os
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.errors import ConfigError

OPENSSL = ("SSL_CERT_FILE", "SSL_CERT_DIR")
"""The variables that OpenSSL reads itself: each replaces one of the system's two places."""

BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
"""The variables of other programs; what they name is trusted beside the system's."""

HTTP_1 = ["http/1.1"]


@dataclass(frozen=True, slots=True)
class Trust:
    """The certificates that an endpoint's own is checked against.

    Attributes:
        context: They; None for the system's alone, which aiohttp loads once for the process.
        places: Where they are from, for messages.
    """

    context: ssl.SSLContext | None = field(default=None, repr=False)
    places: tuple[str, ...] = ()

    def __str__(self) -> str:
        return ", ".join(self.places or _system_places())


SYSTEM = Trust()
"""Those of the system alone."""


def load_trust(ca_file: Path | None) -> Trust:
    """Load the certificates to trust; *ca_file* is `model.ca_file`.

    Raises:
        ConfigError: If a file that is named is missing or holds no certificate; a line for each.
    """
    named = [(name, os.environ[name]) for name in BUNDLES if os.environ.get(name)]
    if ca_file is not None:
        named.append(("model.ca_file", str(ca_file)))
    if not named and not any(os.environ.get(name) for name in OPENSSL):
        return SYSTEM
    context = ssl.create_default_context()  # reads OpenSSL's own variables, and ignores what is not there
    context.set_alpn_protocols(HTTP_1)
    problems: list[str] = []
    if found := os.environ.get(OPENSSL[0]):
        problems += _problems(OPENSSL[0], found, ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    for name, path in named:
        problems += _problems(name, path, context)
    if problems:
        raise ConfigError(*problems)
    return Trust(context, (*_system_places(), *(f"{path} ({name})" for name, path in named)))


def _problems(name: str, path: str, context: ssl.SSLContext) -> Iterator[str]:
    """Load the certificates at *path* into *context*, and yield what is wrong with them."""
    where = name if "." in name else f"the environment variable {name}"
    try:
        if Path(path).is_dir():
            context.load_verify_locations(capath=path)
        else:
            context.load_verify_locations(cafile=path)
    except ssl.SSLError:
        yield f"{where}: {path} holds no certificates in PEM format; name a file that does"
    except OSError as error:
        yield f"{where}: {path} cannot be read ({error.strerror}); name a file with certificates in PEM format"


def _system_places() -> tuple[str, ...]:
    """Return the files and folders that OpenSSL looks at by itself, as far as they are there."""
    paths = ssl.get_default_verify_paths()
    defaults = (paths.openssl_cafile, paths.openssl_capath)
    found = []
    for variable, default in zip(OPENSSL, defaults, strict=True):
        path = os.environ.get(variable)
        if path:
            missing = "" if any(map(os.path.exists, path.split(os.pathsep))) else ", not there"
            found.append(f"{path} ({variable}{missing})")
        elif os.path.exists(default):  # noqa: PTH110 - a text of OpenSSL's
            found.append(f"{default} (the system's)")
    return tuple(found)
