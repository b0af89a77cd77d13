"""From comet to comet: find the one that has the key, resume there, and go on when it ends.

    web: who has the key?  ->  comet: what is newer than the last one  ->  lost  ->  pause  ->  again

The journey ends by a refusal only. Whatever happens to connections, each message is delivered once,
and stored ones in order: every return names the last stored id that was delivered, and what was here
before is dropped.
"""

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import trio

from appmsg_client.conversation import Conversation, Terms
from appmsg_client.errors import Refused
from appmsg_client.protocol import LOST, Ending, Message, Move, Position, next_move, pause
from appmsg_client.web import Web, WebFailed


@dataclass(frozen=True, slots=True)
class Connected:
    """The comet at `server` took the subscription; it sends what is newer than `mid`, if any."""

    server: str
    mid: int | None


@dataclass(frozen=True, slots=True)
class Disconnected:
    """A connection, or the try to make one, ended. The next try begins in `retry_in` seconds."""

    code: int  # WebSocket close code; 1006: it broke or never was
    reason: str
    retry_in: float | None  # None: refused, there is no next try


OnEvent = Callable[[Connected | Disconnected], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Try:
    """How one try went."""

    ending: Ending
    server: str | None
    welcomed: bool = False
    proved: bool = False


class Journey:
    """`run` it in one task; `deliver` is called there and may wait: then nobody reads the socket."""

    def __init__(
        self,
        terms: Terms,
        deliver: Callable[[Message], Awaitable[None]],
        on_event: OnEvent,
        *,
        mid: int | None,
    ) -> None:
        self._terms = terms
        self._deliver = deliver
        self._on_event = on_event
        self._position = Position(mid)
        self._acknowledged = 0
        self._leaving = False
        self._conversation: Conversation | None = None

    async def run(self, web: Web | None) -> Refused | None:
        """Travel until refused, or until `leave`. `web` knows the way, unless the terms name it."""
        server, tries = self._terms.server, 0
        while True:
            went = await self._try(web, server)
            if self._leaving:
                return None
            tries = 0 if went.proved else tries + 1
            move = next_move(went.ending, went.server, welcomed=went.welcomed, tries=tries)
            if move.stop:
                self._on_event(Disconnected(went.ending.code, went.ending.reason, None))
                return Refused(went.ending.code, went.ending.reason)
            await self._pause(went.ending, move, tries)
            server = move.server or self._terms.server

    def owe(self, mid: int) -> None:
        """Have everything up to `mid` acknowledged: soon, or after the next welcome."""
        self._acknowledged = max(self._acknowledged, mid)
        if self._conversation is not None:
            self._conversation.owe(mid)

    async def wait_told(self, mid: int) -> None:
        """Wait until `mid` was written to the socket; not at all while there is no connection."""
        if self._conversation is not None:
            await self._conversation.wait_told(mid)

    async def leave(self) -> None:
        """End the connection with a goodbye, if there is one. Without one, cancel `run`."""
        self._leaving = True
        if self._conversation is not None:
            await self._conversation.leave()

    async def _try(self, web: Web | None, server: str | None) -> _Try:
        since = None
        try:
            if web is not None:
                since = await web.now() if self._position.mid is None else None
                server = server or await web.server_of(self._terms.key)
        except WebFailed as failure:
            return _Try(ending=Ending(LOST, str(failure)), server=None)
        except Refused as refused:
            return _Try(ending=Ending(refused.code, refused.reason), server=None)
        assert server is not None  # `subscribe` demands one of them
        return await self._visit(server, since)

    async def _visit(self, server: str, since: int | None) -> _Try:
        mid = self._position.mid
        conversation = Conversation(
            server,
            self._terms,
            self._take,
            lambda: self._on_event(Connected(server, mid)),
            owed=self._acknowledged,
        )
        self._conversation = conversation
        try:
            ending = await conversation.run(mid)
        finally:
            self._conversation = None
        if conversation.welcomed and self._position.mid is None:
            # nothing stored yet: what comes in the pause is newer than this
            self._position.mid = since
        return _Try(
            ending=ending,
            server=server,
            welcomed=conversation.welcomed,
            proved=conversation.proved,
        )

    async def _take(self, message: Message) -> None:
        if self._position.is_new(message):
            await self._deliver(message)
            self._position.advance(message)

    async def _pause(self, ending: Ending, move: Move, tries: int) -> None:
        wait = 0.0 if move.at_once else pause(tries, random.random())  # noqa: S311 - no secret
        self._on_event(Disconnected(ending.code, ending.reason, wait))
        await trio.sleep(wait)
