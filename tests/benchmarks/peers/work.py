"""What every peer's script shares: the work that it is given, and the guard that keeps it on loopback.

The standard library is all there is here: each script is run by the Python of its peer's own virtual environment.
"""

import ipaddress
import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Work:
    """One request a text: whom to ask, with which settings, how many in flight, and the label that is right."""

    base_url: str
    model: str
    system: str
    settings: dict
    in_flight: int
    right: str
    texts: list

    def messages(self, text: str) -> list:
        """Return the conversation that asks about *text*."""
        return [{"role": "system", "content": self.system}, {"role": "user", "content": text}]


def given() -> Work:
    """Return the work that the command line names; from here on only loopback can be reached."""
    sys.addaudithook(_stay_on_loopback)
    return Work(**json.loads(Path(sys.argv[1]).read_text()))


def label(content: str) -> str:
    """Return the label in a reply's content."""
    return json.loads(content)["label"]


def tell(work: Work, labels: Iterable[object]) -> None:
    """Print how many labels are right."""
    print(sum(each == work.right for each in labels))


def _stay_on_loopback(event: str, details: tuple) -> None:
    """Refuse names and addresses of other hosts."""
    if event == "socket.connect" and isinstance(details[1], tuple):
        host = details[1][0]
    elif event == "socket.getaddrinfo":
        host = details[0]
    else:
        return
    if host not in {"localhost", None} and not _loopback(host):
        raise PermissionError(f"{host} is not loopback")


def _loopback(host: object) -> bool:
    try:
        return ipaddress.ip_address(host.decode() if isinstance(host, bytes) else str(host)).is_loopback
    except ValueError:
        return False
