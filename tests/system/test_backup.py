"""Backup and restore as docs/operations.md has them: its own commands, on real servers.

While it is written to, a store is copied. It gets one more message, is lost, and restored: then it has what
was there at the copy, and goes on with higher ids.
"""

import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis
import trio

from appmodel.core.message import Save
from appmodel.core.names import Key
from message.app import open_store
from message.config import MessageConfig, RedisConfig, SqliteConfig
from tests.message.stores.databases import DATABASE, own_server, sql_config
from tools.servers.daemon import Daemon, Missing, find
from tools.servers.ports import free_port

PAGE = Path(__file__).parents[2] / "docs/operations.md"
PATIENCE = 60.0  # seconds
KEY = Key("", "u1", "user")


@dataclass(frozen=True)
class Place:
    """A store: how nodes open it, what the commands are told, how it is lost, and how it is started."""

    config: MessageConfig
    environment: dict[str, str]
    folder: Path  # where the commands are run
    lose: Callable[[], object]
    start: Callable[[], object] = lambda: None

    def run(self, what: str, kind: str) -> None:
        """The commands of the page."""
        [commands] = re.findall(
            rf"^```sh {what} {kind}\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL
        )
        done = subprocess.run(
            ["bash", "-e", "-c", commands],
            cwd=self.folder,
            env=os.environ | self.environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


@contextmanager
def sqlite_place(folder: Path) -> Iterator[Place]:
    file = folder / "var/messages.db"

    def lose() -> None:
        for path in file.parent.glob("messages.db*"):
            path.write_bytes(b"a disk that is no more")

    yield Place(MessageConfig(sqlite=SqliteConfig(path=str(file))), {}, folder, lose)


@contextmanager
def redis_place(folder: Path) -> Iterator[Place]:
    port = free_port()
    file = folder / "redis.conf"
    file.write_text(
        f'port {port}\nbind 127.0.0.1\ndir {folder}\nappendonly yes\nappendfsync always\nsave ""\n'
    )

    def answers() -> bool:
        with redis.Redis(port=port) as client:
            try:
                return bool(client.ping())
            except redis.RedisError:
                return False

    command = [find("redis-server", "redis-server"), str(file)]
    server = Daemon(command, log=folder / "redis.log", ready=answers)
    server.start()
    environment = {"HOST": "127.0.0.1", "PORT": str(port), "FOLDER": str(folder)}
    settings = RedisConfig(addresses=(f"127.0.0.1:{port}",))
    config = MessageConfig(store="redis", redis=settings)
    try:
        yield Place(config, environment, folder, server.kill, server.start)
    finally:
        server.stop()


@contextmanager
def database_place(kind: str, folder: Path) -> Iterator[Place]:
    with own_server(kind) as server:
        environment = {
            "DATABASE": server.url(DATABASE),
            "HOST": "127.0.0.1",
            "PORT": str(server.port),
            "USER": "root",
            "MYSQL_PWD": "secret",
            "NAME": DATABASE,
        }

        def lose() -> None:
            server.execute(f"DROP DATABASE {DATABASE}")
            server.execute(f"CREATE DATABASE {DATABASE}")

        yield Place(sql_config(server), environment, folder, lose)


@contextmanager
def place_of(kind: str, folder: Path) -> Iterator[Place]:
    """A store of that kind; skips the test where its server is not installed."""
    try:
        if kind == "sqlite":
            made = sqlite_place(folder)
        elif kind == "redis":
            made = redis_place(folder)
        else:
            made = database_place({"postgres": "postgresql"}.get(kind, kind), folder)
        with made as place:
            yield place
    except Missing as missing:
        pytest.skip(str(missing))


async def save(config: MessageConfig, *, meanwhile: Callable[[], None] | None = None) -> int:
    """The id of one more message; `meanwhile` is done while the store is open."""
    now = time.time()
    push = Save(os.urandom(16), int(now * 1e6), (KEY,), b'"hello"', now + 600)
    with trio.fail_after(PATIENCE):
        async with open_store(config) as store:
            [saved] = await store.save([push])
            if meanwhile is not None:
                await trio.to_thread.run_sync(meanwhile)
    return saved.ids[0]


async def kept(config: MessageConfig) -> list[int]:
    """The ids that a client would fetch."""
    with trio.fail_after(PATIENCE):
        async with open_store(config) as store:
            page = await store.fetch(KEY, 0, limit=10)
    return [message.id for message in page.messages]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", "redis", "postgres", "mariadb"])
async def test_a_lost_store_is_what_it_was_at_the_backup(kind: str, tmp_path: Path) -> None:
    """And no id is given again."""
    with place_of(kind, tmp_path) as place:
        first = await save(place.config, meanwhile=lambda: place.run("backup", kind))
        second = await save(place.config)
        place.lose()

        place.run("restore", kind)
        place.start()

        assert await kept(place.config) == [first]
        third = await save(place.config)
        assert third > second
        assert await kept(place.config) == [first, third]
