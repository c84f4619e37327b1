"""A lease: the right to write something in an object store, held by one process at a time.

Nothing there tells that a process has died. So the holder renews an object every few seconds, by compare-and-swap; who finds that
it was not renewed for `LEASE_SECONDS`, measured by its own clock, takes it over. Two clocks are never compared. A holder whose
last renewal is `FRESH_SECONDS` old renews before it does anything else: if another has taken over, the store refuses.

A state directory has a lock of its own, which only one living process holds. So who holds it need not wait for a lease that a
process with the same state directory has left behind: that one is dead.
"""

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from typing import Any

import orjson

from pipeline.errors import CannotCreateError, DiskError, LockedError, PipelineError
from pipeline.storage.client import delete
from pipeline.storage.conditional import Taken, Written, put, read
from pipeline.storage.leash import FRESH_SECONDS, LOST, OUTAGE_SECONDS, Leash, now
from pipeline.system.places import ObjectPath

LEASE_SECONDS = 30.0
RENEW_SECONDS = 5.0
WATCH_SECONDS = 1.0
"""How often the lease of another is looked at before it is taken over."""


class Lease:
    """The lease on an output, or on its state; one `held` block at a time.

    Attributes:
        epoch: How often the lease has changed hands, this time included.
    """

    def __init__(
        self, place: ObjectPath, output: object, setting: str, owner: str, *, stays: bool = False
    ) -> None:
        """Create a lease that is not held.

        Args:
            place: The object; it exists only while the lease is held, or after its holder was killed.
            output: What error messages call in use.
            setting: The setting to check if the object cannot be created.
            owner: Who holds the lock of the state directory that `owner` names may take over its lease at once; may be empty.
            stays: Keep the object, with its epoch.
        """
        self.place, self.epoch = place, 0
        self._output, self._setting, self._owner, self._stays = output, setting, owner, stays
        self._name = f"process {os.getpid()} on {socket.gethostname()}"
        self._instance = token_hex(16)
        self._seen: Written | None = None
        self._renewed_at = 0.0
        self._turn, self._closing = threading.Lock(), threading.Event()
        self._lost: LockedError | None = None
        self._leash: Leash | None = None

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lease while the block runs; a block that fails after it was lost fails with LockedError.

        Raises:
            LockedError: If another process holds it, which is named; or if it was lost.
            CannotCreateError: If the object cannot be written.
        """
        self._closing.clear()
        self._lost = None
        try:
            self._acquire()
        except OSError as error:
            raise CannotCreateError(
                f"{self.place}: cannot be written: {error.strerror}; check {self._setting}"
            ) from error
        thread = threading.Thread(target=self._renew_repeatedly, name="lease", daemon=True)
        thread.start()
        try:
            yield
        except PipelineError as error:
            if self._lost is not None and not isinstance(error, LockedError):
                raise LockedError(*self._lost.problems, *error.problems) from error
            raise
        finally:
            self._closing.set()
            thread.join()
            self._release()

    def ensure_held(self) -> None:
        """Check that no other process can hold the lease; takes no time while it is fresh, else it is renewed first.

        Raises:
            LockedError: If another has it, or if it could not be renewed for long.
        """
        until = now() + OUTAGE_SECONDS
        while self._lost is None:
            if self.is_fresh:
                return
            try:
                self._renew()
            except (DiskError, OSError) as error:
                if now() > until or self._closing.wait(RENEW_SECONDS / 5):
                    raise LockedError(
                        f"{self._output}: this run's lease {self.place} could not be renewed ({error}); "
                        "run again to continue"
                    ) from error
        raise self._lost

    @property
    def is_fresh(self) -> bool:
        """Whether no other process can have taken it over."""
        return self._lost is None and now() - self._renewed_at <= FRESH_SECONDS

    def leashes(self, folder: Path) -> list[Leash]:
        """Return what another process on this machine needs to see whether this one still holds the lease.

        A file in *folder* tells it, for as long as the folder is there.
        """
        self._leash = Leash(folder / f"{self._instance}.lease", self._output)
        self._leash.tell(self._renewed_at)
        return [self._leash]

    def holder(self) -> str | None:
        """Return which process holds the lease, or None; one that was killed counts until its lease is taken over."""
        try:
            found = read(self.place)
        except (OSError, PipelineError):
            return None
        return _facts(found).get("holder") if found else None

    def live_holder(self) -> str | None:
        """Return which process holds the lease and has renewed it before our eyes; None if none has for `LEASE_SECONDS`."""
        found = read(self.place)
        if found is not None and self._is_anothers(found):
            try:
                self._await_silence(found)
            except LockedError:
                return str(_facts(found)["holder"])
        return None

    def _acquire(self) -> None:
        found = read(self.place)
        if found is not None and self._is_anothers(found):
            self._await_silence(found)
        self.epoch = int(_facts(found).get("epoch", 0)) + 1 if found else 1
        try:
            self._put(found)
        except Taken:
            raise self._in_use(read(self.place)) from None

    def _is_anothers(self, found: Written) -> bool:
        facts = _facts(found)
        return bool(facts.get("holder")) and not (self._owner and facts.get("owner") == self._owner)

    def _await_silence(self, found: Written) -> None:
        """Return once the lease was not renewed for so long that its holder is dead.

        Raises:
            LockedError: If it is renewed.
        """
        until = now() + LEASE_SECONDS
        while now() < until:
            time.sleep(WATCH_SECONDS)
            latest = read(self.place)
            if latest is None or not _facts(latest).get("holder"):
                break  # released: whoever is first gets it
            if latest.content != found.content:
                raise self._in_use(latest)

    def _in_use(self, found: Written | None) -> LockedError:
        holder = (_facts(found).get("holder") if found else None) or "another run"
        return LockedError(f"{self._output}: in use by {holder}; wait for it, or end it")

    def _put(self, seen: Written | None, *, holder: str | None = None) -> None:
        facts = {
            "holder": self._name if holder is None else holder,
            "owner": self._owner,
            "epoch": self.epoch,
            "instance": self._instance,
            "nonce": token_hex(8),  # no two writes are alike
        }
        began = now()  # it was ours at this time at least
        try:
            self._seen = put(self.place, orjson.dumps(facts), seen)
        except Taken:
            found = read(self.place)
            if found is None or _facts(found).get("instance") != self._instance:
                raise
            # An earlier write of ours, of which an outage has kept every reply from us.
            self._seen = put(self.place, orjson.dumps(facts), found)
        self._renewed_at = began
        if self._leash is not None:
            self._leash.tell(began)

    def _renew(self) -> None:
        with self._turn:
            if self._lost is not None or now() - self._renewed_at < RENEW_SECONDS / 2:
                return  # another thread was quicker
            try:
                self._put(self._seen)
            except Taken:
                holder = self.holder()
                has = f"{holder} has the output now" if holder else "another run may have the output now"
                self._lost = LockedError(
                    f"{self._output}: this run's lease {self.place} was taken over, and {has}; "
                    "this run sends and publishes nothing more, run again to continue"
                )
                if self._leash is not None:
                    self._leash.tell(LOST)

    def _renew_repeatedly(self) -> None:
        while not self._closing.wait(RENEW_SECONDS) and self._lost is None:
            with suppress(
                OSError, PipelineError
            ):  # whoever needs the lease renews it itself, and says why it cannot
                self._renew()

    def _release(self) -> None:
        if self._leash is not None:
            self._leash.tell(LOST)
            self._leash = None
        with suppress(OSError, PipelineError, Taken):
            if self._lost is not None:
                return
            self._put(self._seen, holder="")
            if not self._stays:
                delete(self.place, [self.place.key], patience=5)


def _facts(found: Written | None) -> dict[str, Any]:
    with suppress(ValueError):
        facts = orjson.loads(found.content if found else b"{}")
        if isinstance(facts, dict):
            return facts
    return {}
