"""Objects that are written under a condition: created once, or replaced only as they were last seen.

The reply to such a write may be lost after the write. So a failure is settled by reading what is there: each content is unlike
any other, and who finds its own has written it.
"""

import random
import time
from dataclasses import dataclass
from typing import Any

from pipeline.storage.client import asking, is_transient, obstore, refusal, store_of, unavailable
from pipeline.system.places import ObjectPath

TRIES = 6
"""How often one write is tried; with pauses and time limits within the time for which a lease holds."""


class Taken(Exception):  # noqa: N818 - it tells how a race ended
    """Another has created or replaced the object."""


@dataclass(frozen=True, slots=True)
class Written:
    """An object as it was found or written.

    Attributes:
        content: Its bytes.
        version: What a store knows this very version by.
    """

    content: bytes
    version: Any


def _version(facts: Any) -> dict[str, str]:
    """Return by what a store knows a version: S3 and Azure by the ETag, Google by the version, which a bucket may not have."""
    return {name: facts[name] for name in ("e_tag", "version") if facts[name] is not None}


def read(place: ObjectPath, *, patience: float = 180.0) -> Written | None:
    """Return the object at *place*; None if there is none.

    Raises:
        OSError: If it cannot be read.
        DiskError: If the store is unavailable for longer than *patience* in seconds.
    """

    def request() -> Written:
        found = obstore().get(store_of(place), place.key)
        return Written(bytes(found.bytes()), _version(found.meta))

    try:
        return asking(place, request, patience=patience)
    except FileNotFoundError:
        return None


def overwrite(place: ObjectPath, content: bytes) -> None:
    """Make *content* the object at *place*, whatever is there.

    Raises:
        OSError: If it cannot be written.
        DiskError: If the store is unavailable for long.
    """
    asking(place, lambda: obstore().put(store_of(place), place.key, content, use_multipart=False))


def put(place: ObjectPath, content: bytes, seen: Written | None, *, patience: float = 20.0) -> Written:
    """Write the object at *place* if it still is as it was *seen*, or still is absent; returns it as it is then.

    Raises:
        Taken: If it is not.
        OSError: If it cannot be written.
        DiskError: If the store is unavailable.
    """
    known = obstore("exceptions")
    until = time.monotonic() + patience
    for attempt in range(1, TRIES + 1):
        try:
            done = obstore().put(
                store_of(place),
                place.key,
                content,
                mode=seen.version if seen else "create",
                use_multipart=False,
            )
            return Written(content, _version(done))
        except (known.BaseError, FileNotFoundError) as error:
            # Two who race may both be refused; then what is there is what was seen.
            is_race = isinstance(error, known.AlreadyExistsError | known.PreconditionError)
            if not (is_race or is_transient(error)):
                raise refusal(error, place) from None
            found = read(place, patience=max(0.0, until - time.monotonic()))
            if found is not None and found.content == content:
                return found
            if (found and found.version) != (seen and seen.version):
                raise Taken from None
            if attempt == TRIES or time.monotonic() > until:
                raise unavailable(place, error) from None
        time.sleep(min(2.0, 0.1 * 2**attempt) * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
    raise AssertionError("the last attempt returns or raises")
