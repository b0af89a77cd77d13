"""Orders to all comets about the clients of a realm: one call to each of them, at once.

    realm.transfer    members of rooms join another room, or leave it
    realm.dismiss     the namespace is closed for all its clients

A comet in this process is asked without a call (peers.py). One that does not answer holds up nobody for
longer than ORDER: it is named in what is returned.
"""

from collections.abc import Awaitable, Callable

import structlog
import trio

from appmodel.core.cluster import Node, Role
from appmodel.core.interfaces import Registry
from appmodel.core.realms import Obeyed, Realm, RealmHost, Transfer
from appmodel.errors import PushError
from appmodel.io.calls import Call, Caller
from appmodel.io.rpc_server import Handlers

log = structlog.get_logger(__name__)

ORDER = 15.0  # seconds for a comet to hear one: 100,000 clients are looked at in 2

TRANSFER = Call[Transfer, int]("realm.transfer")
DISMISS = Call[tuple[Realm, str], int]("realm.dismiss")  # realm, reason


class ClusterOrders:
    """The `RealmOrders` of a web node."""

    def __init__(self, registry: Registry, host: Callable[[Node], RealmHost]) -> None:
        """`host(node)`: raises PushError if that comet cannot be asked."""
        self._registry, self._host = registry, host

    async def transfer(self, order: Transfer) -> Obeyed:
        """See `RealmOrders`."""
        return await self._tell_all(lambda host: host.transfer(order))

    async def dismiss(self, realm: str, reason: str) -> Obeyed:
        """See `RealmOrders`."""
        return await self._tell_all(lambda host: host.dismiss(realm, reason))

    async def _tell_all(self, tell: Callable[[RealmHost], Awaitable[int]]) -> Obeyed:
        """Whoever holds connections, also on its way in or out."""
        clients = 0
        away: list[str] = []

        async def tell_one(node: Node) -> None:
            nonlocal clients
            try:
                heard = await tell(self._host(node))
            except PushError as error:
                away.append(node.name)
                log.warning("order not heard", comet=node.name, error=str(error))
            else:
                clients += heard

        async with trio.open_nursery() as nursery:
            for node in self._registry.view.nodes:
                if node.role is Role.COMET:
                    nursery.start_soon(tell_one, node)
        return Obeyed(clients, tuple(sorted(away)))


class RemoteHost:
    """A `RealmHost` at the other end of a connection."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def transfer(self, order: Transfer) -> int:
        """See `RealmHost`."""
        return await self._caller.call(TRANSFER, order, timeout=ORDER)

    async def dismiss(self, realm: str, reason: str) -> int:
        """See `RealmHost`."""
        return await self._caller.call(DISMISS, (realm, reason), timeout=ORDER)


def host_handlers(host: RealmHost) -> Handlers:
    """The table of a server that answers for `host`."""
    return dict(
        [
            TRANSFER.answered_by(host.transfer),
            DISMISS.answered_by(lambda asked: host.dismiss(*asked)),
        ]
    )
