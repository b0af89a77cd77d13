"""Who runs in the cluster of `make cluster`, and where.

    zookeeper1 to 3   2281 2381 2481             comet1 to 3   7068 7168 7268 WebSocket, 7069 ... TCP
    redis             6479                       web1, web2    8190 8290 public, 8191 ... 8194 ...
    postgres          5532 people; STORE=sql:     nginx         9080 clients, 9081 to 9083 one comet each,
    message1, 2       8170 8270   messages, too                9094 callers

A server listens at its usual port plus 100 times its number, so that none is in the way of `make run`.
All of it is on loopback, keeps its data under var/cluster/ and its secrets in files there that only
their owner can read.
"""

import os
import signal
import subprocess
import sys
import tomllib
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import redis

from appmodel.runtime.config import make_secret
from tools.servers.daemon import Daemon, Missing, accepts, find
from tools.servers.kept import Kept
from tools.servers.nginx import nginx_command
from tools.servers.postgres import Postgres, runs_as
from tools.servers.zookeeper import make_ensemble

ROOT = Path(__file__).parents[1]
FILES = Path("conf/cluster")  # relative, as all paths here: the cluster runs in ROOT
DATA = Path("var/cluster")
APPMSG = Path(sys.executable).with_name("appmsg")
STEP = 100  # between the ports of two servers of a kind
ZOOKEEPERS, ZOOKEEPER, REDIS, POSTGRES = 3, 2181, 6379, 5432
NODES = {"message": 2, "comet": 3, "web": 2}
READY = {"message": "ops", "comet": "stat", "web": "api"}  # the listener with /readyz
ENTRANCE, CALLERS = 9080, 9094  # of nginx; ENTRANCE + n is comet n
MESSAGES, PEOPLE = "appmsg", "people"  # databases, and their owners
PEOPLE_URL = DATA / f"{PEOPLE}.url"  # what operators give commands: APPMSG_DATABASE__URL
# Made once, for their owner's eyes only. The first two are named in conf/cluster/common.toml.
SECRETS = (
    "auth.secret",
    "rpc.secret",
    "redis.password",
    "postgres.password",
    f"{MESSAGES}.password",
    f"{PEOPLE}.password",
)

Settings = tuple[Sequence[str], Mapping[str, str]]
"""Flags and environment of a node, beside those that all of its role have."""


@dataclass(frozen=True)
class Member:
    """One process of the cluster. Making its daemon writes its files; it may raise Missing."""

    name: str
    port: int  # taken by a stranger: it cannot start
    daemon: Callable[[], Daemon]
    stop_signal: int = signal.SIGTERM
    after: Callable[[], None] = lambda: None  # what to do once it serves

    @property
    def kept(self) -> Kept:
        """Its process, if it runs."""
        return Kept(DATA / f"{self.name}.pid", stop_signal=self.stop_signal)


@dataclass(frozen=True)
class Topology:
    """All members, in the order of their start; those of one list start together."""

    servers: list[Member]
    messages: list[Member]
    comets: list[Member]
    webs: list[Member]
    nginx: list[Member]
    needed: frozenset[str] = field(default=frozenset())  # servers that nodes cannot do without

    @property
    def starting(self) -> list[list[Member]]:
        """Whoever is needed comes first."""
        return [self.servers, self.messages, self.comets, self.webs, self.nginx]

    @property
    def stopping(self) -> list[list[Member]]:
        """Callers are finished first, then clients are told; who keeps things ends last."""
        return [self.webs, self.comets, self.nginx, self.messages, self.servers]


def enter() -> None:
    """Go to the checkout, forget settings of the environment, and see that there are secrets."""
    os.chdir(ROOT)
    for name in [name for name in os.environ if name.startswith("APPMSG_")]:
        del os.environ[name]
    for name in SECRETS:
        if not (DATA / name).exists():
            make_secret(DATA / name)
    PEOPLE_URL.touch(mode=0o600)
    PEOPLE_URL.write_text(database_url(PEOPLE))


def topology(store: str) -> Topology:
    """The cluster with its messages in "redis" or "sql"."""
    zookeepers = [
        Member(f"zookeeper{n}", ZOOKEEPER + STEP * n, partial(_zookeeper, n))
        for n in range(1, ZOOKEEPERS + 1)
    ]
    postgres = Member("postgres", POSTGRES + STEP, _postgres, signal.SIGINT, _make_databases)
    needed = [*zookeepers, postgres]
    kept = Member("redis", REDIS + STEP, _redis)
    if store == "redis":
        needed.append(kept)
    return Topology(
        servers=[*zookeepers, kept, postgres],
        messages=_nodes("message", lambda n: _stored(store)),
        comets=_nodes("comet", _advertised),
        webs=_nodes("web", lambda n: ([f"web.files.folder={DATA / 'files'}"], _people())),
        nginx=[Member("nginx", ENTRANCE, _nginx)],
        needed=frozenset(member.name for member in needed),
    )


def secret(name: str) -> str:
    """What var/cluster/NAME holds."""
    return (DATA / name).read_text().strip()


