"""Everything that a server can do wrong, by name.

To add a fault, add one line to a table of the four modules beside this page.
"""

from collections.abc import Mapping

from pipeline.endpoints.faults.bodies import BODIES
from pipeline.endpoints.faults.call import Call, Fault
from pipeline.endpoints.faults.replies import REPLIES
from pipeline.endpoints.faults.statuses import STATUSES
from pipeline.endpoints.faults.wires import WIRES

FAULTS: Mapping[str, Fault] = {**STATUSES, **BODIES, **REPLIES, **WIRES}
"""Each fault's name, what it does, and how."""

__all__ = ["FAULTS", "Call", "Fault"]
