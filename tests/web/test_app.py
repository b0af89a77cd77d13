"""The node as a whole: what it refuses to start with, and how it stops."""

import ssl
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from appmodel.core.cluster import Node, Role, State
from appmodel.core.message import Delivery, Push
from appmodel.errors import ConfigError, PushError, Unavailable
from appmodel.runtime.config import TlsConfig
from message.config import MessageConfig
from message.stores.memory import MemoryStore
from tests.registry_views import note_states
from tests.web.world import LIMIT, HonestComet, World, open_world, parse_answer, web_config
from web.config import AdminConfig, ApiConfig, LightpushConfig, PublicConfig
from web.services.watching import INTERVAL, StoreWatch


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"public": PublicConfig(port=0, host="0.0.0.0")}, "web.public.host"),
        ({"admin": AdminConfig(port=0, host="::")}, "web.admin.host"),
        ({"api": ApiConfig(port=0, host="192.0.2.1")}, "web.api.host"),
        ({"lightpush": LightpushConfig(port=0, host="::")}, "web.lightpush.admin_password"),
        ({"api": ApiConfig(port=0, tls=TlsConfig(certificate="c.pem"))}, "web.api.tls.key"),
        ({"api": ApiConfig(port=0, tls=TlsConfig(key="k.pem"))}, "web.api.tls.certificate"),
    ],
)
async def test_it_does_not_start_unsafe(changes: dict[str, object], key: str) -> None:
    """Without authentication on loopback only (law 10); half a certificate is none. The key is named."""
    with pytest.RaisesGroup(
        pytest.RaisesExc(ConfigError, match=key.replace(".", r"\.")),
        allow_unwrapped=True,
        flatten_subgroups=True,
    ):
        async with open_world(config=web_config(**changes)):
            pass


async def test_it_is_registered_while_it_serves() -> None:
    """Others see a web node in the view, see that it stops, and that it has gone."""
    seen: list[list[State]] = []
    async with trio.open_nursery() as nursery, open_world() as world:
        registry = world.context.registry
        assert [n.name for n in registry.view.nodes if n.role is Role.WEB] == ["node1"]
        nursery.start_soon(note_states, registry, Role.WEB, seen)

    assert seen[-2:] == [[State.DRAINING], []]


class SlowComet(HonestComet):
    """Answers when it is told to."""

    asked = False
    go = False

    async def push(
        self, pushes: Sequence[Push], *, passed_on: bool = False
    ) -> list[Delivery | PushError]:
        self.asked = True
        while not self.go:
            await trio.lowlevel.checkpoint()
        return await super().push(pushes)


async def test_a_push_under_way_is_answered_before_the_node_stops() -> None:
    """SIGTERM costs no caller its answer: no new connections, the running request finishes."""
    async with open_world() as world, trio.open_nursery() as nursery:
        slow = SlowComet(world.store)
        world.context.peers.provide_pusher(Node(Role.COMET, "c1"), slow)
        answers: list[int] = []

        async def push() -> None:
            answer = await world.admin.ask("POST", "/1/admin/push/private?key=a&expire=60", b"1")
            answers.append(answer.status)

        nursery.start_soon(push)
        with trio.fail_after(LIMIT):
            while not slow.asked:
                await trio.lowlevel.checkpoint()
        world.stop.set()
        with trio.fail_after(LIMIT):
            while await _accepts(world):
                await trio.lowlevel.checkpoint()
        slow.go = True

    assert answers == [200]
    assert await world.kept("a") == [b"1"]


async def _accepts(world: World) -> bool:
    try:
        async with await trio.open_tcp_stream(world.admin.host, world.admin.port):
            return True
    except OSError:
        return False


def troubles(watch: StoreWatch) -> str | None:
    return watch.trouble


async def test_a_store_that_is_away_is_noticed(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    """What /readyz says of it, and that it goes when the store is back."""

    async def away(*_: object) -> list[int]:
        await trio.lowlevel.checkpoint()
        raise Unavailable("no message node answers")

    watch_store = MemoryStore(MessageConfig(store="memory"))
    watch = StoreWatch(lambda: watch_store, timeout=1.0)
    assert troubles(watch) == "the store was not asked yet"

    async with trio.open_nursery() as nursery:
        await nursery.start(watch.run)
        assert troubles(watch) is None

        with monkeypatch.context() as patch:
            patch.setattr(watch_store, "marks", away)
            await trio.sleep(INTERVAL * 1.5)
            assert troubles(watch) == "the store: no message node answers"

        await trio.sleep(INTERVAL * 1.5)
        assert troubles(watch) is None
        nursery.cancel_scope.cancel()


async def test_tls(tmp_path: Path) -> None:
    """A listener with a certificate speaks HTTPS, on both halves of 8094."""
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost"
    command += f" -addext subjectAltName=IP:127.0.0.1 -keyout {key} -out {certificate}"
    subprocess.run(command.split(), check=True, capture_output=True)  # noqa: ASYNC221  a test may wait
    tls = TlsConfig(certificate=str(certificate), key=str(key))
    context = ssl.create_default_context(cafile=str(certificate))

    async with open_world(config=web_config(api=ApiConfig(port=0, tls=tls))) as world:
        for path in ("/healthz", "/v2/openapi.json"):
            raw = b""
            with trio.fail_after(LIMIT):
                stream = await trio.open_ssl_over_tcp_stream(
                    world.api.host, world.api.port, ssl_context=context, https_compatible=True
                )
                async with stream:
                    head = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
                    await stream.send_all(head.encode())
                    raw = b"".join([piece async for piece in stream])
            assert parse_answer(raw).status == 200
