"""`subscribe`: the messages of a key as an async iterator that outlives every connection.

    async with subscribe("u1@user", web="http://127.0.0.1:8090", mid=last) as messages:
        async for message in messages:
            handle(message.msg)
            remember(messages.mid)
            await messages.acknowledge(message.mid)

One bounded queue lies between the socket and the caller. While it is full nobody reads the socket,
so a slow caller slows the comet down; the comet may hang up on it (4001), and the client comes back
for the rest.
"""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from typing import Self

import trio

from appmsg_client.conversation import Terms
from appmsg_client.errors import Refused
from appmsg_client.journey import Connected, Disconnected, Journey, OnEvent
from appmsg_client.protocol import MAX_MID, MIN_HEARTBEAT, Message, checked_server
from appmsg_client.web import open_web


class Subscription:
    """The messages of one key, each once, stored ones oldest first. For one reader at a time.

    Iterating waits out every loss of the connection. Once refused, it raises `Refused` after the
    last message that had come. Cancelling it is safe: no message is lost.
    """

    def __init__(
        self, terms: Terms, on_event: OnEvent, *, mid: int | None, queue: int, acknowledge: bool
    ) -> None:
        self.mid = mid  # of the last stored message handed out: keep it for the next `subscribe`
        self._handled = mid  # of the last message handed out, live or stored
        self._terms = terms
        self._acknowledges = acknowledge
        self._send, self._receive = trio.open_memory_channel[Message](queue)
        self._journey = Journey(terms, self._send.send, on_event, mid=mid)
        self._refused: Refused | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Message:
        if self._acknowledges and self._handled:
            self._journey.owe(self._handled)
        try:
            message = await self._receive.receive()
        except trio.EndOfChannel:
            assert self._refused is not None
            raise Refused(self._refused.code, self._refused.reason) from None
        self._handled = message.mid
        if not message.live:
            self.mid = message.mid
        return message

    async def acknowledge(self, mid: int) -> None:
        """Tell the comet that everything up to `mid` was handled.

        Returns when that was written to the socket, or at once while there is no connection: then
        it is told after the next welcome. Cancelling the wait does not take the word back.
        """
        self._journey.owe(mid)
        await trio.lowlevel.checkpoint()
        await self._journey.wait_told(mid)

    async def run(self) -> None:
        """Receive until refused. `subscribe` keeps this going; there is no reason to call it."""
        terms = self._terms
        way = open_web(terms.web, terms.tls, terms.within) if terms.web else nullcontext()
        async with way as web:
            self._refused = await self._journey.run(web)
        self._send.close()  # the reader comes to the refusal after the last message

    async def leave(self) -> None:
        """Acknowledge the last message, if that is wanted, and say goodbye to the comet.

        `subscribe` does it when the block is left in order.
        """
        if self._acknowledges and self._handled:
            await self.acknowledge(self._handled)
        await self._journey.leave()


@asynccontextmanager
async def subscribe(
    key: str,
    *,
    web: str | None = None,
    server: str | None = None,
    token: str = "",
    mid: int | None = None,
    heartbeat: int = 30,
    acknowledge: bool = False,
    queue: int = 64,
    max_message: int = 4 * 1024 * 1024,
    within: float = 10.0,
    tls: ssl.SSLContext | None = None,
    on_event: OnEvent | None = None,
) -> AsyncIterator[Subscription]:
    """Subscribe to `key` for as long as the block runs.

    Args:
        web: where to ask for the comet of the key, such as http://127.0.0.1:8090.
        server: the comet itself, such as ws://127.0.0.1:6968/sub; then `web` is not asked.
        token: the key's ticket, if the cluster wants one.
        mid: id of the last stored message that was handled (`Subscription.mid`); 0 for all that is
            kept; None for what is pushed from now on.
        heartbeat: seconds, 30 or more. 15 s after one that is not answered, the line is dead.
        acknowledge: acknowledge each message when the next one is asked for, and the last one when the
            block is left in order.
        queue: messages that may wait for the caller, 1 or more.
        max_message: bytes; a longer message ends its connection with code 1009.
        within: seconds that one look-up or one handshake may take.
        tls: for https and wss; by default the system's authorities are trusted.
        on_event: called with each `Connected` and `Disconnected`, in order. It must not block;
            should it raise, that ends the block as an `ExceptionGroup`.

    Raises:
        ValueError: an argument is out of its range.
        Refused: by the iteration, not here.

    With `server` alone, mid None, and a line that breaks before the first stored message, what is
    pushed during the pause is missed: there is no position to resume from. With `web` there is.

    Leaving the block says goodbye to the comet, within a second; by an error or a cancellation it is
    left at once, and the comet sees the line break. No task of the subscription outlives the block.
    """
    _check(key, web, server, heartbeat, queue, mid)
    terms = Terms(
        key=key,
        web=web,
        server=server,
        token=token,
        heartbeat=heartbeat,
        within=within,
        max_message=max_message,
        tls=tls or ssl.create_default_context(),
    )
    subscription = Subscription(
        terms, on_event or _ignore, mid=mid, queue=queue, acknowledge=acknowledge
    )
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(subscription.run)
            yield subscription
            await subscription.leave()
            nursery.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        if len(group.exceptions) > 1:
            raise
        error = group.exceptions[0]  # the caller's own: it has no use for our nursery around it
        raise error from error.__cause__


def _check(
    key: str, web: str | None, server: str | None, heartbeat: int, queue: int, mid: int | None
) -> None:
    if not key:
        raise ValueError("key: got '', expected the key to subscribe to")
    if server is not None:
        checked_server(server)
    elif not (web or "").startswith(("http://", "https://")):
        raise ValueError(f"web: got {web!r}, expected an http:// or https:// URL, or give `server`")
    if heartbeat < MIN_HEARTBEAT:
        raise ValueError(f"heartbeat: got {heartbeat}, expected {MIN_HEARTBEAT} seconds or more")
    if queue < 1:
        raise ValueError(f"queue: got {queue}, expected 1 message or more")
    if mid is not None and not 0 <= mid <= MAX_MID:
        raise ValueError(f"mid: got {mid}, expected 0 to {MAX_MID}")


def _ignore(event: Connected | Disconnected) -> None:
    """The hook of those who do not want to know."""
