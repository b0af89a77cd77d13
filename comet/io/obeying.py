"""What a comet does when it is ordered to: clients of a realm change rooms, or have to leave it.

Orders reach each client behind what is under way for it, and only then it is decided what changes: so
a client that is just joining a room, or was moved a moment ago, is moved as if one had waited for that.
An order is answered when the books have what it changed: who gave it may read, change or empty them then.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Protocol, runtime_checkable

import structlog
import trio

from appmodel.core.realms import Direction, Transfer, room_key
from appmodel.errors import PushError
from comet.core.channel import Channel
from comet.core.hub import Hub
from comet.core.rules import Client, Dismiss, Effects, FindRules
from comet.io.client import SocketClient
from comet.io.follower import Follower
from comet.io.sweeper import STEP

log = structlog.get_logger("comet")


@runtime_checkable
class Transferring(Protocol):
    """Rules whose clients can be moved between rooms by an order."""

    def transferred(self, client: Client, order: Transfer) -> Effects:
        """What moving this client brings about; its membership of the target does change."""

    async def settled(self, clients: Sequence[Client]) -> None:
        """Return when the books have what is known of these clients. Raises PushError: not in time."""


class Obeying:
    """The `RealmHost` that this comet is."""

    def __init__(
        self,
        *,
        hub: Hub,
        clients_of: Callable[[str], Iterable[SocketClient]],
        find_rules: FindRules,
    ) -> None:
        """`clients_of(namespace)`: a copy of those that are in it."""
        self._hub, self._clients_of, self._find_rules = hub, clients_of, find_rules

    async def transfer(self, order: Transfer) -> int:
        """See `RealmHost`. Nobody is moved in a realm whose rules know no rooms."""
        rules: object = self._find_rules(order.realm)
        if not isinstance(rules, Transferring):
            return 0
        members = self._members(order)
        for number, client in enumerate(members, start=1):
            client.then(partial(_decide, rules, client, order))
            if number % STEP == 0:
                await trio.lowlevel.checkpoint()
        await self._settle(order.realm, members)
        return len(members)

    async def dismiss(self, realm: str, reason: str) -> int:
        """See `RealmHost`."""
        clients = tuple(self._clients_of(realm))
        for number, client in enumerate(clients, start=1):
            client.do((Dismiss(reason),))
            if number % STEP == 0:
                await trio.lowlevel.checkpoint()
        await self._settle(realm, clients)
        return len(clients)

    async def _settle(self, realm: str, clients: Sequence[SocketClient]) -> None:
        await trio.lowlevel.checkpoint()
        rules: object = self._find_rules(realm)
        if not isinstance(rules, Transferring):
            return
        try:
            for at in range(0, len(clients), STEP):
                await rules.settled(clients[at : at + STEP])
                await trio.lowlevel.checkpoint()
        except PushError as error:  # it is done; the books follow
            log.warning("not settled", realm=realm, error=str(error))

    def _members(self, order: Transfer) -> list[SocketClient]:
        """Clients of any of the sources, each once; the target itself may be one of those."""
        found: dict[SocketClient, None] = {}
        for room in order.sources:
            channel = self._hub.find(room_key(order.realm, room))
            if channel is not None:
                found.update(dict.fromkeys(_clients(channel)))
        return list(found)


def _clients(channel: Channel) -> Iterable[SocketClient]:
    return (one.client for one in channel.subscribers if isinstance(one, Follower))


def _decide(rules: Transferring, client: Client, order: Transfer) -> Effects:
    """Nothing, if it is where the order wants it to be."""
    is_member = room_key(order.realm, order.target) in client.keys
    if is_member is (order.direction is Direction.JOIN):
        return ()
    return rules.transferred(client, order)
