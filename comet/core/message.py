"""A message on its way to subscribers: encoded once per encoding, however many receive it."""

from appmodel.core.message import personal
from appmodel.core.names import Key
from comet.protocol.dialect import Encoder


class Message:
    """One id and body, for all keys of the push that share the id."""

    __slots__ = ("_frames", "_unsaved", "body", "id", "stored", "tally", "without")

    def __init__(
        self, message_id: int, body: bytes, *, stored: bool, without: str = "", tally: int = 0
    ) -> None:
        """`without`, `tally`: see `Push`."""
        self.id = message_id
        self.body = body
        self.stored = stored
        self.without, self.tally = without, tally
        self._frames: dict[int, bytes] = {}
        self._unsaved: Message | None = None

    @property
    def unsaved(self) -> "Message":
        """The same for a session of the inbox: nothing is stored under its key."""
        if not self.stored:
            return self
        if self._unsaved is None:
            self._unsaved = Message(self.id, self.body, stored=False)
        return self._unsaved

    def personal(self, tail: bytes, key: Key, *, stored: bool) -> "Message":
        """The copy for one key; see appmodel/core/message.py."""
        return Message(self.id, personal(self.body, tail, key), stored=stored)

    def frame(self, dialect: Encoder) -> bytes:
        """Its bytes in this dialect."""
        frame = self._frames.get(dialect.encoding)
        if frame is None:
            frame = dialect.encode(self.id, self.body, stored=self.stored)
            self._frames[dialect.encoding] = frame
        return frame
