"""Replies that say by their status that they are none."""

from collections.abc import Mapping

from pipeline.servers.protocol.errors import INVALID
from pipeline.servers.simulator.faults import failed, limited
from tests.faultserver.faults.call import Act, Fault
from tests.faultserver.http1 import Response


def _redirected(status: int) -> Act:
    return lambda call: Response(status, b"", (("Location", call.elsewhere),))


STATUSES: Mapping[str, Fault] = {
    "http_408": Fault("408, the server waited too long for the request", failed(408, "Request timeout")),
    "http_409": Fault("409, a conflict that goes away", failed(409, "Conflict")),
    "rate_limit_junk": Fault("429, Retry-After: soon", limited(("Retry-After", "soon"))),
    "rate_limit_negative": Fault("429, Retry-After: -1", limited(("Retry-After", "-1"))),
    "rate_limit_huge": Fault("429, Retry-After: 1e9", limited(("Retry-After", "1e9"))),
    "forbidden": Fault("403, the key may not", failed(403, "Not allowed", kind=INVALID)),
    "redirect_307": Fault("307 to another origin", _redirected(307)),
    "redirect_308": Fault("308 to another origin", _redirected(308)),
}
