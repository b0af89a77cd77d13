"""People in a cluster of real processes, with one database of people: who hears what, and who is there.

Three comets on ZooKeeper, one message node, two web nodes, PostgreSQL; the company of `appmsg demo`.
"""

import json
import re
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest
import sqlalchemy as sa
from websockets.sync.client import ClientConnection, connect

from appmodel.io.engines import make_engine
from appmodel.orm.presence import SessionHolder
from tests.cluster.cluster import Cluster, Outside, running_cluster, zookeeper_settings
from tests.databases import a_new_database, limits, make_tables
from tools.servers.daemon import Missing
from tools.servers.redis import redis_server
from tools.servers.zookeeper import ensemble, hosts

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

PATIENCE = 30.0  # seconds for one thing to happen: the machine may be busy
FRIENDS = ("bob", "cleo", "hana")  # in the group of the demo; its owner is ann


@dataclass
class Company:
    """The cluster, and whoever has logged in."""

    cluster: Cluster
    database: str  # URL
    passwords: dict[str, str]
    ends: ExitStack = field(default_factory=ExitStack)

    def log_in(self, uid: str, web: int) -> str:
        """A token, by way of one of the web nodes."""
        base = {"uid": "", "deviceID": "d1", "deviceType": "Android", "token": ""}
        answer = self.ask(
            "/app/client/device/login",
            {"baseRequest": base, "userName": uid, "password": self.passwords[uid]},
            web=web,
        )
        return str(answer["token"])

    def ask(self, path: str, body: dict[str, Any], *, web: int) -> Any:
        """A call of the application REST."""
        url = self.cluster.webs("app")[web] + path
        request = urllib.request.Request(url, json.dumps(body).encode())
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            found = json.load(answer)
        assert found["baseResponse"]["ret"] == 0, found
        return found

    def say(self, uid: str, token: str, text: str, *, web: int) -> None:
        """A message to the group."""
        base = {"token": token, "deviceID": "d1", "deviceType": "Android"}
        msg = {"fromUserName": f"{uid}@user", "toUserName": "acme-lunch@qun", "content": text}
        body = {"baseRequest": base, "msg": msg | {"msgType": 1}}
        self.ask("/app/client/device/push", body, web=web)

    def hear(self, uid: str, token: str, comet: str) -> ClientConnection:
        """The device of somebody, at that comet."""
        address = self.cluster[comet].address("ws")
        url = f"ws://{address}/sub?key={uid}_Android-d1@user&heartbeat=60&ver=1&token={token}"
        device = self.ends.enter_context(connect(url, compression=None, close_timeout=1))
        assert device.recv(timeout=PATIENCE) == "+h\r\n"
        return device

    def held(self) -> dict[str, str]:
        """Which comet holds which session, as the database knows it."""
        engine = make_engine(limits(self.database))
        with engine.connect() as connection:
            rows = connection.execute(sa.select(SessionHolder.session_id, SessionHolder.node))
            found = {row.session_id: row.node for row in rows}
        engine.dispose()
        return found

    def until_held(self, wanted: dict[str, str]) -> None:
        """Wait, in real time, until the database says just this."""
        end = time.monotonic() + PATIENCE
        while (found := self.held()) != wanted:
            assert time.monotonic() < end, f"found {found}, wanted {wanted}"
            time.sleep(0.05)


@pytest.fixture
def company(running_company: Company) -> Iterator[Company]:
    """All nodes are up, and nobody is connected."""
    running_company.cluster.mend()
    running_company.until_held({})
    yield running_company
    running_company.ends.close()


@pytest.fixture(scope="module")
def running_company(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Company]:
    folder = tmp_path_factory.mktemp("company")
    with ExitStack() as running:
        try:
            zookeepers = running.enter_context(ensemble(folder, 1))
            redis = running.enter_context(redis_server(folder / "redis"))
        except Missing as missing:
            pytest.skip(str(missing))
        database = running.enter_context(a_new_database("postgresql"))
        make_tables(database)
        shared = zookeeper_settings(hosts(zookeepers)) + f'[database]\nurl = "{database}"\n'
        store = f'store = "redis"\nredis.addresses = ["{redis.address}"]\n'
        outside = Outside(shared, store)
        cluster = running.enter_context(running_cluster(folder, outside, messages=1))
        shown = cluster.command("demo")
        passwords = dict(re.findall(r"(?m)^(\w+) +acme-\S+ +(\S+)$", shown))
        yield Company(cluster, database, passwords)


def test_a_group_on_three_comets(company: Company) -> None:
    """Each message comes to each device once and in order, from whichever comet; none to its own sender's."""
    comets = {"ann": "c1", "bob": "c1", "cleo": "c2", "hana": "c3"}
    tokens = {uid: company.log_in(uid, number % 2) for number, uid in enumerate(comets)}
    devices = {uid: company.hear(uid, tokens[uid], comet) for uid, comet in comets.items()}

    speakers = ("ann", "bob", "cleo", "hana")
    for number, uid in enumerate(speakers):
        company.say(uid, tokens[uid], f"I am {uid}", web=number % 2)

    for uid, device in devices.items():
        for speaker in speakers:
            if speaker != uid:
                heard = json.loads(device.recv(timeout=PATIENCE))["msg"]
                said = f"{speaker}@user|{speaker}|{speaker.title()}&&I am {speaker}"
                assert heard["content"] == said
                assert heard["toUserKey"] == f"{uid}_Android-d1@user"


def test_a_comet_that_is_killed_leaves_no_session_behind(company: Company) -> None:
    """The others release what it held, and nothing else; who comes to another one is there again."""
    tokens = {uid: company.log_in(uid, 0) for uid in FRIENDS}
    for number, uid in enumerate(FRIENDS, start=1):
        company.hear(uid, tokens[uid], f"c{number}")
    company.until_held({f"{uid}_Android-d1": f"c{n}" for n, uid in enumerate(FRIENDS, start=1)})

    company.cluster["c1"].kill()
    company.until_held({"cleo_Android-d1": "c2", "hana_Android-d1": "c3"})
    company.hear("bob", tokens["bob"], "c2")

    company.until_held({"bob_Android-d1": "c2", "cleo_Android-d1": "c2", "hana_Android-d1": "c3"})
