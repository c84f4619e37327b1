"""A request that waits for any of several endpoints."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from pipeline.llm.request import Request


class Waiting(NamedTuple):
    """A request, and from when on it may be sent to each of the endpoints where it has failed."""

    request: Request
    not_before: Mapping[object, float] = MappingProxyType({})


NOWHERE_FAILED = Waiting(None)  # type: ignore[arg-type]  # only where it failed is looked at
