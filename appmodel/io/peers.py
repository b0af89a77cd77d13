"""The other nodes, wherever they are: the object itself in this process, else calls to it.

    peers.pusher(node)    the comet `node`        provided here, or RemotePusher to its address
    peers.store()         the message nodes       provided here, or whichever of them answers
    peers.ledger()

There is one connection per address: the first call opens it, and it is closed when the address has
left the cluster's view. Whatever else changes leaves it alone (spec/gopush.md C14).

The message nodes share what they keep, so the next one takes what one of them cannot. If it was not
reached, that is always safe. If the outcome is unknown, it is safe for what may happen twice: reads, and
whatever is known again by its push id or name. `delete` and `sweep` count what they did, and are
not repeated.
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Generic, Self, TypeVar

import trio

from appmodel.core.cluster import Node
from appmodel.core.interfaces import Ledger, OfflineStore, Pusher, Registry
from appmodel.core.message import Feed, Page, Revocation, Save, Saved
from appmodel.core.names import Key
from appmodel.errors import ConfigError, NotStored, OutcomeUnknown, PushError, Unavailable
from appmodel.io.calls import Caller, RemoteLedger, RemotePusher, RemoteStore
from appmodel.io.rpc_client import RpcClient
from appmodel.io.rpc_link import DEFAULT_LIMITS, RpcLimits

Stub = TypeVar("Stub")
T = TypeVar("T")


class Peers:
    """What this process can ask of the cluster: `async with` it to reach what is not local."""

    def __init__(
        self,
        registry: Registry,
        *,
        secret: bytes | None = None,
        limits: RpcLimits = DEFAULT_LIMITS,
    ) -> None:
        self._registry = registry
        self._secret = secret
        self._limits = limits
        self._pushers: list[tuple[Node, Pusher]] = []
        self._store: OfflineStore = _SharedStore(_MessageNodes(RemoteStore, self, registry, limits))
        self._ledger: Ledger = _SharedLedger(_MessageNodes(RemoteLedger, self, registry, limits))
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
                client = RpcClient(node.rpc, secret=self._secret, limits=self._limits)
            except ConfigError as error:
                raise Unavailable(f"{node.role} node {node.name!r}: {error}") from None
            self._clients[node.rpc] = client
            self._nursery.start_soon(client.run)
        return client

    async def _follow_view(self) -> None:
        """Close what has left, until cancelled."""
        view = self._registry.view
        while True:
            view = await self._registry.wait_newer(view.version)
            for address in self._clients.keys() - {node.rpc for node in view.nodes}:
                self._clients.pop(address).retire()


class _MessageNodes(Generic[Stub]):
    """Asks one message node after the other, until one has an answer."""

    def __init__(
        self,
        stub: Callable[[Caller, float], Stub],
        peers: Peers,
        registry: Registry,
        limits: RpcLimits,
    ) -> None:
        self._stub = stub
        self._peers = peers
        self._registry = registry
        self._timeout = limits.call_timeout

    async def ask(self, question: Callable[[Stub], Awaitable[T]], *, repeatable: bool = True) -> T:
        """The first answer, within one timeout for all.

        While another node is left, one that hangs gets half of the time.

        Raises:
            Unavailable: none of them was reached, or there are none: nothing was done.
            OutcomeUnknown: one of them may have done it, and no other has answered.
        """
        end = trio.current_time() + self._timeout
        nodes = self._registry.view.messages
        failure: PushError = Unavailable("no message node is registered")
        for others in reversed(range(len(nodes))):
            left = max(0.0, end - trio.current_time())
            try:
                client = self._peers.client(nodes[-1 - others])
                return await question(
                    self._stub(client, left / 2 if others and repeatable else left)
                )
            except NotStored:
                raise  # it was reached, and refused
            except Unavailable as error:
                failure = failure if isinstance(failure, OutcomeUnknown) else error
            except OutcomeUnknown as error:
                if not repeatable:
                    raise
                failure = error
        raise failure


class _SharedStore:
    """An `OfflineStore` over all message nodes."""

    def __init__(self, nodes: _MessageNodes[RemoteStore]) -> None:
        self._nodes = nodes

    async def save(self, saves: Sequence[Save]) -> list[Saved]:
        try:
            return await self._nodes.ask(lambda store: store.save(saves))
        except NotStored:
            raise
        except Unavailable as error:
            raise NotStored(str(error)) from None

    async def fetch(self, key: Key, after: int, *, limit: int, until: int | None = None) -> Page:
        return await self._nodes.ask(
            lambda store: store.fetch(key, after, limit=limit, until=until)
        )

    async def marks(self, keys: Sequence[Key]) -> list[int]:
        return await self._nodes.ask(lambda store: store.marks(keys))

    async def delete(self, key: Key, ids: Sequence[int] | None = None) -> int:
        return await self._nodes.ask(lambda store: store.delete(key, ids), repeatable=False)

    async def feed(self, position: int, *, limit: int) -> Feed:
        return await self._nodes.ask(lambda store: store.feed(position, limit=limit))

    async def sweep(self, *, limit: int) -> int:
        return await self._nodes.ask(lambda store: store.sweep(limit=limit), repeatable=False)


class _SharedLedger:
    """A `Ledger` over all message nodes."""

    def __init__(self, nodes: _MessageNodes[RemoteLedger]) -> None:
        self._nodes = nodes

    async def remember(self, name: bytes, value: bytes, *, kept_until: float) -> bytes:
        return await self._nodes.ask(
            lambda ledger: ledger.remember(name, value, kept_until=kept_until)
        )

    async def recall(self, name: bytes) -> bytes | None:
        return await self._nodes.ask(lambda ledger: ledger.recall(name))

    async def revoke(self, subject: str, *, issued_before: float, kept_until: float) -> None:
        await self._nodes.ask(
            lambda ledger: ledger.revoke(
                subject, issued_before=issued_before, kept_until=kept_until
            )
        )

    async def revocations(self, position: int) -> list[Revocation]:
        return await self._nodes.ask(lambda ledger: ledger.revocations(position))
