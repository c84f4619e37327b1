"""SIGTERM, SIGHUP and Ctrl-C before a run handles signals itself, and after. Imports next to nothing."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


class Interruption(KeyboardInterrupt):
    """A signal, by its name.

    A class of its own: after a plain KeyboardInterrupt that went through `exec`, Python ends the process by SIGINT,
    whatever its exit status is.
    """


class _State:
    """Whether signals have to wait, and the name of the last one that has come."""

    deferring = False
    received: str | None = None


def received() -> str | None:
    """Return the name of a signal that has come; a library may have dropped the exception."""
    return _State.received


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise Interruption at a signal that would end the process while the block runs."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:  # that is what nohup is for
            signal.signal(number, _interrupt)
    try:
        yield
    finally:
        _State.received = None
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def deferred() -> Iterator[None]:
    """Have a signal wait for the end of the block: amid an import it becomes another error, or crashes a library."""
    _State.deferring = True
    try:
        yield
    finally:
        _State.deferring = False
    if _State.received is not None:
        raise Interruption(_State.received)


def interruption(error: BaseException) -> KeyboardInterrupt | None:
    """Return the interruption that *error* is, or comes from; None if it comes from none."""
    found: BaseException | None = error
    while found is not None and not isinstance(found, KeyboardInterrupt):
        found = found.__cause__ or found.__context__
    return found


def _interrupt(number: int, _: FrameType | None) -> None:
    _State.received = signal.Signals(number).name
    if not _State.deferring:
        raise Interruption(_State.received)
