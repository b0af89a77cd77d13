"""What one socket still owes its client, in bytes, and bounded."""

import socket
import ssl

_NOT_NOW = (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError)


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

    def put(self, frames: bytes) -> bool:
        """Send `frames` when nothing is owed; False if some of it is owed now.

        Raises:
            OSError: the peer is gone.
        """
        try:
            sent = self.socket.send(frames)
        except _NOT_NOW:
            sent = 0
        if sent == len(frames):
            return True
        self.owed = frames[sent:]
        return False

    def flush(self) -> bool:
        """Send what is owed; True when nothing is. Raises OSError if the peer is gone."""
        try:
            while self.owed:
                self.owed = self.owed[self.socket.send(self.owed) :]
        except _NOT_NOW:
            return False
        return True
