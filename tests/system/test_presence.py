"""Who is there, in the database of real processes: also after SIGKILL, and while the database is away or frozen."""

import json
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import sqlalchemy as sa

from appmodel.io.engines import make_engine
from appmodel.orm.presence import Session, SessionHolder
from tests.comet.world import BEAT, request
from tests.databases import limits, make_tables
from tests.message.stores.databases import DATABASE, own_server
from tests.node import Node, running_node
from tools.servers.databases import DatabaseServer

pytestmark = pytest.mark.slow

QUICK = {"APPMSG_COMET__SESSIONS__GRACE": "0.5s", "APPMSG_COMET__SESSIONS__MAX_PAUSE": "0.5s"}
PATIENCE = 30.0  # seconds for one thing to happen: the machine may be busy


class Client:
    """A session's connection, open until the end of the test."""

    def __init__(self, url: str, session: str, ends: ExitStack) -> None:
        """`url`: tcp://host:port"""
        address = urlsplit(url)
        self._socket = socket.create_connection((address.hostname, address.port), PATIENCE)
        self._socket.sendall(request("sub", f"{session}@user", "3600"))
        self._file = self._socket.makefile("rb")
        ends.callback(self.close)
        assert self._file.readline() == BEAT

    def next(self) -> bytes:
        """The next message."""
        self._file.readline()
        return self._file.readline()

    def close(self) -> None:
        """Leave."""
        self._file.close()
        self._socket.close()


@pytest.fixture
def ends() -> Iterator[ExitStack]:
    """What ends with the test."""
    with ExitStack() as stack:
        yield stack


def sessions(url: str) -> set[str]:
    """Those that are there."""
    engine = make_engine(limits(url))
    with engine.connect() as connection:
        found = set(connection.scalars(sa.select(Session.id)))
        held = set(connection.scalars(sa.select(SessionHolder.session_id)))
    engine.dispose()
    if found != held:  # a batch was committed between the two reads: look again
        return {*found, "torn"}
    return found


def until(find: Callable[[], object], wanted: object) -> None:
    """Wait, in real time, until that is what is found."""
    end = time.monotonic() + PATIENCE
    while (found := find()) != wanted:
        assert time.monotonic() < end, f"found {found}, wanted {wanted}"
        time.sleep(0.05)


def until_there(url: str, *wanted: str) -> None:
    """Wait until these sessions are there, and no other."""
    until(lambda: sessions(url), set(wanted))


def push(node: Node, key: str, body: str) -> None:
    """Without a ttl."""
    address = urlsplit(node.url("web.api"))
    raw = json.dumps({"to": key, "msg": body}).encode()
    with socket.create_connection((address.hostname, address.port), PATIENCE) as caller:
        head = f"POST /v2/push HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(raw)}\r\n"
        caller.sendall(f"{head}Connection: close\r\n\r\n".encode() + raw)
        assert b" 200 " in caller.makefile("rb").readline()


@contextmanager
def on_server(folder: Path, kind: str) -> Iterator[tuple[DatabaseServer, Node, str]]:
    """A node on a database server of its own."""
    with own_server(kind) as server:
        url = server.url(DATABASE)
        make_tables(url)
        settings = QUICK | {
            "APPMSG_DATABASE__URL": url,
            "APPMSG_DATABASE__TIMEOUT": "2s",
            "APPMSG_NODE__DRAIN_TIMEOUT": "3s",
        }
        with running_node(folder, settings) as node:
            yield server, node, url


def test_a_killed_node_leaves_no_session_behind(tmp_path: Path, ends: ExitStack) -> None:
    """After its next start, though nobody comes back; a stop leaves none either."""
    url = f"sqlite:///{tmp_path}/var/app.db"
    with running_node(tmp_path, QUICK) as node:
        for session in ("u1_Android-d1", "u1_iOS-d2"):
            Client(node.url("comet.tcp"), session, ends)
        until_there(url, "u1_Android-d1", "u1_iOS-d2")

        node.kill()
        assert sessions(url) == {"u1_Android-d1", "u1_iOS-d2"}
        node.start()
        until_there(url)

        Client(node.url("comet.tcp"), "u1_Android-d1", ends)
        until_there(url, "u1_Android-d1")
        assert node.stop() == 0
        assert sessions(url) == set()


@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_a_frozen_database_keeps_nobody_out_and_no_node_from_stopping(
    tmp_path: Path, kind: str, ends: ExitStack
) -> None:
    """Clients come, receive and go. When it is back it has who is here then; who has gone is released."""
    with on_server(tmp_path, kind) as (server, node, url):
        first = Client(node.url("comet.tcp"), "u1_Android-d1", ends)
        until_there(url, "u1_Android-d1")

        with frozen(server):
            second = Client(node.url("comet.tcp"), "u2_iOS-d2", ends)
            push(node, "u2@user", "hello")
            assert b"hello" in second.next()
            first.close()
        until_there(url, "u2_iOS-d2")

        with frozen(server):
            Client(node.url("comet.tcp"), "u3_iOS-d3", ends)
            assert node.stop() == 0
        node.start()
        until_there(url)


@contextmanager
def frozen(server: DatabaseServer) -> Iterator[None]:
    """SIGSTOP for the length of the block."""
    server.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        server.signal(signal.SIGCONT)
