"""Whose turn it is with the batches of a state directory: one process looks, hands in and takes in at a time."""

import logging
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

from pipeline.errors import LockedError
from pipeline.system.atomic import make_private
from pipeline.system.clock import Clock
from pipeline.system.lock import Lock

log = logging.getLogger(__name__)

FILE = "batches.lock"
TRY_SECONDS = 1.0


@asynccontextmanager
async def turn(state: Path, clock: Clock) -> AsyncIterator[Lock]:
    """Have the batches of the state directory *state* for oneself while the block runs; waits for who has them."""
    make_private(state)
    lock, told = Lock(state / FILE, state, "state.dir"), False
    with ExitStack() as held:
        while True:
            try:
                held.enter_context(lock.held())
                break
            except LockedError as error:
                if not told:
                    log.info("waiting: %s", error)
                    told = True
                await clock.sleep(TRY_SECONDS)
        yield lock
