"""Places: where a table lies, on this machine or in an object store. Both are paths, so callers join and name them alike."""

import glob
import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import TypeAlias

SCHEMES = ("s3", "gs", "az")
"""Object stores: Amazon S3 and what speaks its protocol, Google Cloud Storage, Azure Blob Storage."""

_OBJECT = re.compile(rf"({'|'.join(SCHEMES)}):/+")


class ObjectPath(PurePosixPath):
    """The place of an object, or of a folder of them: `s3://bucket/folder/name`. It has no method that looks at a disk."""

    def __str__(self) -> str:
        """Return the URL: a path would have one slash after the scheme."""
        return _OBJECT.sub(r"\1://", super().__str__(), count=1) if self._is_whole else super().__str__()

    @property
    def _is_whole(self) -> bool:
        """Whether it has a scheme; the rest that `relative_to` leaves has none."""
        return bool(self.parts) and self.parts[0].removesuffix(":") in SCHEMES and self.parts[0].endswith(":")

    @property
    def scheme(self) -> str:
        """The scheme, such as `s3`."""
        return self.parts[0].removesuffix(":")

    @property
    def bucket(self) -> str:
        """The name of the bucket, or of Azure's container; empty for what is above all of them."""
        return self.parts[1] if len(self.parts) > 1 else ""

    @property
    def key(self) -> str:
        """The object's name in its bucket."""
        return "/".join(self.parts[2:])

    @property
    def parents(self) -> Sequence["ObjectPath"]:
        """The folders above, up to the bucket."""
        return [self.parent, *self.parent.parents] if len(self.parts) > 2 else []  # noqa: PLR2004 - scheme and bucket

    def absolute(self) -> "ObjectPath":
        """Return the place itself."""
        return self


class Unreachable(OSError):  # noqa: N818 - its sentence says what is wrong
    """A bucket that is not there, or a refusal that no repetition mends; `strerror` is the sentence."""


Place: TypeAlias = Path | ObjectPath


def is_object(text: str) -> bool:
    """Return whether *text* is the URL of an object, or of a folder of objects."""
    return _OBJECT.match(text) is not None


def place_of(text: str) -> Place:
    """Return the place that *text* names."""
    return ObjectPath(text) if is_object(text) else Path(text)


def is_pattern(text: str) -> bool:
    """Return whether *text* is a glob."""
    return glob.has_magic(text)


def matches(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    """Return whether the *parts* of a path match those of a *pattern*, in which `**` stands for any number of folders."""
    if not pattern:
        return not parts
    if pattern[0] == "**":
        return any(matches(parts[start:], pattern[1:]) for start in range(len(parts) + 1))
    return bool(parts) and fnmatchcase(parts[0], pattern[0]) and matches(parts[1:], pattern[1:])
