"""What one socket still owes its client, in bytes, and bounded."""

import socket
import ssl

_NOT_NOW = (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError)


class Outbox:
    """Nobody waits here.

    Nearly always a frame costs one send(2) and nothing stays; only when the kernel's buffer is full do
    bytes stay, and the poller then asks for writability. What would leave more than `limit` behind is
    refused: the client is slow, and what has a ttl is in the store already.
    """

    __slots__ = ("owed", "socket")

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock  # non-blocking; an SSLSocket on a TLS listener
        self.owed = b""  # empty is the normal state and costs nothing

    def put(self, frames: bytes, limit: int) -> bool:
        """Send or keep `frames`, all or nothing. Raises OSError if the peer is gone."""
        if self.owed:
            if len(self.owed) + len(frames) > limit:
                return False
            self.owed += frames
            return True
        try:
            sent = self.socket.send(frames)
        except _NOT_NOW:
            sent = 0
        if sent < len(frames):
            self.owed = frames[sent:]
            return len(self.owed) <= limit
        return True

    def flush(self) -> bool:
        """Send what is owed; True when nothing is. Raises OSError if the peer is gone."""
        try:
            while self.owed:
                self.owed = self.owed[self.socket.send(self.owed) :]
        except _NOT_NOW:
            return False
        return True
