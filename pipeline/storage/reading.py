"""An object as a file: ranges of it, fetched ahead, and all of one version."""

import errno
import io
from collections import OrderedDict
from typing import Any

from pipeline.storage.client import asking, obstore, store_of
from pipeline.system.places import ObjectPath

BLOCK_BYTES = 1 << 20
"""What is fetched at once: each column of a table is read in pieces of some ten kilobytes, which would cost a request each."""

BLOCKS = 32
"""Blocks that are remembered: one for each of so many columns that are read side by side."""


class ObjectFile(io.RawIOBase):
    """An object that is read in ranges.

    Reading raises OSError once the object is another one than when it was opened.
    """

    def __init__(self, place: ObjectPath) -> None:
        """Open the object at *place*.

        Raises:
            OSError: If there is none, or it cannot be read.
        """
        self._place, self._store, self._at = place, store_of(place), 0
        self._meta: Any = asking(place, lambda: obstore().head(self._store, place.key))
        self._size: int = self._meta["size"]
        self._blocks: OrderedDict[int, memoryview] = OrderedDict()

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the position."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Move to another position, and return it."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, start + offset)
        return self._at

    def readinto(self, buffer: Any, /) -> int:
        """Fill *buffer* with what comes next, as far as there is something; returns the number of bytes."""
        view = memoryview(buffer).cast("B")
        count = max(0, min(len(view), self._size - self._at))
        done = 0
        while done < count:
            number, offset = divmod(self._at + done, BLOCK_BYTES)
            piece = self._block(number, count - done + offset)[offset : offset + count - done]
            view[done : done + len(piece)] = piece
            done += len(piece)
        self._at += count
        return count

    def _block(self, number: int, wanted: int) -> memoryview:
        """Return the block with this *number*, and what follows it if more than one block is *wanted*."""
        found = self._blocks.get(number)
        if found is None:
            blocks = max(1, min(8, -(-wanted // BLOCK_BYTES)))
            start = number * BLOCK_BYTES
            found = self._fetched(start, min(self._size, start + blocks * BLOCK_BYTES))
            for index in range(0, len(found), BLOCK_BYTES):
                self._blocks[number + index // BLOCK_BYTES] = found[index : index + BLOCK_BYTES]
            while len(self._blocks) > BLOCKS:
                self._blocks.popitem(last=False)
        self._blocks.move_to_end(number)
        return self._blocks[number]

    def _fetched(self, start: int, stop: int) -> memoryview:
        options: Any = {"range": (start, stop), "if_match": self._meta["e_tag"]}
        content = asking(
            self._place,
            lambda: memoryview(bytes(obstore().get(self._store, self._place.key, options=options).bytes())),
        )
        if len(content) != stop - start:
            raise OSError(errno.EIO, f"{len(content)} bytes came instead of {stop - start}", str(self._place))
        return content
