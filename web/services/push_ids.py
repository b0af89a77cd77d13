"""Push ids: 128 random bits each."""

import os

from appmodel.core.message import PUSH_ID

BLOCK = 4096  # bytes read from the system at once: a read costs 5 µs whatever its size


class PushIds:
    """Fresh push ids. Nobody can guess one: whoever could, could take a push's place."""

    def __init__(self) -> None:
        self._block = b""
        self._at = 0

    def fresh(self) -> bytes:
        """One that nobody has had."""
        at = self._at
        if at >= len(self._block):
            self._block = os.urandom(BLOCK)
            at = 0
        self._at = at + PUSH_ID
        return self._block[at : self._at]


fresh_push_id = PushIds().fresh
