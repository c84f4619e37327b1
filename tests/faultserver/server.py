"""The server that the tests run jobs against: it can misbehave in every way that TCP allows."""

from pipeline.servers.simulator.server import Simulator as FaultServer

__all__ = ["FaultServer"]
