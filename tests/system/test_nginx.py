"""Behind nginx as conf/nginx/ sets it up: clients and callers see a cluster, whatever happens to one node.

One message node, one comet (the other two of the example are down) and two web nodes, on free ports.
"""

import json
import os
import signal
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import appmsg_client
import httpx
import pytest
import trio

from tests.comet.world import BEAT, HANDSHAKE, Client, client_frame, text_frame
from tests.node import Node, running_node
from tools.servers.daemon import Daemon, Missing
from tools.servers.nginx import CONF, EXAMPLE, check_configuration, running_nginx
from tools.servers.ports import free_port

# One web node reads the addresses of files that the other has made.
SHARED = {"APPMSG_AUTH__SECRET": "the secret of all web nodes behind this proxy"}
PATIENCE = 40.0  # seconds for one test
TICKET = "a-ticket-that-no-log-may-show"
CERTIFICATE = Path(__file__).parents[1] / "data/localhost.pem"
NODES = """
[[registry.nodes]]
role = "message"
name = "m1"
rpc = "{message}"
"""
COMET = """
[[registry.nodes]]
role = "comet"
name = "c1"
rpc = "{comet}"
ws = ["127.0.0.1:{advertised}"]
"""


@dataclass(frozen=True)
class Site:
    """The nodes, and where nginx finds them."""

    webs: list[Node]
    ports: dict[int, int]  # of the example: where they are now

    @property
    def clients(self) -> str:
        """Where clients ask and connect."""
        return f"http://127.0.0.1:{self.ports[9080]}"

    @property
    def callers(self) -> str:
        """Where business systems call."""
        return f"http://127.0.0.1:{self.ports[9094]}"

    async def push(self, key: str, number: int, **more: object) -> httpx.Response:
        """One push by way of nginx, kept for ten minutes."""
        order = {"to": key, "msg": number, "ttl": 600, **more}
        async with httpx.AsyncClient(trust_env=False, timeout=PATIENCE) as http:
            return await http.post(f"{self.callers}/v2/push", json=order)

    async def stored(self, key: str) -> list[int]:
        """What is kept for `key`, as a client fetches it."""
        query = {"k": key, "m": "0"}
        async with httpx.AsyncClient(trust_env=False, timeout=PATIENCE) as http:
            answer = await http.get(f"{self.clients}/1/msg/get", params=query)
        return [message["msg"] for message in answer.json().get("data", {}).get("msgs", [])]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("behind")
    (folder / "conf").mkdir()
    ports = {old: free_port() for old in (7068, 7168, 7268, 9080, 9081, 9082, 9083, 9094)}
    with ExitStack() as running:
        message = running.enter_context(running_node(folder, part="message"))
        known = NODES.format(message=message.url("message.rpc").removeprefix("rpc://"))
        (folder / "conf/appmsg.toml").write_text(known)
        settings = {
            "APPMSG_NODE__NAME": "c1",
            "APPMSG_COMET__WEBSOCKET__PORT": str(ports[7068]),
            "APPMSG_COMET__WEBSOCKET__ADVERTISE": f"127.0.0.1:{ports[9081]}",
        }
        comet = running.enter_context(running_node(folder, settings, part="comet"))
        rpc = comet.url("comet.rpc").removeprefix("rpc://")
        known += COMET.format(comet=rpc, advertised=ports[9081])
        (folder / "conf/appmsg.toml").write_text(known)
        webs = [
            running.enter_context(
                running_node(folder, SHARED | {"APPMSG_NODE__NAME": name}, part="web")
            )
            for name in ("w1", "w2")
        ]
        for number, web in enumerate(webs, start=1):
            for offset, listener in ((90, "public"), (91, "admin"), (93, "app"), (94, "api")):
                port = urlsplit(web.url(f"web.{listener}")).port
                assert port is not None
                ports[8000 + 100 * number + offset] = port
        yield Site(webs, ports)