def ports(role: str, number: int) -> dict[str, int]:
    """Where the listeners of a node are, by their names: {"websocket": 7068, ...}."""
    return {
        listener: settings["port"] + STEP * number
        for listener, settings in role_file(role).items()
        if isinstance(settings, dict) and "port" in settings
    }


def role_file(role: str) -> dict[str, Any]:
    """The section of its role in conf/cluster/ROLE.toml."""
    section: dict[str, Any] = tomllib.loads((ROOT / FILES / f"{role}.toml").read_text())[role]
    return section


def configuration(role: str) -> list[str]:
    """The flags that name the files of a role."""
    return [word for name in ("common", role) for word in ("--config", str(FILES / f"{name}.toml"))]


def _nodes(role: str, more: Callable[[int], Settings]) -> list[Member]:
    return [
        Member(f"{role}{n}", next(iter(ports(role, n).values())), partial(_node, role, n, more))
        for n in range(1, NODES[role] + 1)
    ]


def _node(role: str, number: int, more: Callable[[int], Settings]) -> Daemon:
    flags, environment = more(number)
    settings = [f"node.name={role}{number}", *flags]
    settings += [f"{role}.{name}.port={port}" for name, port in ports(role, number).items()]
    command = [str(APPMSG), role, *configuration(role)]
    for setting in settings:
        command += ["--set", setting]
    ready = f"http://127.0.0.1:{ports(role, number)[READY[role]]}/readyz"
    log = DATA / f"{role}{number}.log"
    return Daemon(command, log=log, environment=environment, ready=partial(_is_ready, ready))


def _is_ready(url: str) -> bool:
    with urllib.request.urlopen(url, timeout=2) as answer:  # not ready is an HTTPError: an OSError
        return bool(answer.status == 200)


def database_url(name: str) -> str:
    """Where one of the databases is, with its owner's password."""
    user = f"{name}:{secret(f'{name}.password')}"
    return f"postgresql://{user}@127.0.0.1:{POSTGRES + STEP}/{name}"


def _people() -> Mapping[str, str]:
    return {"APPMSG_DATABASE__URL": database_url(PEOPLE)}


def _advertised(number: int) -> Settings:
    return [f"comet.websocket.advertise=127.0.0.1:{ENTRANCE + number}"], _people()


def _stored(store: str) -> Settings:
    if store == "redis":
        return (), {"APPMSG_MESSAGE__REDIS__PASSWORD": secret("redis.password")}
    return ["message.store=sql"], {"APPMSG_MESSAGE__SQL__URL": database_url(MESSAGES)}


def _zookeeper(number: int) -> Daemon:
    numbers = range(1, ZOOKEEPERS + 1)
    taken = [ZOOKEEPER + STEP * n for n in numbers]
    for n in numbers:
        taken += [2888 + STEP * n, 3888 + STEP * n]  # as everywhere: to follow, and to vote
    return make_ensemble(DATA, taken)[number - 1].daemon


def _redis() -> Daemon:
    folder = DATA / "redis"
    folder.mkdir(parents=True, exist_ok=True)
    port, password = REDIS + STEP, secret("redis.password")
    file = folder / "redis.conf"
    file.touch(mode=0o600)
    file.write_text(
        f"include {ROOT / FILES / 'redis.conf'}\nport {port}\nbind 127.0.0.1\ndir {folder}\n"
        f"requirepass {password}\n"
    )

    def answers() -> bool:
        with redis.Redis(port=port, password=password) as client:
            try:
                return bool(client.ping())
            except redis.RedisError:
                return False

    command = [find("redis-server", "redis-server"), str(file)]
    return Daemon(command, log=DATA / "redis.log", ready=answers)


def _postgres() -> Daemon:
    return _database_server().daemon


def _database_server() -> Postgres:
    folder = (DATA / "postgres").absolute()  # its tools run there
    if user := runs_as("postgres", "postgresql"):
        for parent in folder.parents:
            if parent.exists() and not parent.stat().st_mode & 0o001:
                raise Missing(f"PostgreSQL runs as {user}, who may not enter {parent}")
    folder.mkdir(parents=True, exist_ok=True)
    settings = ["unix_socket_directories="]  # the path of a socket may be too long
    password = secret("postgres.password")
    return Postgres(folder, settings, port=POSTGRES + STEP, password=password)


def _make_databases() -> None:
    server = _database_server()
    for name in (MESSAGES, PEOPLE):
        if not server.execute(f"SELECT 1 FROM pg_roles WHERE rolname = '{name}'"):
            server.execute(f"CREATE ROLE {name} LOGIN")
        server.execute(f"ALTER ROLE {name} PASSWORD '{secret(f'{name}.password')}'")
        if not server.execute(f"SELECT 1 FROM pg_database WHERE datname = '{name}'"):
            server.execute(f"CREATE DATABASE {name} OWNER {name}")
    _migrate()


def _migrate() -> None:
    command = [str(APPMSG), "migrate", *configuration("web")]
    done = subprocess.run(
        command, env=os.environ | _people(), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"appmsg migrate: {done.stderr.strip()}")


def _nginx() -> Daemon:
    command = nginx_command(ROOT / FILES / "nginx.conf", DATA / "nginx")
    return Daemon(command, log=DATA / "nginx.log", ready=lambda: accepts(ENTRANCE))
