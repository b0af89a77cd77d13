"""SIGSTOP: a node whose sockets stay open and which says nothing is the worst that there is.

Two comets, two message nodes on one Redis, a web node: real processes that find each other by their
configuration. So nobody ever says that the frozen node is gone, and it has to be lived with.
"""

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import appmsg_client
import httpx
import pytest
import trio

from appmodel.core.cluster import ClusterView, Node, Role
from appmodel.core.names import parse_key
from tests.cluster.cluster import Cluster, ClusterNode, Outside
from tools.servers.daemon import Missing
from tools.servers.redis import redis_server

pytestmark = pytest.mark.slow

PATIENCE = 60.0  # seconds for a test: the old way, half of the time for each call, takes longer
PUSHES = 30


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """It runs for all tests here."""
    try:
        with redis_server(tmp_path_factory.mktemp("redis")) as redis:
            store = f'store = "redis"\nredis.addresses = ["{redis.address}"]\n'
            with static_cluster(tmp_path_factory.mktemp("frozen"), store) as found:
                yield found
    except Missing as missing:
        pytest.skip(str(missing))


@contextmanager
def static_cluster(folder: Path, store: str) -> Iterator[Cluster]:
    cluster = Cluster(folder, Outside("", store))
    for name in ("m1", "m2", "c1", "c2", "w1"):
        cluster.add({"m": Role.MESSAGE, "c": Role.COMET, "w": Role.WEB}[name[0]], name)
    settings = cluster["w1"].settings
    settings = settings.replace('push_timeout = "20s"', 'push_timeout = "5s"\nread_timeout = "3s"')
    cluster["w1"].settings = settings
    known = "".join(entry(node) for node in cluster.nodes.values() if node.role is not Role.WEB)
    try:
        for node in cluster.nodes.values():
            node.settings += known
        cluster.start()
        yield cluster
        assert not cluster.bugs()
    except BaseException:
        print(cluster.tails())  # noqa: T201  pytest shows it with the failure
        raise
    finally:
        for node in cluster.nodes.values():
            node.end()


def entry(node: ClusterNode) -> str:
    """How the others know it."""
    text = f'[[registry.nodes]]\nrole = "{node.role}"\nname = "{node.name}"\n'
    text += f'rpc = "{node.address("rpc")}"\n'
    return text + (f'ws = ["{node.address("ws")}"]\n' if node.role is Role.COMET else "")


def key_of(owner: str, number: int = 0) -> str:
    """A key that this comet owns."""
    view = ClusterView(1, (Node(Role.COMET, "c1"), Node(Role.COMET, "c2")))
    found = (f"u{n}@user" for n in range(10_000))
    owned = [key for key in found if view.ring.owner(parse_key(key, "").routed) == owner]
    return owned[number]


class Api:
    """/v2 of the web node."""

    def __init__(self, cluster: Cluster, http: httpx.AsyncClient) -> None:
        self._cluster, self._http = cluster, http

    async def push(self, key: str, number: int, *, ttl: int = 600) -> httpx.Response:
        return await self._http.post("/v2/push", json={"to": key, "msg": number, "ttl": ttl})

    async def messages(self, key: str) -> httpx.Response:
        return await self._http.get("/v2/messages", params={"key": key, "limit": 1000})

    async def presence(self, *keys: str) -> httpx.Response:
        return await self._http.post("/v2/presence", json={"keys": keys})

    async def metric(self, name: str) -> float:
        page = (await self._http.get("/metrics")).text
        [line] = [line for line in page.splitlines() if line.startswith(name + " ")]
        return float(line.split()[1])

    def listen(self, key: str) -> Any:
        """All messages of a key, wherever its client is sent."""
        now = time.time()
        ticket = self._cluster.credentials.issue_ticket(parse_key(key, ""), now=now, ttl=600)
        web = f"http://{self._cluster['w1'].address('public')}"
        return appmsg_client.subscribe(key, web=web, mid=0, token=ticket)


@pytest.fixture
async def api(cluster: Cluster) -> AsyncIterator[Api]:
    scopes = ("push", "read")
    token = cluster.credentials.issue_token(scopes, now=time.time(), ttl=3600, subject="test")
    url = f"http://{cluster['w1'].address('api')}"
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(
        base_url=url, headers=headers, timeout=PATIENCE, trust_env=False
    ) as http:
        yield Api(cluster, http)


