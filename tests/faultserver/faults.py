"""Everything that a server can do wrong, by name."""

from pipeline.servers.simulator.faults import FAULTS, Call, Fault, replies, wires

__all__ = ["FAULTS", "Call", "Fault", "replies", "wires"]
