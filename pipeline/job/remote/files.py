"""The small files of a state, such as the records of its runs, its reports and decisions: each an object of its own."""

from collections.abc import Iterator
from pathlib import Path

from pipeline import storage
from pipeline.config.slices import FOLDER
from pipeline.job.remote.copied import Copied
from pipeline.ledger.opening import FILE
from pipeline.storage import conditional
from pipeline.system.places import ObjectPath

LEFT_OUT = {FOLDER, "parts", "input", "simulated", "lock", "progress.json", "ballast"}
"""Names of what is not shipped: it can be made again, or means nothing elsewhere."""

LOG = "log.jsonl"
"""Grows with each run, and is about this machine."""

MOST_BYTES = 32 << 20
"""Larger files are none that a run could not do without."""


def ship_files(folder: Path, store: ObjectPath, copied: Copied) -> None:
    """Store the files in *folder* that are new or have changed, and remove from the store those that have gone."""
    for path in _files(folder):
        name = path.relative_to(folder).as_posix()
        try:
            found = path.stat()
            facts = [found.st_size, found.st_mtime_ns]
            if copied.files.get(name) == facts or found.st_size > MOST_BYTES:
                continue
            content = path.read_bytes()
        except FileNotFoundError:
            continue
        conditional.overwrite(store / "files" / name, content)
        copied.files[name] = facts
    for name in [name for name in copied.files if not (folder / name).exists()]:
        storage.remove(store / "files" / name)
        del copied.files[name]


def fetch_files(folder: Path, store: ObjectPath, copied: Copied) -> None:
    """Make the files in *folder* those in the store."""
    root, before = store / "files", set(copied.files)
    copied.files = {}
    for place in storage.files_below(root):
        found = conditional.read(place)
        name = place.relative_to(root).as_posix()
        path = folder / name
        if found is None:
            continue
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with storage.replacing(path) as temporary:
            temporary.write_bytes(found.content)
        found_now = path.stat()
        copied.files[name] = [found_now.st_size, found_now.st_mtime_ns]
    for name in before - set(copied.files):
        (folder / name).unlink(missing_ok=True)


def _files(folder: Path) -> Iterator[Path]:
    waiting = [folder]
    while waiting:
        for path in waiting.pop().iterdir():
            if path.name in LEFT_OUT or path.name.startswith((".", FILE, LOG)) or path.suffix == ".parquet":
                continue
            if path.is_dir() and not path.is_symlink():
                waiting.append(path)
            elif path.is_file():
                yield path
