"""light-push on a node of its own: clients on real sockets, REST, a back end; and what is left when it ends."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import msgspec
import pytest
import trio

from tests.comet.back_end import BackEnd, serving
from tests.comet.engine_world import EngineClient
from tests.node import Node, running_node

ADMIN, DEMO = ("admin", "123456"), ("/demo", "s3cret")
SETTINGS = {
    "APPMSG_COMET__SOCKETIO__PATH": "/engine.io/",  # as `EngineClient` asks
    "APPMSG_COMET__LIGHTPUSH__CALLBACKS__OUTBOUND__ALLOWED": '["http://127.0.0.0/8"]',
    "APPMSG_COMET__LIGHTPUSH__ROLL__GATHER": "50ms",
}
LIMIT = 40.0  # seconds for a test


@asynccontextmanager
async def connected(node: Node, query: str) -> AsyncIterator[EngineClient]:
    """A client of Socket.IO 2 that has read `ok`."""
    port = urlsplit(node.url("comet.socketio")).port
    assert port is not None
    stream = await trio.open_tcp_stream("127.0.0.1", port)
    async with stream:
        client = EngineClient(stream)
        await client.upgrade(f"EIO=3&transport=websocket&{query}")
        assert str(await client.hear())[:1] == "0"
        assert await client.hear() == "40"
        await client.say("40/demo,")
        assert await client.hear() == "40/demo,"
        assert str(await client.hear()).startswith('42/demo,["ok",')
        yield client


async def call(node: Node, path: str, auth: tuple[str, str], body: Any = None) -> Any:
    """One call of the REST."""
    url = node.url("web.lightpush").rstrip("/") + path
    async with httpx.AsyncClient(auth=auth, trust_env=False) as http:
        answer = await (http.get(url) if body is None else http.post(url, json=body))
    assert answer.status_code == 200, answer.text
    return answer.json()


async def until_online(node: Node, clients: int) -> None:
    """Wait until so many are written as present."""

    async def online() -> int:
        found: int = (await call(node, "/api/auth/report/online", DEMO))["clientCount"]
        return found

    while await online() != clients:  # noqa: ASYNC110  a database tells nobody
        await trio.sleep(0.05)


@pytest.mark.slow
async def test_a_client_of_a_node_and_what_is_left_when_that_ends(tmp_path: Path) -> None:
    """It has told the back end who has gone, and when it is back nobody is there and all is counted."""
    with trio.fail_after(LIMIT), running_node(tmp_path, SETTINGS) as node:
        async with serving(BackEnd()) as back_end:
            save = {"key": "/demo", "auth_passwd": DEMO[1]}
            save |= {"connect_callback": back_end.url("/in")}
            save |= {"disconnect_callback": back_end.url("/out")}
            await call(node, "/api/admin/namespace/save", ADMIN, save)

            async with connected(node, "uuid=d1&userid=u1") as client:
                push = {"room": "user_u1", "pushData": {"a": 1}}
                made = await call(node, "/api/auth/push", DEMO, push)
                assert made["expectAckCount"] == 1
                heard = str(await client.hear()).removeprefix("42/demo,")
                event = msgspec.json.decode(heard)[1]
                assert (event["id"], event["pushData"]) == (made["id"], {"a": 1})
                await client.say(f'42/demo,["ackPush",{{"id":{made["id"]}}}]')
                await until_online(node, 1)
                assert await trio.to_thread.run_sync(node.stop) == 0
            asked, told = back_end.requests
            assert (asked.method, told.method, told.target) == ("GET", "POST", "/out")
            assert told.json["query"]["uuid"] == "d1"

            await trio.to_thread.run_sync(node.start)
            assert (await call(node, "/api/auth/report/online", DEMO))["clientCount"] == 0
            report = await call(node, f"/api/auth/report/push/{made['id']}", DEMO)
            assert (report["ackCount"], report["onlineClientCount"]) == ("1", "1")
