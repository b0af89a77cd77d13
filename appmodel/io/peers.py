"""The other nodes, wherever they are: the object itself in this process, else calls to it.

    peers.pusher(node)    the comet `node`        provided here, or RemotePusher to its address
    peers.host(node)      the same, for orders    provided here, or RemoteHost
    peers.waits(node)     the same, for acknowledgements of Mpush's devices
    peers.store()         the message nodes       provided here, or whichever of them answers first
    peers.ledger()                                (message_nodes.py)

There is one connection per address: the first call opens it, and it is closed when the address has
left the cluster's view. Whatever else changes leaves it alone (spec/gopush.md C14).
"""

from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Self

import trio

from appmodel.core.cluster import Node
from appmodel.core.interfaces import Ledger, OfflineStore, Pusher, Registry
from appmodel.core.realms import RealmHost
from appmodel.errors import ConfigError, Unavailable
from appmodel.io.calls import RemoteLedger, RemotePusher
from appmodel.io.message_nodes import MessageNodes, SharedStore
from appmodel.io.mpush_waits import RemoteWaits, WaitsHost
from appmodel.io.realm_orders import RemoteHost
from appmodel.io.rpc_client import RpcClient
from appmodel.io.rpc_link import DEFAULT_LIMITS, RpcLimits
from appmodel.io.rpc_strangers import RpcCounts
from appmodel.io.rpc_tunnel import open_tunnel
from appmodel.io.wire import Wire


class Peers:
    """What this process can ask of the cluster: `async with` it to reach what is not local."""

    def __init__(
        self,
        registry: Registry,
        *,
        secret: bytes | None = None,
        limits: RpcLimits = DEFAULT_LIMITS,
        me: str = "",
        counts: RpcCounts | None = None,
    ) -> None:
        """`me`: this node's name; nodes of other names begin with other message nodes."""
        self._counts = counts or RpcCounts()
        self._registry = registry
        self._secret = secret
        self._limits = limits
        self._pushers: list[tuple[Node, Pusher]] = []
        self._hosts: list[tuple[Node, RealmHost]] = []
        self._waits: list[tuple[Node, WaitsHost]] = []
        nodes = MessageNodes(registry, self.client, hedge=limits.hedge, me=me, counts=self._counts)
        self._store: OfflineStore = SharedStore(nodes, limits.call_timeout)
        self._ledger: Ledger = RemoteLedger(nodes, limits.call_timeout)
        self._clients: dict[str, RpcClient] = {}
        self._opened: AbstractAsyncContextManager[trio.Nursery] = trio.open_nursery()
        self._nursery: trio.Nursery | None = None

    async def __aenter__(self) -> Self:
        """Own the connections until the block ends."""
        self._nursery = await self._opened.__aenter__()
        self._nursery.start_soon(self._follow_view)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        """Close them; calls in progress fail."""
        assert self._nursery is not None
        self._nursery.cancel_scope.cancel()
        self._nursery = None
        return await self._opened.__aexit__(kind, error, traceback)

    def provide_pusher(self, node: Node, pusher: Pusher) -> None:
        """The comet `node` is in this process."""
        self._pushers.insert(0, (node, pusher))

    def provide_host(self, node: Node, host: RealmHost) -> None:
        """The comet `node` is in this process, and takes orders."""
        self._hosts.insert(0, (node, host))

    def provide_waits(self, node: Node, waits: WaitsHost) -> None:
        """The comet `node` is in this process, and hears what its devices acknowledge."""
        self._waits.insert(0, (node, waits))

    def provide_store(self, store: OfflineStore, ledger: Ledger) -> None:
        """A message node is in this process. Whoever asked for the store before keeps calling the others."""
        self._store, self._ledger = store, ledger

    def pusher(self, node: Node) -> Pusher:
        """The comet `node`.

        Raises:
            Unavailable: it is not in this process and announces no address.
        """
        for here, pusher in self._pushers:
            if here.is_same_process(node):
                return pusher
        return RemotePusher(self.client(node), self._limits.call_timeout)

    def host(self, node: Node) -> RealmHost:
        """The comet `node`, for orders.

        Raises:
            Unavailable: it is not in this process and announces no address.
        """
        for here, host in self._hosts:
            if here.is_same_process(node):
                return host
        return RemoteHost(self.client(node))

    def waits(self, node: Node) -> WaitsHost:
        """The comet `node`, for those who wait for acknowledgements.

        Raises:
            Unavailable: it is not in this process and announces no address.
        """
        for here, waits in self._waits:
            if here.is_same_process(node):
                return waits
        return RemoteWaits(self.client(node))

    def store(self) -> OfflineStore:
        """The messages of the cluster."""
        return self._store

    def ledger(self) -> Ledger:
        """The facts of the cluster."""
        return self._ledger

    def client(self, node: Node) -> RpcClient:
        """The connection to `node`, shared by all who call it.

        Raises:
            Unavailable: it announces no address, none that may be called, or these peers are closed.
        """
        if not node.rpc:
            raise Unavailable(f"{node.role} node {node.name!r} announces no address for calls")
        if self._nursery is None:
            raise Unavailable(
                f"{node.rpc} cannot be called: the connections to other nodes are closed"
            )
        client = self._clients.get(node.rpc)
        if client is None:
            try:
                client = RpcClient(
                    node.rpc, secret=self._secret, limits=self._limits, counts=self._counts
                )
            except ConfigError as error:
                raise Unavailable(f"{node.role} node {node.name!r}: {error}") from None
            self._clients[node.rpc] = client
            self._nursery.start_soon(client.run)
        return client

    async def tunnel(self, node: Node, purpose: str) -> Wire:
        """A connection to `node` that carries something else than calls; whoever asked closes it.

        Raises:
            Unavailable: it announces no address, or cannot be reached.
        """
        if not node.rpc:
            raise Unavailable(f"{node.role} node {node.name!r} announces no address for calls")
        secret = self._secret or b""
        return await open_tunnel(node.rpc, purpose, secret=secret, limits=self._limits)

    async def _follow_view(self) -> None:
        """Close what has left, until cancelled."""
        view = self._registry.view
        while True:
            view = await self._registry.wait_newer(view.version)
            for address in self._clients.keys() - {node.rpc for node in view.nodes}:
                self._clients.pop(address).retire()
