"""Room for a bounded amount of work at once."""

import asyncio


class Room:
    """Holds shares that together are at most 1; what is in it must be known to leave it again."""

    def __init__(self) -> None:
        self._taken = 0.0
        self._left = asyncio.Event()

    async def enter(self, share: float) -> None:
        """Wait until there is room for *share*, and take it; one that is larger than 1 waits until all is free."""
        while self._taken and self._taken + share > 1:
            self._left.clear()
            await self._left.wait()
        self._taken += share

    def leave(self, share: float) -> None:
        """Give the room of *share* back."""
        self._taken = max(0.0, self._taken - share)
        self._left.set()
