"""A listening socket that can stop accepting connections and start again on the same port."""

import asyncio
import socket
from collections.abc import Callable

HOST = "127.0.0.1"
BACKLOG = 1024


class Listener:
    """Accepts connections on loopback, or refuses them while keeping its port.

    Attributes:
        port: The port; known once it is open.
    """

    def __init__(self, port: int, protocol: Callable[[], asyncio.Protocol]) -> None:
        self.port = port
        self._protocol = protocol
        self._holder: socket.socket | None = None
        self._opening: asyncio.Task[asyncio.Server] | None = None

    async def open(self) -> None:
        """Take the port and accept connections.

        Raises:
            OSError: The port is taken.
        """
        # A socket that shares its port would not notice another one that shares it too.
        _bound(self.port, socket.SO_REUSEADDR).close()
        # Bound but not listening: it reserves the port while connections are refused.
        self._holder = _bound(self.port, socket.SO_REUSEPORT)
        self.port = self._holder.getsockname()[1]
        await self.accept()

    def accept(self) -> asyncio.Task[asyncio.Server]:
        """Start accepting connections if they are refused; none is refused once this returns."""
        if self._opening is None:
            # Connections inherit both options: one that lingers must not block the port for the next server.
            sock = _bound(self.port, socket.SO_REUSEPORT, socket.SO_REUSEADDR)
            sock.listen(BACKLOG)
            self._opening = asyncio.get_running_loop().create_task(self._serve(sock))
        return self._opening

    async def _serve(self, sock: socket.socket) -> asyncio.Server:
        loop = asyncio.get_running_loop()
        return await loop.create_server(self._protocol, sock=sock, backlog=BACKLOG)

    def refuse(self) -> None:
        """Refuse connections from now on; open ones are not touched."""
        opening, self._opening = self._opening, None
        if opening is None:
            return
        if opening.done():
            opening.result().close()
        else:
            opening.add_done_callback(lambda opened: opened.result().close())

    async def close(self) -> None:
        """Give up the port."""
        if self._opening is not None:
            await self._opening
        self.refuse()
        if self._holder is not None:
            self._holder.close()


def _bound(port: int, *options: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        for option in options:
            sock.setsockopt(socket.SOL_SOCKET, option, 1)
        sock.bind((HOST, port))
    except OSError:
        sock.close()
        raise
    sock.settimeout(0)
    return sock
