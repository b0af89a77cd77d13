"""What lets reading, handling and writing overlap on one connection without a queue between them.

BodyChunks      a handler asks for bytes, and only then they are read from the socket
Outlet          a handler's pieces leave while it makes more; what is ready together is one write
before_waiting  does something in the moment in which somebody else's coroutine first has to wait
"""

from collections.abc import Awaitable, Callable, Generator
from types import coroutine
from typing import Any, Protocol, TypeVar

import trio

T = TypeVar("T")

ROOM = 64 * 1024  # bytes that a handler may be ahead of its client


class Pending(Protocol):
    """Bytes on their way to one client."""

    @property
    def pending_size(self) -> int: ...

    def put(self, data: bytes) -> None: ...

    async def flush(self) -> None: ...


class BodyChunks:
    """`Request.chunks`: the body in pieces as they arrive. It is read once, by one task.

    Iteration raises `HttpError` if the body is malformed or ends early. A client that is too slow
    cancels the handler that waits for it. Cancelling is safe.
    """

    __slots__ = ("_next",)

    def __init__(self, next_chunk: Callable[[], Awaitable[bytes]]) -> None:
        self._next = next_chunk  # b"" is the end

    def __aiter__(self) -> "BodyChunks":
        return self

    async def __anext__(self) -> bytes:
        data = await self._next()
        if not data:
            raise StopAsyncIteration
        return data


class Outlet:
    """The sender of one streamed answer, in a task beside the one that makes it.

    It runs when the maker waits: for a client's bytes, for a store, or here for ROOM. So pieces that
    are made without waiting become one write, and a piece never waits for the next one.
    """

    def __init__(self, pending: Pending) -> None:
        self._pending = pending
        self._work = trio.Event()
        self._room = trio.Event()
        self._finished = False

    async def put(self, data: bytes) -> None:
        """Send `data`; waits while more than ROOM is not sent."""
        self._pending.put(data)
        self._work.set()
        while self._pending.pending_size > ROOM:
            self._room = trio.Event()
            await self._room.wait()

    def finish(self, data: bytes) -> None:
        """`data` is the end: `run` returns when it is sent."""
        self._pending.put(data)
        self._finished = True
        self._work.set()

    async def run(self) -> None:
        """Send until `finish`."""
        while not self._finished:
            await self._work.wait()
            self._work = trio.Event()
            await self._pending.flush()
            self._room.set()


@coroutine
def before_waiting(awaitable: Awaitable[T], act: Callable[[], None]) -> Generator[Any, Any, T]:
    """The result of `awaitable`; calls `act` once when it first waits, and never if it does not.

    `act` must not raise. It runs inside the current task, before any other task does.
    """
    steps = awaitable.__await__()
    try:
        trap = next(steps)
        act()
        while True:
            try:
                answer = yield trap
            except BaseException as error:
                trap = steps.throw(error)
            else:
                trap = steps.send(answer)
    except StopIteration as done:
        result: T = done.value
        return result
