"""Installations of light-push as real processes, and a balancer in front of them that knows nothing.

    with one_node(folder) as place: ...        all in one, SQLite
    with three_comets(folder) as place: ...    three comets, two web nodes; PostgreSQL, Redis, ZooKeeper

    async with balanced(place.comets) as port:     each connection goes to the next one, whoever it is from

All but the balancer blocks. What an installation needs and is not installed here skips its tests.
"""

import itertools
import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

import trio

from appmodel.core.cluster import Role
from tests.cluster.cluster import Outside, free_port, running_cluster, zookeeper_settings
from tests.databases import an_empty_database
from tests.message.stores.redis_opening import or_skip
from tests.node import running_node
from tests.shared_zookeeper import new_roots, shared_server
from tests.web.gateways.authority import Authority
from tools.servers.redis import redis_server

AUTHORITY = Authority()  # of Apple
LISTENERS = ("comet.socketio", "web.lightpush")
CHUNK = 64 * 1024  # bytes
INBOX = 5  # pushes that wait for an Android client; 100 unless an operator wants otherwise

Settings = Mapping[str, Mapping[str, object]]
"""Sections of the configuration."""


@dataclass(frozen=True)
class Installation:
    """Where it listens."""

    comets: Sequence[int]  # ports for clients
    webs: Sequence[int]  # ports of the REST
    apple: int  # port at which it looks for Apple; nobody is there unless a test is


@contextmanager
def one_node(folder: Path, **books: str) -> Iterator[Installation]:
    """A node of all parts. `books`: of [lightpush]."""
    apple = free_port()
    settings = {**_settings(folder, apple, **books), "node": {"drain_timeout": "1s"}}
    with an_empty_database("sqlite") as url:
        environment = _environment({**settings, "database": {"url": url}})
        with running_node(folder, environment) as node:
            comet, web = (urlsplit(node.url(name)).port or 0 for name in LISTENERS)
            yield Installation([comet], [web], apple)


@contextmanager
def three_comets(folder: Path) -> Iterator[Installation]:
    """A cluster."""
    apple, zookeeper = free_port(), shared_server()
    with or_skip(), redis_server(folder / "redis") as redis, an_empty_database("postgresql") as url:
        settings = {
            **_settings(folder, apple, store="redis", redis=f"redis://{redis.address}/0"),
            "database": {"url": url},
        }
        registry = zookeeper_settings(zookeeper.hosts)
        for role, root in asdict(new_roots()).items():
            registry += f'{role}_root = "{root}"\n'
        store = f'store = "redis"\nredis.addresses = ["{redis.address}"]\n'
        outside = Outside(registry + _toml(settings), store)
        with running_cluster(folder, outside, messages=1) as cluster:
            comets = [node.ports["socketio"] for node in cluster.of(Role.COMET)]
            webs = [node.ports["lightpush"] for node in cluster.of(Role.WEB)]
            yield Installation(comets, webs, apple)


@asynccontextmanager
async def balanced(ports: Sequence[int]) -> AsyncIterator[int]:
    """A port of loopback: its connections go to `ports` in turn."""
    turns = itertools.cycle(ports)

    async def pass_on(client: trio.SocketStream) -> None:
        server = await trio.open_tcp_stream("127.0.0.1", next(turns))
        async with server, trio.open_nursery() as nursery:
            nursery.start_soon(_copy, client, server, nursery.cancel_scope)
            nursery.start_soon(_copy, server, client, nursery.cancel_scope)

    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, pass_on, [listener])
        yield listener.socket.getsockname()[1]
        nursery.cancel_scope.cancel()


async def _copy(
    source: trio.SocketStream, target: trio.SocketStream, both: trio.CancelScope
) -> None:
    """Until one of them ends; then both do."""
    try:
        while data := await source.receive_some(CHUNK):
            await target.send_all(data)
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        pass
    both.cancel()


def _settings(folder: Path, apple: int, **books: str) -> Settings:
    """What tests would wait for comes soon; callbacks and Apple are on loopback."""
    ca_file = folder / "apple.pem"
    ca_file.write_text(AUTHORITY.certificate)
    place = f"localhost:{apple}"
    return {
        "lightpush": {"offline_after": "600ms", "inbox": INBOX, **books},
        "comet.lightpush.roll": {"gather": "20ms"},
        "comet.lightpush.receipts": {"gather": "20ms"},
        "comet.lightpush.callbacks.outbound": {"allowed": ["http://127.0.0.0/8"]},
        "web.lightpush.offline": {"poll": "100ms", "first_pause": "100ms"},
        "web.notifications.apns": {"production": place, "sandbox": place},
        "web.notifications.outbound": {"allowed": ["localhost"], "ca_file": str(ca_file)},
    }


def _environment(settings: Settings) -> dict[str, str]:
    return {
        f"APPMSG_{section}.{name}".upper().replace(".", "__"): (
            value if isinstance(value, str) else json.dumps(value)
        )
        for section, values in settings.items()
        for name, value in values.items()
    }


def _toml(settings: Settings) -> str:
    """A text, a number or a list looks in TOML as it does in JSON."""
    lines: list[str] = []
    for section, values in settings.items():
        lines.append(f"[{section}]")
        lines += [f"{name} = {json.dumps(value)}" for name, value in values.items()]
    return "\n".join([*lines, ""])