@pytest.fixture
def nginx(site: Site, tmp_path: Path) -> Iterator[Daemon]:
    with started(tmp_path, site) as daemon:
        yield daemon


@contextmanager
def started(folder: Path, site: Site, *changes: tuple[str, str]) -> Iterator[Daemon]:
    """nginx before the site, with these texts of the example changed."""
    try:
        server = running_nginx(folder, site.ports, *changes)
        with server as daemon:
            yield daemon
    except Missing as missing:
        pytest.skip(str(missing))


def workers_of(nginx: Daemon) -> set[str]:
    """The processes that serve connections."""
    return set(Path(f"/proc/{nginx.pid}/task/{nginx.pid}/children").read_text().split())


async def reload(nginx: Daemon) -> set[str]:
    """Reload it; the workers of before, which may still serve."""
    old = workers_of(nginx)
    nginx.signal(signal.SIGHUP)
    while not workers_of(nginx) - old:
        await trio.lowlevel.checkpoint()
    return old


async def test_a_client_finds_its_comet_and_listens_through_nginx(
    site: Site, nginx: Daemon
) -> None:
    """Look-up, live path and push: what came before the client, and what comes while it listens."""
    with trio.fail_after(PATIENCE):
        first = (await site.push("u1", 1)).json()["results"][0]
        async with appmsg_client.subscribe("u1", web=site.clients, mid=0) as messages:
            assert (await anext(messages)).mid == first["id"]

            second = (await site.push("u1", 2)).json()["results"][0]

            assert second["online"] == 1
            assert (await anext(messages)).mid == second["id"]


