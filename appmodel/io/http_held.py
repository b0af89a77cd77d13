"""A request that waits for its answer without a task: what a long poll is made of.

    handler -> Response(hold=keep) -> keep(held)      its task ends; the connection is `held`'s
    held.answer(response)                             one write; the front door serves what follows

Whoever keeps it watches `fileno()` for bytes: `is_gone` then tells whether the client hung up.
"""

from collections.abc import Callable
from typing import Protocol

import trio

from appmodel.io.wire import Wire
from appmodel.protocol.http import Response
from appmodel.protocol.http1_answers import encode_head, has_no_body

GONE = (trio.BrokenResourceError, trio.ClosedResourceError)
READ = 4096  # bytes of a request behind this one that are read while it waits


class Resume(Protocol):
    """Serve on: first write `unsent`, then requests from `unread` on, unless it ends there."""

    def __call__(self, wire: Wire, *, unread: bytes, unsent: bytes, keep_alive: bool) -> None: ...


class Keeper(Protocol):
    """What a held request needs of its front door."""

    answered: list[int]
    resume: Resume | None  # None: it does not serve any more
    stopping: bool

    def date(self) -> bytes: ...


Keep = Callable[["Held"], None]


class Held:
    """The connection of one request that was read and is not answered. Nothing here waits.

    Answer it or drop it, once. Nobody cuts it off: bound the time yourself.
    """

    __slots__ = ("_keep_alive", "_keeper", "_minor", "_unread", "_wire")

    def __init__(
        self, wire: Wire, keeper: Keeper, *, unread: bytes, minor: int, keep_alive: bool
    ) -> None:
        """`unread`: bytes behind the request. `minor`: of its HTTP/1.x."""
        self._wire, self._keeper = wire, keeper
        self._unread, self._minor, self._keep_alive = unread, minor, keep_alive

    def fileno(self) -> int:
        """Readable when the client says more or hangs up."""
        return self._wire.fileno()

    def is_gone(self) -> bool:
        """Read what is there; whether the client has ended.

        What it says is the start of its next request: kept, and then there is no need to look again
        before the answer.
        """
        try:
            data = self._wire.receive_nowait(READ)
        except trio.BrokenResourceError:
            return True
        if data:
            self._unread += data
        return data == b""

    @property
    def says_more(self) -> bool:
        """Bytes of a next request are here: stop watching, or they fill the memory."""
        return self._unread != b""

    def answer(self, response: Response) -> None:
        """Write it, as far as that needs no waiting; the front door does the rest."""
        body, keeper = response.body, self._keeper
        assert isinstance(body, bytes), "what was held is answered at once"
        assert not has_no_body(response.status), "there is a length in its head"
        keeper.answered[response.status // 100] += 1
        keep_alive = self._keep_alive and not response.close and not keeper.stopping
        said = None if keep_alive and self._minor else keep_alive
        framing = f"Content-Length: {len(body)}\r\n"
        data = encode_head(response, framing, date=keeper.date(), keep_alive=said) + body
        try:
            unsent = data[self._wire.send_nowait(data) :]
        except GONE:
            self._wire.close()
            return
        if keeper.resume is None or not (keep_alive or unsent):
            self._wire.close()
        else:
            keeper.resume(self._wire, unread=self._unread, unsent=unsent, keep_alive=keep_alive)

    def drop(self) -> None:
        """Hang up without an answer."""
        self._wire.close()
