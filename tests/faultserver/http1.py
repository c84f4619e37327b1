"""HTTP/1.1 as exact bytes."""

from pipeline.servers.simulator.http1 import End, Request, Response, Wire, parse_head, render

__all__ = ["End", "Request", "Response", "Wire", "parse_head", "render"]
