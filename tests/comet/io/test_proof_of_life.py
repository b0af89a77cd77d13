"""Who has a client id keeps it while its client reads and answers, on whatever transport and comet; no longer."""

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import trio

from appmodel.core.realms import client_key
from appmodel.core.units import Duration
from comet.core.rules import Accept, Client, Effects, Join, Refused
from comet.io.comet import Comet
from comet.protocol.websocket import PONG
from tests.comet.engine_world import EngineClient
from tests.comet.site import ON, Site, open_site
from tests.comet.talking import Script
from tests.comet.world import LIMIT, changed, client_frame

CONFIG = changed(ON, "cluster", claim_proof=Duration(0.3), lease=Duration(10))
KEY = client_key("/demo", "/demo#u1#web-d1")
REFUSED = '44/demo,{"message":"socket.id conflict"}'
WELCOME = '40/demo,{"sid":"/demo#u1#web-d1"}'

PING, ANSWER = "control 0x89", client_frame(b"", 0x80 | PONG)

PHONE = """
import socket, sys
phone = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
phone.sendall((
    "GET /engine.io/?EIO=4&transport=websocket HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: Upgrade\\r\\n"
    "Upgrade: websocket\\r\\nSec-WebSocket-Version: 13\\r\\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\\r\\n\\r\\n"
).encode())
while not phone.recv(65536).endswith(b"}"):
    pass
phone.sendall(b"\\x81\\x88\\0\\0\\0\\x0040/demo,")
while data := phone.recv(65536):
    if data[0] == 0x89:
        phone.sendall(b"\\x8a\\x80\\0\\0\\0\\0")
    print(data, flush=True)
print("gone", flush=True)
"""


@dataclass
class OneEach(Script):
    """Rules for one client, wherever it is."""

    comet: Comet | None = None

    async def connect(self, client: Client, asked: Any) -> Effects:
        """As those of light-push."""
        assert self.comet is not None
        if not await self.comet.claims.claim(KEY, client):
            raise Refused("socket.id conflict")
        return [Accept("/demo#u1#web-d1"), Join(KEY)]

    def gone(self, client: Client, reason: str) -> Effects:
        """The id is free."""
        assert self.comet is not None
        self.comet.claims.release(KEY, client)
        return ()


@asynccontextmanager
async def open_demo() -> AsyncIterator[Site]:
    """Three comets with these rules."""
    async with open_site("a", "b", "c", config=CONFIG, echoes=False) as site:
        for world in site.cluster.worlds.values():
            world.comet.socketio.rules.serve("/demo", OneEach(comet=world.comet))
        yield site


async def enter(site: Site, comet: str) -> tuple[EngineClient, str]:
    """A client that wants to be in /demo, and what it heard."""
    client = await site.connect(comet)
    await client.upgrade("EIO=4&transport=websocket")
    assert str(await client.hear()).startswith("0{")
    await client.say("40/demo,")
    while (heard := str(await client.hear())).startswith(PING):
        await client.send(ANSWER)  # it may be asked for a proof, too
    return client, heard


async def answer_pings(client: EngineClient) -> None:
    """What every WebSocket does by itself, until it is closed."""
    while (heard := await client.hear()) != "end":
        if str(heard).startswith(PING):
            await client.send(ANSWER)


@contextmanager
def phone(port: int) -> Iterator["subprocess.Popen[str]"]:
    """A client in a process of its own, which has come in."""
    running = subprocess.Popen(
        [sys.executable, "-c", PHONE, str(port)], stdout=subprocess.PIPE, text=True
    )
    try:
        yield running
    finally:
        running.kill()
        running.communicate()


async def said_by(running: "subprocess.Popen[str]") -> str:
    """The next line of that process."""
    assert running.stdout is not None
    with trio.fail_after(LIMIT):
        return await trio.to_thread.run_sync(running.stdout.readline)


async def test_a_websocket_that_answers_keeps_its_id() -> None:
    """On every comet the second one is refused, and the first one does not notice."""
    async with open_demo() as site, trio.open_nursery() as nursery:
        client, heard = await enter(site, "a")
        assert heard == WELCOME
        nursery.start_soon(answer_pings, client)

        assert [(await enter(site, name))[1] for name in "abc"] == [REFUSED] * 3

        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("comet", ["a", "b"])
async def test_a_process_that_was_stopped_loses_its_id(comet: str) -> None:
    """SIGSTOP: its kernel still answers TCP, its client does not. When it goes on, it hears the end."""
    async with open_demo() as site:
        with phone(site.ports["a"]) as running:
            assert "/demo#u1" in await said_by(running)
            assert (await enter(site, comet))[1] == REFUSED
            os.kill(running.pid, signal.SIGSTOP)

            _, heard = await enter(site, comet)

            assert heard == WELCOME
            os.kill(running.pid, signal.SIGCONT)
            while (line := await said_by(running)) != "gone\n":
                assert line


async def test_a_client_that_vanished_loses_its_id() -> None:
    """No FIN ever came: it reads nothing and answers nothing."""
    async with open_demo() as site:
        assert (await enter(site, "a"))[1] == WELCOME

        assert (await enter(site, "b"))[1] == WELCOME


async def poll(site: Site, names: str, target: str) -> None:
    """Poll for ever, each time another comet; a poll that is ended by an error is the last."""
    turn = 0
    while True:
        turn += 1
        reply = await (await site.connect(names[turn % len(names)])).get(target)
        if reply.status != 200:
            return


@pytest.mark.parametrize("names", ["a", "ab"])
async def test_a_client_that_polls_keeps_its_id(names: str) -> None:
    """Its poll is ended, and it comes again: on whichever comet."""
    async with open_demo() as site, trio.open_nursery() as nursery:
        target = await site.begin("a")
        client = await site.connect("a")
        assert (await client.post(target, b"40/demo,")).body == b"ok"
        assert (await client.get(target)).body.decode() == WELCOME
        nursery.start_soon(poll, site, names, target)

        assert [(await enter(site, name))[1] for name in "abc"] == [REFUSED] * 3

        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("where", ["a", "b"])
async def test_a_poll_that_nobody_reads_keeps_no_id(where: str) -> None:
    """It hangs there as if somebody waited; what ends it is answered by nothing."""
    async with open_demo() as site:
        target = await site.begin("a")
        client = await site.connect("a")
        assert (await client.post(target, b"40/demo,")).body == b"ok"
        assert (await client.get(target)).body.decode() == WELCOME
        silent = await site.connect(where)
        await silent.ask("GET", target)
        await site.world("a").until(lambda: site.world("a").comet.socketio.engine.polls == 1)

        assert (await enter(site, "c"))[1] == WELCOME


async def test_a_websocket_on_another_comet_than_its_session_keeps_its_id() -> None:
    """The proof goes through both."""
    async with open_demo() as site, trio.open_nursery() as nursery:
        target = await site.begin("a")
        client = await site.connect("a")
        assert (await client.post(target, b"40/demo,")).body == b"ok"
        assert (await client.get(target)).body.decode() == WELCOME
        carried = await site.connect("b")
        await site.move_to_websocket(carried, target)
        await site.world("a").until(lambda: site.world("a").comet.socketio.engine.upgraded == 1)
        nursery.start_soon(answer_pings, carried)

        assert (await enter(site, "c"))[1] == REFUSED

        nursery.cancel_scope.cancel()
