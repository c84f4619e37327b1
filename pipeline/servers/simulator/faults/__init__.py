"""Everything that a server can do wrong, by name.

To add a fault, add one line to a table of the four modules beside this page.
"""

from collections.abc import Mapping

from pipeline.servers.simulator.faults.bodies import BODIES
from pipeline.servers.simulator.faults.call import Call, Fault
from pipeline.servers.simulator.faults.replies import REPLIES
from pipeline.servers.simulator.faults.statuses import STATUSES
from pipeline.servers.simulator.faults.wires import WIRES

FAULTS: Mapping[str, Fault] = {**STATUSES, **BODIES, **REPLIES, **WIRES}
"""Each fault's name, what it does, and how."""

__all__ = ["FAULTS", "Call", "Fault"]
