"""Installations of light-push as real processes, and a balancer in front of them that knows nothing.

    with one_node(folder) as place: ...        all in one, SQLite
    with three_comets(folder) as place: ...    three comets, two web nodes; PostgreSQL, Redis, ZooKeeper

    async with balanced(place.comets) as port:     each connection goes to the next one, whoever it is from

All but the balancer blocks. What an installation needs and is not installed here skips its tests.
"""

import itertools
import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import trio

from appmodel.core.cluster import Role
from tests.cluster.cluster import Outside, running_cluster, zookeeper_settings
from tests.databases import an_empty_database
from tests.message.stores.redis_opening import or_skip
from tests.node import running_node
from tests.shared_zookeeper import new_roots, shared_server
from tests.web.gateways.authority import Authority
from tools.servers.ports import free_port
from tools.servers.redis import redis_server

AUTHORITY = Authority()  # of Apple
LISTENERS = ("comet.socketio", "web.lightpush")
CHUNK = 64 * 1024  # bytes
INBOX = 5  # pushes that wait for an Android client; 100 unless an operator wants otherwise
LISTED, ACKS = 20, 4  # names in a list of the online report, and of a push's; 1000 there

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
    with an_empty_database("sqlite") as url:
        settings = _settings(folder, apple, url, **books)
        with running_node(folder, settings | {"APPMSG_NODE__DRAIN_TIMEOUT": "1s"}) as node:
            comet, web = (urlsplit(node.url(name)).port or 0 for name in LISTENERS)
            yield Installation([comet], [web], apple)


@contextmanager
def three_comets(folder: Path) -> Iterator[Installation]:
    """A cluster."""
    apple, registry = free_port(), zookeeper_settings(shared_server().hosts)
    for role, root in asdict(new_roots()).items():
        registry += f'{role}_root = "{root}"\n'
    with ExitStack() as stack:
        stack.enter_context(or_skip())
        redis = stack.enter_context(redis_server(folder / "redis")).address
        url = stack.enter_context(an_empty_database("postgresql"))
        outside = Outside(registry, f'store = "redis"\nredis.addresses = ["{redis}"]\n')
        settings = _settings(folder, apple, url, store="redis", redis=f"redis://{redis}/0")
        with pytest.MonkeyPatch.context() as environment:
            for name, value in settings.items():
                environment.setenv(name, value)
            cluster = stack.enter_context(running_cluster(folder, outside, messages=1))
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


def _settings(folder: Path, apple: int, database: str, **books: str) -> dict[str, str]:
    """Environment of all processes. What tests would wait for comes soon; callbacks and Apple are on loopback."""
    ca_file = folder / "apple.pem"
    ca_file.write_text(AUTHORITY.certificate)
    place = f"localhost:{apple}"
    settings: Settings = {
        "database": {"url": database},
        "lightpush": {"offline_after": "600ms", "inbox": INBOX, **books},
        "comet.lightpush.roll": {"gather": "20ms"},
        "comet.lightpush.receipts": {"gather": "20ms"},
        "comet.lightpush.callbacks.outbound": {"allowed": ["http://127.0.0.0/8"]},
        "web.lightpush": {
            "report_online_list_max_limit": LISTED,
            "report_push_ack_detail_max_limit": ACKS,
            "client_legacy_expire": "2s",
        },
        "web.lightpush.offline": {"poll": "100ms", "first_pause": "100ms"},
        "web.notifications.apns": {"production": place, "sandbox": place},
        "web.notifications.outbound": {"allowed": ["localhost"], "ca_file": str(ca_file)},
    }
    return {
        f"APPMSG_{section}.{name}".upper().replace(".", "__"): (
            value if isinstance(value, str) else json.dumps(value)
        )
        for section, values in settings.items()
        for name, value in values.items()
    }