@asynccontextmanager
async def frozen(cluster: Cluster, *names: str) -> AsyncIterator[None]:
    """They are, for the length of the block."""
    for name in names:
        cluster[name].freeze()
    try:
        with trio.fail_after(PATIENCE):
            yield
    finally:
        for name in names:
            cluster[name].thaw()


def stored(answer: httpx.Response) -> int:
    """The id of a push that was stored."""
    assert answer.status_code == 200, answer.text
    [result] = answer.json()["results"]
    assert result["stored"]
    message_id: int = result["id"]
    return message_id


@pytest.mark.parametrize("name", ["m1", "m2"])
async def test_a_message_node_costs_a_hedge_and_not_every_call(
    cluster: Cluster, api: Api, name: str
) -> None:
    """Pushes to keys of both comets and reads of web go on, each once, in order."""
    keys = [key_of(owner, ["m1", "m2"].index(name)) for owner in ("c1", "c2")]
    ids: dict[str, list[int]] = {key: [stored(await api.push(key, -1))] for key in keys}

    async with frozen(cluster, name):
        for number in range(PUSHES):
            for key in keys:
                ids[key].append(stored(await api.push(key, number)))
        read = {key: (await api.messages(key)).json()["messages"] for key in keys}

    for key in keys:
        assert [message["msg"] for message in read[key]] == [-1, *range(PUSHES)]
        assert [message["id"] for message in read[key]] == ids[key]
        assert ids[key] == sorted(ids[key])


async def test_without_any_message_node_the_answer_is_clear_and_in_time(
    cluster: Cluster, api: Api
) -> None:
    """What has a ttl may have been kept, as far as anybody knows; what has none goes on; reads end too."""
    key = key_of("c1", 5)
    stored(await api.push(key, 1))
    async with frozen(cluster, "m1", "m2"):
        doubtful = await api.push(key, 2)
        brief = await api.push(key_of("c1", 6), 3, ttl=0)
        read = await api.messages(key)

    assert (doubtful.status_code, doubtful.json()["code"]) == (504, "unknown_outcome")
    assert brief.status_code == 200
    assert (read.status_code, read.json()["code"]) == (504, "unknown_outcome")
    with trio.fail_after(PATIENCE):
        last = stored(await api.push(key, 4))
    found = (await api.messages(key)).json()["messages"]
    assert [m["msg"] for m in found if m["msg"] != 2] == [1, 4]
    assert found[-1]["id"] == last


async def test_what_a_comet_does_not_take_is_saved_and_found(cluster: Cluster, api: Api) -> None:
    """Its client gets it when the comet goes on, once; keys of the other comet notice nothing."""
    theirs, ours = key_of("c1", 7), key_of("c2", 7)
    before = await api.metric("web_push_fallbacks_total")
    with trio.fail_after(PATIENCE):
        async with api.listen(theirs) as messages:
            first = stored(await api.push(theirs, 1))
            assert (await anext(messages)).mid == first
            async with frozen(cluster, "c1"):
                stored(await api.push(ours, 0))
                presence = (await api.presence(theirs, ours)).json()["results"]
                answers = [await api.push(theirs, number) for number in (2, 3)]
            ids = [stored(answer) for answer in answers]
            last = stored(await api.push(theirs, 4))
            received = [await anext(messages) for _ in range(3)]

    assert [(m.mid, m.msg) for m in received] == [*zip([*ids, last], [2, 3, 4], strict=True)]
    assert await api.metric("web_push_fallbacks_total") == before + 2
    assert [result["key"] for result in presence] == [theirs, ours]
    assert "error" in presence[0]
    assert presence[1]["online"] == 0


async def test_comet_and_message_node_at_once(cluster: Cluster, api: Api) -> None:
    """The fallback is hedged as any other save."""
    key = key_of("c2", 9)
    for name in ("m1", "m2"):
        async with frozen(cluster, "c2", name):
            stored(await api.push(key, 1))

    found = (await api.messages(key)).json()["messages"]
    assert [message["msg"] for message in found] == [1, 1]
