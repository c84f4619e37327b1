"""Object stores: open one, with the credentials of the environment, and say in one sentence what it refuses.

A sentence never has an error's own text: it may show a signed URL.
"""

import errno
import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

from pipeline.errors import ConfigError, DiskError
from pipeline.system.places import ObjectPath, Unreachable

T = TypeVar("T")

SERVER_ERRORS = 500
"""The first status that says that the server is at fault."""

HINT = "install what reaches object stores: pip install 'nano-pipeline[s3]'"

REQUEST_SECONDS = 10.0
"""How long one request may take: a third of the time for which a lease holds."""

RETRY_SECONDS = 15.0
"""How long the library itself repeats a request that may be repeated."""

PATIENCE_SECONDS = 180.0
"""How long a store may be unavailable before whatever needs it fails."""

STEP_BYTES = 8 << 20
"""What is sent or fetched in one request: enough that its latency does not count, and done within `REQUEST_SECONDS` at 1 MB/s."""


def obstore(module: str = "") -> Any:
    """Return the library, or a *module* of it.

    Raises:
        ConfigError: If it is not installed.
    """
    try:
        return import_module(f"obstore.{module}" if module else "obstore")
    except ImportError as error:
        raise ConfigError(f"object stores need obstore, which is not installed; {HINT}") from error


def store_of(place: ObjectPath) -> Any:
    """Return the store with the bucket of *place*."""
    settings = tuple(sorted((name, value) for name, value in os.environ.items() if _CONCERNS.match(name)))
    return _opened(place.scheme, place.bucket, settings)


_CONCERNS = re.compile(r"(AWS|GOOGLE|AZURE|SSL|HTTPS?)_", re.IGNORECASE)
"""Environment variables that a store heeds: where they differ it is opened anew."""


@lru_cache(maxsize=32)
def _opened(scheme: str, bucket: str, settings: tuple[tuple[str, str], ...]) -> Any:
    stores = obstore("store")
    environment = dict(settings)
    options: dict[str, Any] = {
        "client_options": {
            "timeout": timedelta(seconds=REQUEST_SECONDS),
            "connect_timeout": timedelta(seconds=REQUEST_SECONDS / 2),
            "allow_http": any(value.startswith("http://") for value in environment.values()),
            **_trusted(environment),
        },
        "retry_config": {"max_retries": 8, "retry_timeout": timedelta(seconds=RETRY_SECONDS)},
    }
    try:
        if scheme == "s3":
            return stores.S3Store(bucket, **_profile(environment), **options)
        if scheme == "gs":
            return stores.GCSStore(bucket, **options)
        return stores.AzureStore(bucket, **options)
    except (ValueError, obstore("exceptions").BaseError) as error:
        raise ConfigError(
            f"{scheme}://{bucket}: cannot be opened ({said(error)}); check the credentials in the environment"
        ) from None


def _trusted(environment: Mapping[str, str]) -> dict[str, bytes]:
    """Return the certificates of a private authority, where the environment names their file as for AWS's own tools."""
    file = environment.get("AWS_CA_BUNDLE") or environment.get("SSL_CERT_FILE")
    return {"root_certificate": Path(file).read_bytes()} if file and Path(file).is_file() else {}


def _profile(environment: Mapping[str, str]) -> dict[str, Any]:
    """Return what finds the keys of a profile, if one is named and boto3 is there, which knows profiles and single sign-on."""
    if "AWS_PROFILE" not in environment or "AWS_ACCESS_KEY_ID" in environment or find_spec("boto3") is None:
        return {}
    return {"credential_provider": obstore("auth.boto3").Boto3CredentialProvider()}


def is_transient(error: Exception) -> bool:
    """Return whether a request may succeed if it is sent again."""
    known = obstore("exceptions")
    # What sends an object in pieces raises OSError, without a number.
    is_sending = (
        isinstance(error, OSError) and error.errno is None and not isinstance(error, FileNotFoundError)
    )
    if is_sending or isinstance(error, known.GenericError | known.JoinError):
        status = _status(error)
        return status is None or status >= SERVER_ERRORS or status in {408, 409, 429}
    return False


def refusal(error: Exception, place: ObjectPath) -> OSError:
    """Return what is raised for a library's *error* about *place*."""
    known, text = obstore("exceptions"), str(error)
    if "NoSuchBucket" in text or "ContainerNotFound" in text or "bucket does not exist" in text:
        sentence = f"there is no bucket {place.bucket}; create it, or check its name"
        return Unreachable(errno.ENOENT, sentence, str(place))
    if isinstance(error, FileNotFoundError):
        return FileNotFoundError(errno.ENOENT, "there is no such object", str(place))
    if isinstance(error, known.PermissionDeniedError | known.UnauthenticatedError) or _status(error) in {
        401,
        403,
    }:
        sentence = (
            f"access denied ({said(error)}): check the credentials in the environment and what they may do"
        )
        return Unreachable(errno.EACCES, sentence, str(place))
    if isinstance(error, known.PreconditionError):
        return OSError(errno.ESTALE, "it was changed or removed meanwhile", str(place))
    return Unreachable(errno.EIO, f"the store says {said(error)}", str(place))


def asking(
    place: ObjectPath, request: Callable[[], T], *, patience: float = PATIENCE_SECONDS, pause: float = 0.2
) -> T:
    """Return the result of *request* about *place*, which changes nothing if it is sent twice; repeat it during an outage.

    Raises:
        FileNotFoundError, Unreachable: If the store refuses it.
        DiskError: If the store was unavailable for so many seconds.
    """
    known = obstore("exceptions")
    until = time.monotonic() + patience
    while True:
        try:
            return request()
        except (known.BaseError, FileNotFoundError) as error:
            if not is_transient(error):
                raise refusal(error, place) from None
            if time.monotonic() > until:
                raise unavailable(place, error) from None
        time.sleep(pause)
        pause = min(5.0, 2 * pause)


def delete(place: ObjectPath, keys: Sequence[str], *, patience: float = PATIENCE_SECONDS) -> None:
    """Delete the objects with these *keys* in the bucket of *place*; one that is not there counts as deleted.

    Raises:
        OSError: If the store refuses it.
        DiskError: If the store was unavailable for so many seconds.
    """
    try:
        asking(place, lambda: obstore().delete(store_of(place), list(keys)), patience=patience)
    except FileNotFoundError:  # as Azure says it, of one of them
        for key in keys if len(keys) > 1 else ():
            delete(place, [key], patience=patience)


def unavailable(place: ObjectPath, error: Exception) -> DiskError:
    """Return what is raised if a store is unavailable for too long."""
    return DiskError(f"{place}: the store is unavailable ({said(error)}); run again once it is back")


def _status(error: Exception) -> int | None:
    found = re.search(r"status code: (\d{3})", str(error))
    return int(found[1]) if found else None


def said(error: Exception) -> str:
    """Return what a store said, by status and code; its words may have secrets in them."""
    text = str(error)
    code = re.search(r"<Code>(\w{1,60})</Code>", text)
    status = re.search(r"status code: (\d{3}[ A-Za-z]{0,40})", text)
    found = [part[1].strip() for part in (status, code) if part]
    if not found:
        reasons = {
            "timed out": "no reply in time",
            "onnection": "no connection",
            "error sending": "no connection",
        }
        found = [next((said for word, said in reasons.items() if word in text), type(error).__name__)]
    return ", ".join(found)
