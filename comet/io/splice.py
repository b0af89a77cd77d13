"""Two sockets made one: what comes from the one goes to the other, in both directions, without a task.

A WebSocket whose session lives on another comet is this here: two small objects in the poller, no parser.
While one end does not take what it is owed, the other one is not read: TCP makes its sender wait, as if
there were nothing between them. When one ends, the other gets what it is still owed, then ends too.
"""

import socket
from collections.abc import Callable

from comet.io.line import OPEN, Line
from comet.io.live import Live

ENDED = "the other end closed"


class SpliceEnd(Line):
    """One of the two."""

    __slots__ = ("_on_closed", "other")

    other: "SpliceEnd"  # since `join`

    def __init__(
        self, sock: socket.socket, live: Live, on_closed: Callable[["SpliceEnd"], None]
    ) -> None:
        super().__init__(sock, live)
        self._on_closed = on_closed

    def join(self, other: "SpliceEnd") -> None:
        """Both go on together; before that nothing is read.

        Raises:
            OSError: the system watches no more sockets; nothing has begun.
        """
        poller = self._live.poller
        self.other, other.other = other, self
        poller.add(self.socket, self)
        try:
            poller.add(other.socket, other)
        except OSError:
            poller.remove(self.socket)
            raise

    def on_writable(self) -> None:
        """Send what is owed; then the other end may say more."""
        super().on_writable()
        if not self.owed and self.other.is_open:
            self.other.read_on()

    def finish(self) -> None:
        """The other one has ended: send what is owed, then end this one."""
        self.read_on()  # to see its end
        self._leave(b"", ENDED)

    def _receive(self, data: bytes) -> bool:
        other = self.other
        if other.offer(data) and other.owed and self._state is OPEN:
            self._live.poller.watch(self.socket, reads=False, writes=bool(self.owed))
        return False

    def read_on(self) -> None:
        """It may say more."""
        self._live.poller.watch(self.socket, reads=True, writes=bool(self.owed))

    def _overflow(self) -> None:
        self.drop("too much is owed")

    def _left(self, reason: str) -> None:
        other = self.other
        if other.is_open:
            other.finish()

    def _closed(self) -> None:
        self._on_closed(self)
