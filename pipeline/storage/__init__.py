"""Where the user's tables lie: the few verbs by which they are listed, read and replaced, on the local disk today.

What is local by nature does without: the state directory, the copies in it, and temporary files.
"""

from pipeline.storage.local import (
    Stamp,
    ensure_writable,
    entries,
    exists,
    files_below,
    is_file,
    is_folder,
    is_pattern,
    make_folder,
    matching,
    open_arrow,
    open_file,
    remove,
    replacing,
    replacing_folder,
    resolved,
    stamp,
    sweep,
    target,
    temporary_folder,
)

__all__ = [
    "Stamp",
    "ensure_writable",
    "entries",
    "exists",
    "files_below",
    "is_file",
    "is_folder",
    "is_pattern",
    "make_folder",
    "matching",
    "open_arrow",
    "open_file",
    "remove",
    "replacing",
    "replacing_folder",
    "resolved",
    "stamp",
    "sweep",
    "target",
    "temporary_folder",
]
