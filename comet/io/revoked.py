"""Hanging up on whom a credential let in that is void now.

    key:<stored key>     its channel
    user:<uid>           his inbox, and his sessions
    token:<id>           whoever it is: a look at every subscriber, one for all that one poll has brought

In steps: a look at 100,000 subscribers takes 20 ms, and others have their turn in between.
"""

from collections.abc import Callable, Iterable

import trio

from appmodel.core.message import Revocation
from appmodel.core.names import Key
from appmodel.core.revocations import Revocations
from comet.core.channel import Channel
from comet.core.hub import Hub
from comet.io.following import Following
from comet.io.sweeper import STEP
from comet.protocol.native import TICKET_REVOKED


class Revoked:
    """Acts on what this comet hears of the ledger."""

    def __init__(self, hub: Hub, known: Revocations, spawn: Callable[..., None]) -> None:
        """`known` has been told before `hear` is. `spawn(function, *arguments)` runs a task."""
        self._hub, self._known, self._spawn = hub, known, spawn
        self._ids = set[str]()  # of credentials that nobody has looked for yet

    def hear(self, revocation: Revocation) -> None:
        """Hang up soon on those that it concerns."""
        kind, _, subject = revocation.subject.partition(":")
        if kind == "token":
            if not self._ids:
                self._spawn(self._look_for_ids)
            self._ids.add(subject)
        elif kind == "user":
            inbox = Key("", subject, "user")
            self._spawn(self._hang_up, [*self._channel(inbox), *self._hub.sessions(inbox)])
        elif kind == "key":
            self._spawn(self._hang_up, self._channel(Key.from_stored(subject)))

    def _channel(self, key: Key) -> list[Channel]:
        channel = self._hub.find(key)
        return [] if channel is None else [channel]

    async def _look_for_ids(self) -> None:
        ids, self._ids = self._ids, set()
        await self._hang_up(self._hub.channels(), ids)

    async def _hang_up(self, channels: Iterable[Channel], ids: set[str] | None = None) -> None:
        """`ids`: only those with one of these credentials; None = whoever has a void one."""
        looked = 0
        for channel in channels:
            for subscriber in tuple(channel.subscribers):
                assert isinstance(subscriber, Following)
                ticket = subscriber.ticket
                if (
                    ticket is not None
                    and (ids is None or ticket.id in ids)
                    and self._known.voids(ticket)
                ):
                    subscriber.hang_up(TICKET_REVOKED)
            looked += len(channel.subscribers) + 1
            if looked > STEP:
                looked = 0
                await trio.lowlevel.checkpoint()
