"""SIGKILL while Apple is told of a push: who comes back goes on, and nobody is forgotten.

A real node over SQLite, its REST, and Apple on loopback.
"""

from base64 import b64encode
from collections import Counter
from pathlib import Path

import httpx
import pytest
import trio
import trio.testing

from appmodel.core.lightpush import Platform, client_id
from appmodel.core.lightpush_records import Arrival, ClientChange, Enrolment
from appmodel.io.database import Database
from appmodel.io.lightpush_clients import SqlClients
from appmodel.io.lightpush_pushes import SqlPushBook
from appmodel.io.lightpush_sweeping import now_ms
from tests.databases import limits
from tests.node import Node, running_node
from tests.web.absent import AUTHORITY, number_of
from tests.web.gateways.apple import KEY_ID, TEAM_ID, TOPIC, Apple, device_token
from tests.web.gateways.authority import pem
from tests.web.gateways.h2_server import SILENCE, serving

PHONES = 5
PATIENCE = 60.0  # seconds of real time: it takes five

pytestmark = pytest.mark.slow


async def test_a_node_that_is_killed_forgets_nobody(tmp_path: Path) -> None:
    """What was noted is not repeated: at most the client whose answer nobody heard."""
    apple = Apple()
    (tmp_path / "ca.pem").write_text(AUTHORITY.certificate)
    with trio.fail_after(PATIENCE):
        async with serving(apple.server, AUTHORITY.server_context()):
            settings = quick(tmp_path, apple.server.port)
            with running_node(tmp_path, settings) as node:
                android = await prepare(node, tmp_path, apple)
                apple.said[device_token(2)] = SILENCE
                push_id = await push(node)
                while 2 not in notified(apple):
                    await trio.testing.wait_all_tasks_blocked(0.01)
                await trio.to_thread.run_sync(node.kill)
                del apple.said[device_token(2)]
                await trio.to_thread.run_sync(node.start)
                await until_reported(node, push_id)

                asked = notified(apple)
                assert (set(asked), asked[0], asked[1]) == (set(range(PHONES)), 1, 1)
                assert asked.total() <= PHONES + 2  # if Apple was given up before the kill
                database = open_database(tmp_path)
                found = await SqlPushBook(database).take_inbox("/demo", android, now=now_ms())
                database.close()
                assert [one.id for one in found] == [push_id]


def quick(folder: Path, port: int) -> dict[str, str]:
    """What is due soon, and a lease that is over soon; one notification in a step."""
    place = f"localhost:{port}"
    return {
        "APPMSG_DATABASE__URL": f"sqlite:///{folder}/app.db",
        "APPMSG_LIGHTPUSH__OFFLINE_AFTER": "10ms",
        "APPMSG_WEB__LIGHTPUSH__OFFLINE__POLL": "50ms",
        "APPMSG_WEB__LIGHTPUSH__OFFLINE__LEASE": "2s",
        "APPMSG_WEB__LIGHTPUSH__OFFLINE__PAGE": "1",
        "APPMSG_WEB__NOTIFICATIONS__OUTBOUND__TIMEOUT": "600ms",
        "APPMSG_WEB__NOTIFICATIONS__OUTBOUND__CA_FILE": str(folder / "ca.pem"),
        "APPMSG_WEB__NOTIFICATIONS__APNS__PRODUCTION": place,
    }


def open_database(folder: Path) -> Database:
    """The node's."""
    return Database(limits(f"sqlite:///{folder}/app.db"))


async def prepare(node: Node, folder: Path, apple: Apple) -> str:
    """Namespaces with a way to Apple, phones, and an Android client, whose id it is."""
    way = {
        "name": "default",
        "apns_env": "production",
        "apns_topic": TOPIC,
        "token_key": pem(apple.key),
        "token_keyId": KEY_ID,
        "token_teamId": TEAM_ID,
    }
    default = {"key": "/", "apns_list": [way]}
    demo = {"key": "/demo", "auth_passwd": "s3cret"}
    for fields in (default, demo):
        assert await call(node, "admin:123456", "admin/namespace/save", fields) == {}
    database = open_database(folder)
    clients, now = SqlClients(database), now_ms()
    for number in range(PHONES):
        client = client_id("/demo", f"u{number}", Platform.IOS, "d")
        await clients.arrived([Arrival("/demo", client, "u", Platform.IOS, "d", now)])
        await clients.enrolled([Enrolment("/demo", "r1", client, Platform.IOS)])
        token = ClientChange(device_token=device_token(number))
        await clients.change("/demo", client, token, now=now)
    android = client_id("/demo", "a", Platform.ANDROID, "d")
    await clients.enrolled([Enrolment("/demo", "r1", android, Platform.ANDROID)])
    database.close()
    return android


async def push(node: Node) -> int:
    """To all of them; its id."""
    fields = {"room": "r1", "pushData": {"text": "hi"}, "leaveMessage": True}
    push_id = (await call(node, "/demo:s3cret", "auth/push", fields))["id"]
    assert isinstance(push_id, int)
    return push_id


async def call(node: Node, credential: str, path: str, fields: object = None) -> dict[str, object]:
    """A route of light-push's REST."""
    headers = {"Authorization": "Basic " + b64encode(credential.encode()).decode()}
    async with httpx.AsyncClient(base_url=node.url("web.lightpush"), headers=headers) as http:
        method = "GET" if fields is None else "POST"
        answer = await http.request(method, f"/api/{path}", json=fields)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def notified(apple: Apple) -> Counter[int]:
    """How often Apple was asked for each phone."""
    return Counter(map(number_of, apple.server.asked))


async def until_reported(node: Node, push_id: int) -> None:
    """Wait until the report says that all phones have it."""
    numbers: tuple[object, object] = (None, None)
    while numbers != (str(PHONES), str(PHONES)):
        report = await call(node, "/demo:s3cret", f"auth/report/push/{push_id}")
        numbers = report.get("apnsCount"), report.get("apnsSuccessCount")
        await trio.sleep(0.02)
    assert report["result"] == "apnsEnv:production"
