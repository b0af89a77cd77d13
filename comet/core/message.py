"""A message on its way to subscribers: encoded once per encoding, however many receive it."""

from comet.protocol.dialect import Dialect


class Message:
    """One id and body, for all keys of the push that share the id."""

    __slots__ = ("_frames", "body", "id", "stored")

    def __init__(self, message_id: int, body: bytes, *, stored: bool) -> None:
        self.id = message_id
        self.body = body
        self.stored = stored
        self._frames: dict[int, bytes] = {}

    def frame(self, dialect: Dialect) -> bytes:
        """Its bytes in this dialect."""
        frame = self._frames.get(dialect.encoding)
        if frame is None:
            frame = dialect.encode(self.id, self.body, stored=self.stored)
            self._frames[dialect.encoding] = frame
        return frame
