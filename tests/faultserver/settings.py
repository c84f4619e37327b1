"""How a fault server behaves."""

from pipeline.servers.simulator.settings import SimulatorSettings as FaultServerSettings

__all__ = ["FaultServerSettings"]
