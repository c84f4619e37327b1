"""A server in a process of its own, so that what is measured is its client."""

import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def endpoint(serve: Callable[..., None], *args: object) -> Iterator[str]:
    """Run *serve* in another process; gives the base URL that it sends.

    It is called with a pipe and *args*, sends its base URL through the pipe, and serves until the pipe's other end closes.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    server = context.Process(target=serve, args=(theirs, *args))
    server.start()
    try:
        yield ours.recv()
    finally:
        ours.close()
        server.terminate()
        server.join()
