"""Objects: list them, tell whether one has changed, read ranges of it, and replace one, or a folder of them."""

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import blake2b
from io import BufferedReader
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson
import pyarrow as pa

from pipeline.storage import conditional
from pipeline.storage.client import asking, delete, obstore, store_of
from pipeline.storage.conditional import Taken
from pipeline.storage.lease import Lease
from pipeline.storage.reading import BLOCK_BYTES, ObjectFile
from pipeline.storage.sending import SUCCESS, replace_folder, send
from pipeline.system.places import ObjectPath, Unreachable, is_pattern, matches

OWN = {SUCCESS}
"""Names of objects that are not the user's rows."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """What a store says about an object; a different stamp means that the bytes may differ.

    Attributes:
        e_tag: The store's own fingerprint of it.
        size: Bytes.
        version: Its version, where the bucket keeps versions.
    """

    e_tag: str | None
    size: int
    version: str | None


def stamp(place: ObjectPath) -> Stamp:
    """Take the stamp of an object."""
    found = asking(place, lambda: obstore().head(store_of(place), place.key))
    return Stamp(found["e_tag"], found["size"], found["version"])


def whole_stamp(place: ObjectPath) -> str:
    """Return a hash that changes when an object or a folder of them is changed; "" if it is missing."""
    facts = [[each["path"], each["e_tag"], each["size"]] for each in _listed(place)]
    if not facts and is_file(place):
        facts = [[place.key, (found := stamp(place)).e_tag, found.size]]
    return blake2b(orjson.dumps(sorted(facts)), digest_size=16).hexdigest() if facts else ""


def exists(place: ObjectPath) -> bool:
    """Return whether an object, or a folder of them, is there."""
    return is_file(place) or is_folder(place)


def is_file(place: ObjectPath) -> bool:
    """Return whether an object is there."""
    try:
        return bool(place.key) and stamp(place).size >= 0
    except FileNotFoundError:
        return False


def is_folder(place: ObjectPath) -> bool:
    """Return whether there is an object below."""
    return bool(place.bucket) and any(True for _ in _listed(place, 1))


def entries(folder: ObjectPath) -> Iterator[tuple[str, bool]]:
    """Yield the name of each entry of a folder, and whether it is a folder."""
    found = asking(
        folder,
        lambda: obstore().list_with_delimiter(store_of(folder), folder.key or None, return_arrow=False),
    )
    yield from ((path.rsplit("/", 1)[-1], True) for path in found["common_prefixes"])
    names = (each["path"].rsplit("/", 1)[-1] for each in found["objects"] if each["path"] != folder.key)
    yield from ((name, False) for name in names if name)


def files_below(place: ObjectPath) -> list[ObjectPath]:
    """Return the objects below, sorted; of an object only itself. What says that a folder is complete is none of them."""
    if is_file(place):
        return [place]
    found = (_at(place, each["path"]) for each in _listed(place))
    return sorted(each for each in found if each.name not in OWN)


def matching(pattern: str) -> Iterator[ObjectPath]:
    """Yield what a glob matches."""
    whole = root = ObjectPath(pattern)
    while is_pattern(str(root)):
        root = root.parent
    for each in _listed(root):
        found = _at(root, each["path"])
        if matches(found.parts, whole.parts):
            yield found


def resolved(place: ObjectPath) -> ObjectPath:
    """Return *place*: there are no links."""
    return place


def open_file(place: ObjectPath) -> BufferedReader:
    """Open an object to read ranges of its bytes."""
    return BufferedReader(ObjectFile(place), BLOCK_BYTES)


def open_arrow(place: ObjectPath) -> pa.NativeFile:
    """Open an object for pyarrow; it must be closed."""
    return pa.PythonFile(ObjectFile(place), mode="r")


def target(place: ObjectPath) -> ObjectPath:
    """Return *place*: folders need not be made."""
    return place


def sweep(place: ObjectPath) -> None:
    """Leave everything: what a killed process had sent of an object is no object."""


def remove(place: ObjectPath) -> None:
    """Remove an object, or a folder of them."""
    places = [place] if is_file(place) else [_at(place, each["path"]) for each in _listed(place)]
    delete(place, [each.key for each in places])


def lock(place: ObjectPath, setting: str, owner: Callable[[], str]) -> Lease:
    """Return the lock beside the output at *place*: an object that exists while the lock is held."""
    return Lease(place.with_name(f".{place.name}.lock"), place, setting, owner())


def ensure_writable(place: ObjectPath) -> None:
    """Write an object beside *place*, and see that the store refuses what would let two runs take one lock.

    Raises:
        OSError: If something else happens.
    """
    probe = place.with_name(f".{place.name}.{secrets.token_hex(8)}.tmp")
    first = conditional.put(probe, secrets.token_bytes(16), None)
    try:
        for seen in (None, first):
            other = conditional.put(probe, secrets.token_bytes(16), first) if seen else None
            with suppress(Taken):
                conditional.put(probe, secrets.token_bytes(16), seen)
                how = "created twice" if other is None else "replaced as it no longer was"
                raise Unreachable(
                    0,
                    f"the store let an object be {how}: it knows no conditional writes, "
                    "and two runs could take one output; use another store",
                    str(place),
                )
    finally:
        delete(probe, [probe.key])


@contextmanager
def replacing(place: ObjectPath, *, before_rename: Callable[[], None] = lambda: None) -> Iterator[Path]:
    """Yield a new file on this machine, which becomes the object at *place* if the block succeeds.

    It appears at one instant, however large it is. *before_rename* is called once all of it but the last request is sent.
    """
    with TemporaryDirectory(prefix="pipeline-output-") as folder:
        file = Path(folder, place.name)
        file.touch()
        yield file
        send(file, place, before=before_rename)


@contextmanager
def replacing_folder(
    place: ObjectPath,
    *,
    ensure_running: Callable[[], None] = lambda: None,
    before_rename: Callable[[], None] = lambda: None,
) -> Iterator[Path]:
    """Yield a new folder on this machine, whose files replace those at *place* if the block succeeds.

    They appear one after another, and `_SUCCESS` when all are there; until then there is none.
    """
    with TemporaryDirectory(prefix="pipeline-output-") as temporary:
        folder = Path(temporary, place.name)
        folder.mkdir()
        yield folder
        earlier = {each.key for each in files_below(place)}
        before_rename()
        replace_folder(folder, place, earlier, ensure_running=ensure_running, before=before_rename)


def _listed(place: ObjectPath, most: int | None = None) -> Iterator[Any]:
    """Yield what a store says of each object below *place*, of *most* at least."""

    def request() -> list[Any]:
        pages = obstore().list(store_of(place), place.key or None, chunk_size=most or 1000)
        return list(next(pages, ())) if most else [each for page in pages for each in page]

    yield from asking(place, request)


def _at(place: ObjectPath, key: str) -> ObjectPath:
    return ObjectPath(f"{place.scheme}://{place.bucket}/{key}")
