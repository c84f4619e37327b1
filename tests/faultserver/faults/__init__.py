"""Everything that a server can do wrong, by name: what the simulator offers, and what only tests need.

To add a fault that only tests need, add one line to a table of the four modules beside this page.
"""

from collections.abc import Mapping

from pipeline.config.simulate.faults import Fault as Offered
from pipeline.servers.simulator.faults import ACTS
from tests.faultserver.faults.bodies import BODIES
from tests.faultserver.faults.call import Call, Fault
from tests.faultserver.faults.replies import REPLIES
from tests.faultserver.faults.statuses import STATUSES
from tests.faultserver.faults.wires import WIRES

OFFERED: Mapping[str, Fault] = {fault.value: Fault(fault.description, ACTS[fault]) for fault in Offered}
"""The simulator's own."""

FAULTS: Mapping[str, Fault] = {**OFFERED, **STATUSES, **BODIES, **REPLIES, **WIRES}
"""Each fault's name, what it does, and how."""

__all__ = ["FAULTS", "OFFERED", "Call", "Fault"]
