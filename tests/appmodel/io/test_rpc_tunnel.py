"""A connection between nodes may carry something else than calls, for who knows the secret."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import msgspec
import pytest
import trio

from appmodel.errors import Unavailable
from appmodel.io.calls import Call
from appmodel.io.listener import bound_to, open_sockets
from appmodel.io.rpc_client import RpcClient
from appmodel.io.rpc_link import RpcLimits
from appmodel.io.rpc_server import serve_rpc
from appmodel.io.rpc_strangers import RpcCounts
from appmodel.io.rpc_tunnel import open_tunnel
from appmodel.io.wire import Wire
from appmodel.protocol import rpc

SECRET = b"a secret of the cluster, long enough"
LIMITS = RpcLimits(connect_timeout=40.0)
ECHO = Call[str, str]("echo")


async def say_twice(wire: Wire) -> None:
    """What a tunnel is for, here."""
    data = await wire.receive_some()
    await wire.send_all(2 * data)


@asynccontextmanager
async def open_node(secret: bytes = SECRET) -> AsyncIterator[tuple[str, RpcCounts]]:
    """The address of a node that answers calls, and carries one kind of tunnel."""
    counts = RpcCounts()
    sockets = open_sockets("127.0.0.1", 0)
    address = str(bound_to(sockets))

    async def echo(text: str) -> str:
        await trio.lowlevel.checkpoint()
        return text

    async with trio.open_nursery() as nursery:
        nursery.start_soon(
            partial(
                serve_rpc,
                sockets,
                dict([ECHO.answered_by(echo)]),
                secret=secret,
                stop=trio.Event(),
                counts=counts,
                tunnels={"twice": say_twice},
            )
        )
        yield address, counts
        nursery.cancel_scope.cancel()


async def test_a_tunnel_carries_what_its_ends_say() -> None:
    """From the first byte behind the proofs on; and calls go on beside it."""
    async with open_node() as (address, _), trio.open_nursery() as nursery:
        client = RpcClient(address, secret=SECRET, limits=LIMITS)
        nursery.start_soon(client.run)

        wire = await open_tunnel(address, "twice", secret=SECRET, limits=LIMITS)
        await wire.send_all(b"hello")

        assert await wire.receive_some() == b"hellohello"
        assert await wire.receive_some() == b""
        assert await client.call(ECHO, "still here", timeout=40) == "still here"
        wire.close()
        nursery.cancel_scope.cancel()


async def test_a_stranger_gets_none() -> None:
    """Nor does it hear anything."""
    async with open_node() as (address, counts):
        with pytest.raises(Unavailable, match="hung up"):
            await open_tunnel(address, "twice", secret=b"a guess", limits=LIMITS)

        assert counts.refused["secret"] == 1


async def test_a_purpose_that_is_none_is_refused() -> None:
    """Behind the proofs: the connection ends."""
    async with open_node() as (address, counts):
        wire = await open_tunnel(address, "thrice", secret=SECRET, limits=LIMITS)

        assert await wire.receive_some() == b""
        assert counts.refused["nonsense"] == 1
        wire.close()


def test_a_proof_for_calls_opens_no_tunnel_and_none_another() -> None:
    """The purpose is proved with the secret: nobody in between can put another one in its place."""
    nonces = bytes(rpc.NONCE), b"s" * rpc.NONCE
    for purpose, claimed in [("", "twice"), ("once", "twice"), ("twice", "")]:
        client = rpc.Connection(rpc.Role.CLIENT, secret=SECRET, nonce=nonces[0], purpose=purpose)
        server = rpc.Connection(rpc.Role.SERVER, secret=SECRET, nonce=nonces[1])
        server.receive_data(client.data_to_send())
        client.receive_data(server.data_to_send())
        mac = msgspec.msgpack.decode(client.data_to_send()[rpc.LENGTH :])[1]
        proof = rpc.Tunnel(mac, claimed) if claimed else rpc.Proof(mac)
        body = msgspec.msgpack.encode(proof)

        with pytest.raises(rpc.RpcProtocolError, match="its proof is wrong"):
            server.receive_data(len(body).to_bytes(rpc.LENGTH, "big") + body)


async def test_nobody_dials_another_machine_without_a_secret() -> None:
    """As for calls."""
    with pytest.raises(Unavailable, match=r"rpc\.secret"):
        await open_tunnel("192.0.2.1:6970", "twice", secret=b"", limits=LIMITS)


async def test_who_cannot_be_reached_is_unavailable() -> None:
    """Refused, or silent for too long."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = "{}:{}".format(*silent.getsockname())
        hasty = RpcLimits(connect_timeout=0.05)
        with pytest.raises(Unavailable, match="no connection within"):
            await open_tunnel(address, "twice", secret=SECRET, limits=hasty)
    with pytest.raises(Unavailable, match="refused"):
        await open_tunnel(address, "twice", secret=SECRET, limits=LIMITS)
