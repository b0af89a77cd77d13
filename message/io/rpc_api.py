"""Where comet and web nodes of other processes call: the store and the ledger over RPC."""

import socket
from collections.abc import Sequence

import trio

from appmodel.core.interfaces import Ledger, OfflineStore
from appmodel.io.calls import ledger_handlers, store_handlers
from appmodel.io.rpc_link import RpcLimits
from appmodel.io.rpc_server import serve_rpc
from appmodel.io.rpc_strangers import RpcCounts


async def serve_calls(
    sockets: Sequence[socket.socket],
    store: OfflineStore,
    ledger: Ledger,
    *,
    secret: bytes | None,
    limits: RpcLimits,
    counts: RpcCounts,
    stop: trio.Event,
) -> None:
    """Answer calls until `stop` is set and those that had begun have ended. Owns the sockets.

    Raises:
        ConfigError: no secret, and a socket that other machines can reach.
    """
    handlers = {**store_handlers(store), **ledger_handlers(ledger)}
    await serve_rpc(sockets, handlers, secret=secret, stop=stop, limits=limits, counts=counts)
