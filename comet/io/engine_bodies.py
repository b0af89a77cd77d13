"""Posts of Engine.IO while they come: each is bounded in bytes and in time, all together in bytes.

    each       `max_payload`      a byte over it shows, and no more is read
    in time    `body_timeout`     for all of it: 408; a byte now and then would hold a place for ever
    all        `bodies`           of [comet.socketio]: what does not fit any more is refused, 503

Here a post costs memory before anybody knows whether there is a session for it: so strangers share the
bound with all others, and do not fill the memory.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from appmodel.errors import LimitReached, PushError
from appmodel.protocol.http import Request


class TooSlow(PushError):
    """A post did not come in time."""

    status = 408
    code = "too_slow"
    title = "Too slow"


class Full(LimitReached):
    """The posts of all clients together are too many bytes."""

    status = 503


class Bodies:
    """What the posts under way have brought so far."""

    def __init__(self, *, each: int, total: int, timeout: float) -> None:
        """Bytes, and seconds for one."""
        self._each, self._total, self._timeout = each, total, timeout
        self.held = 0  # bytes

    @asynccontextmanager
    async def read(self, request: Request) -> AsyncIterator[bytes]:
        """A body, whole; of one over the limit one byte more than that. Counted until the block ends.

        Raises:
            TooSlow, Full: see the module.
            HttpError: it ended early.
        """
        body = bytearray()
        try:
            self._keep(body, request.body)
            with trio.move_on_after(self._timeout) as waiting:
                if request.chunks is not None:
                    async for chunk in request.chunks:
                        self._keep(body, chunk)
                        if len(body) > self._each:
                            break
            if waiting.cancelled_caught:
                raise TooSlow(f"post: not whole within {self._timeout:g} s")
            yield bytes(body[: self._each + 1])
        finally:
            self.held -= len(body)

    def _keep(self, body: bytearray, chunk: bytes) -> None:
        if self.held + len(chunk) > self._total:
            raise Full(f"posts: over {self._total} bytes are under way; try again")
        body += chunk
        self.held += len(chunk)