async def test_an_old_client_needs_to_know_nothing(site: Site, nginx: Daemon) -> None:
    """gopush's own conversation, on the address for all comets although two of them are down."""
    with trio.fail_after(PATIENCE):
        for _ in range(4):  # so that each of the three has been tried
            stream = await trio.open_tcp_stream("127.0.0.1", site.ports[9080])
            async with stream:
                client = Client(stream)
                host = f"127.0.0.1:{site.ports[9080]}"
                target = "/sub?key=old&heartbeat=30"
                await client.send(HANDSHAKE.format(target=target, host=host).encode())
                assert (await client.read_until(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
                assert await client.read(6) == text_frame(BEAT)

                await client.send(client_frame(b"h"))

                assert await client.read(6) == text_frame(BEAT)


async def test_a_reload_keeps_every_connection(site: Site, nginx: Daemon) -> None:
    """The workers of before serve their clients on; new clients come to the new ones."""
    events: list[object] = []
    with trio.fail_after(PATIENCE):
        async with appmsg_client.subscribe(
            "stays", web=site.clients, mid=0, on_event=events.append
        ) as messages:
            await site.push("stays", 1)
            assert (await anext(messages)).msg == 1

            await reload(nginx)
            await site.push("stays", 2)

            assert (await anext(messages)).msg == 2
            assert [type(event) for event in events] == [appmsg_client.Connected]


async def test_who_is_cut_after_a_reload_comes_back_and_misses_nothing(
    site: Site, tmp_path: Path
) -> None:
    """After worker_shutdown_timeout the old workers end, and version 2 resumes."""
    events: list[object] = []
    soon = ("worker_shutdown_timeout  10m", "worker_shutdown_timeout  100ms")
    with started(tmp_path, site, soon) as nginx, trio.fail_after(PATIENCE):
        async with appmsg_client.subscribe(
            "returns", web=site.clients, mid=0, on_event=events.append
        ) as messages:
            await site.push("returns", 0)
            assert (await anext(messages)).msg == 0

            old = await reload(nginx)
            number = 0
            while workers_of(nginx) & old:
                number += 1
                assert (await site.push("returns", number)).status_code == 200
            await site.push("returns", number + 1)

            assert [(await anext(messages)).msg for _ in range(number + 1)] == [
                *range(1, number + 2)
            ]
            assert appmsg_client.Disconnected in [type(event) for event in events]


async def test_a_dead_web_node_is_not_noticed(site: Site, nginx: Daemon) -> None:
    """Nothing was sent to it: the other one is asked, pushes included."""
    await trio.to_thread.run_sync(site.webs[0].kill)
    try:
        with trio.fail_after(PATIENCE):
            answers = [await site.push("unnoticed", number) for number in range(6)]

        assert {answer.status_code for answer in answers} == {200}
        assert await site.stored("unnoticed") == [*range(6)]
    finally:
        await trio.to_thread.run_sync(site.webs[0].start)


async def test_a_push_that_may_have_happened_is_not_repeated(site: Site, tmp_path: Path) -> None:
    """A web node that hangs was sent it: the answer says so, and the caller's repetition is safe."""
    hung = site.webs[0]
    impatient = ("proxy_read_timeout 15s", "proxy_read_timeout 1s")
    with started(tmp_path, site, impatient), trio.fail_after(PATIENCE):
        os.kill(hung.pid, signal.SIGSTOP)
        try:
            answers = [
                await site.push("doubt", number, idempotency_key=f"d{number}")
                for number in range(4)
            ]
        finally:
            os.kill(hung.pid, signal.SIGCONT)
        doubtful = [number for number in range(4) if answers[number].status_code == 504]
        assert {answers[number].json()["code"] for number in doubtful} == {"unknown_outcome"}

        for number in doubtful:
            again = await site.push("doubt", number, idempotency_key=f"d{number}")
            assert again.status_code == 200, again.text

        assert sorted(await site.stored("doubt")) == [*range(4)]


async def test_a_stream_is_answered_while_it_is_being_sent(site: Site, nginx: Daemon) -> None:
    """Neither side is held back until the other has ended."""
    head = b"POST /v2/push/stream HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    with trio.fail_after(PATIENCE):
        async with await trio.open_tcp_stream("127.0.0.1", site.ports[9094]) as stream:
            client = Client(stream)
            await client.send(head)
            for number in range(3):
                line = json.dumps({"to": "s", "msg": number, "ttl": 60}).encode() + b"\n"
                await client.send(b"%x\r\n%b\r\n" % (len(line), line))

                answer = await client.read_until(b"]}\n")

                assert b'"stored":true' in answer
            await client.send(b"0\r\n\r\n")
            assert (await client.read_until(b"0\r\n\r\n")).endswith(b"0\r\n\r\n")


@pytest.mark.parametrize("path", ["/metrics", "/readyz", "/healthz", "/stat?type=memory"])
def test_what_operators_ask_is_not_for_the_proxy(site: Site, nginx: Daemon, path: str) -> None:
    """It is asked at each node."""
    for server in (site.clients, site.callers):
        assert httpx.get(server + path, trust_env=False).status_code == 404


@pytest.mark.parametrize("path", ["/v2/push", "/1/admin/push/private?key=k&expire=60"])
def test_clients_cannot_push(site: Site, nginx: Daemon, path: str) -> None:
    """Their server has no such path, whatever credential they hold."""
    assert httpx.post(site.clients + path, json={}, trust_env=False).status_code == 404


async def test_gopush_callers_hear_gopush_words(site: Site, nginx: Daemon) -> None:
    """Through nginx as before; and `ret` when no node is there."""
    url = f"{site.callers}/1/admin/push/private?key=legacy&expire=60"
    with trio.fail_after(PATIENCE):
        async with httpx.AsyncClient(trust_env=False, timeout=PATIENCE) as http:
            pushed = await http.post(url, json={"n": 1})
            for web in site.webs:
                await trio.to_thread.run_sync(web.kill)
            try:
                away = [await http.post(url, json={}), await http.get(site.clients + "/1/time/get")]
            finally:
                for web in site.webs:
                    await trio.to_thread.run_sync(web.start)

    assert pushed.json() == {"ret": 0}
    assert [(answer.status_code, answer.json()) for answer in away] == [(200, {"ret": 65535})] * 2


async def test_people_ask_where_their_devices_connect(site: Site, nginx: Daemon) -> None:
    """The application REST, the card, the part of /v2 that users have; in its own words when no node is there."""
    login = f"{site.clients}/app/client/device/login"
    with trio.fail_after(PATIENCE):
        async with httpx.AsyncClient(trust_env=False, timeout=PATIENCE) as http:
            refused = await http.post(login, json={})
            unknown = await http.get(f"{site.clients}/v2/me")
            card = await http.get(f"{site.clients}/app/user/erweima?id=nobody")
            for web in site.webs:
                await trio.to_thread.run_sync(web.kill)
            try:
                away = await http.post(login, json={})
            finally:
                for web in site.webs:
                    await trio.to_thread.run_sync(web.start)

    assert refused.json()["baseResponse"]["ret"] == 65534
    assert unknown.json()["code"] == "unauthorized"
    assert (card.status_code, card.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert away.json()["baseResponse"]["ret"] == 65535


async def test_files_go_through(site: Site, nginx: Daemon) -> None:
    """Larger than anything else; and one that is refused half-way is in nobody's way."""
    picture = b"\x89PNG\r\n\x1a\n" + b"x" * 3_000_000
    with trio.fail_after(PATIENCE):
        async with httpx.AsyncClient(trust_env=False, timeout=PATIENCE) as http:
            for _ in range(4):
                url = f"{site.clients}/v2/files?name=cat.png"
                kept = await http.post(url, content=picture, headers={"Content-Type": "image/png"})
                nameless = await http.post(f"{site.clients}/v2/files", content=picture)
                assert "url" in kept.json(), kept.text
                read = await http.get(kept.json()["url"])
                asked = await http.get(f"{site.clients}/v2/me")

                assert nameless.status_code == 422
                assert read.content == picture
                assert asked.status_code == 401


async def test_no_log_shows_a_ticket(site: Site, tmp_path: Path) -> None:
    """Not when all is well, and not when the comet is away."""
    query = f"key=k&heartbeat=30&token={TICKET}"
    with started(tmp_path, site) as nginx, trio.fail_after(PATIENCE):
        for port in (9081, 9082, 9080):
            stream = await trio.open_tcp_stream("127.0.0.1", site.ports[port])
            async with stream:
                client = Client(stream)
                await client.send(HANDSHAKE.format(target=f"/sub?{query}", host="h").encode())
                await client.read(12)
        nginx.stop()

    logs = logs_of(tmp_path)
    assert "GET /sub " in logs
    assert TICKET not in logs


def logs_of(folder: Path) -> str:
    return "".join(file.read_text() for file in folder.rglob("*.log"))


async def test_tls_ends_at_the_proxy(site: Site, tmp_path: Path) -> None:
    """With the example's TLS settings in the server of the clients."""
    encrypted = (
        "listen 127.0.0.1:9080 backlog=4096;",
        "listen 127.0.0.1:9080 ssl backlog=4096;\n        include ../nginx/tls.conf;",
    )
    certificate = ("/etc/appmsg/push.example.pem", str(CERTIFICATE))
    key = ("/etc/appmsg/push.example.key", str(CERTIFICATE))
    context = ssl.create_default_context(cafile=CERTIFICATE)
    with started(tmp_path, site, encrypted, certificate, key), trio.fail_after(PATIENCE):
        url = f"wss://localhost:{site.ports[9080]}/sub"
        async with appmsg_client.subscribe("t", server=url, mid=0, tls=context) as messages:
            await site.push("t", 1)
            assert (await anext(messages)).msg == 1


def test_the_files_of_the_cluster_are_right(tmp_path: Path) -> None:
    """As they are, with their own ports."""
    try:
        found = check_configuration(CONF / EXAMPLE, tmp_path)
    except Missing as missing:
        pytest.skip(str(missing))
    assert found == ""
