"""What one socket still owes its client, in bytes, and bounded."""

import socket
import ssl

# What a send says that would have to wait. They are OSErrors: catch them before a lost connection.
NOT_NOW = (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError)


class Outbox:
    """Nobody waits here.

    Nearly always a frame costs one send(2) and nothing stays; only when the kernel's buffer is full do
    bytes stay, and the poller then asks for writability. The owner bounds what stays: a client that owes
    too much is slow and is let go, for what has a ttl is in the store already.
    """

    __slots__ = ("owed", "socket")

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock  # non-blocking; an SSLSocket on a TLS listener
        self.owed = b""  # empty is the normal state and costs nothing

    def flush(self) -> bool:
        """Send what is owed; True when nothing is. Raises OSError if the peer is gone."""
        try:
            while self.owed:
                self.owed = self.owed[self.socket.send(self.owed) :]
        except NOT_NOW:
            return False
        return True
