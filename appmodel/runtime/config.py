"""The settings that every node shares, and what all sections are made of.

    [node]      who this process is, and how long it may take to stop
    [log]       what is written about its life
    [auth]      whether callers and clients must prove who they are
    [registry]  who the other nodes are
    [rpc]       how nodes talk to one another
    [database]  where people, groups and applications are kept
    [tokens]    how long users stay logged in
    [lightpush] where light-push keeps what it knows, and what may be pushed
    [mpush]     devices of Mpush: who there is, and how much is kept for them

Each part adds its own root section ([comet] [message] [web]) in its own config.py. A section is a
frozen msgspec Struct; the comment at a field is its line in docs/configuration.md. How values are
found and checked is in settings.py.
"""

import ipaddress
import itertools
import os
import secrets
import ssl
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

import msgspec

from appmodel.core import mpush
from appmodel.core.cluster import Node, RingKind, Role
from appmodel.core.outward import Outward, parse_url
from appmodel.core.units import Duration, Size
from appmodel.core.znodes import MAX_WEIGHT
from appmodel.errors import BadInput, ConfigError
from appmodel.io.engines import DatabaseLimits
from appmodel.io.listener import tls_context

Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]
"""A TCP port; 0 lets the system choose a free one."""

Count = Annotated[int, msgspec.Meta(ge=1)]
Share = Annotated[int, msgspec.Meta(ge=0)]
Weight = Annotated[int, msgspec.Meta(ge=0, le=MAX_WEIGHT)]
"""A comet's share of the keys, beside the others'; 0 = none."""

NodeName = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
HostPort = Annotated[
    str, msgspec.Meta(pattern=r"^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):[0-9]{1,5}$")
]
Root = Annotated[str, msgspec.Meta(pattern=r"^(/[A-Za-z0-9_-]+)+$")]  # a path in ZooKeeper


class Secret(str):
    """A text that is never shown: not in logs, not in errors, not by `appmsg config show`."""

    MIN_SIZE: ClassVar[int] = 32  # bytes: RFC 7518 section 3.2, for HMAC-SHA256
    EXPECTED: ClassVar[str] = "a secret text of at least 32 bytes, or empty"

    __slots__ = ()

    def __repr__(self) -> str:
        return "'********'" if self else "''"

    @classmethod
    def parse(cls, value: object) -> Self:
        """From a text. Raises ValueError with what is expected, and never with the value."""
        if isinstance(value, str) and (not value or len(value.encode()) >= cls.MIN_SIZE):
            return cls(value)
        raise ValueError(f"expected {cls.EXPECTED}")


class Password(Secret):
    """A secret that another system chose: of any length."""

    MIN_SIZE: ClassVar[int] = 0
    EXPECTED: ClassVar[str] = "a secret text, or empty"

    __slots__ = ()


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of every section and subsection: `class TcpConfig(Section, frozen=True)`."""


class TlsConfig(Section, frozen=True):
    """A listener's certificate; both empty: no TLS."""

    certificate: str = ""  # path of a PEM file with the chain
    key: str = ""  # path of its private key


class NodeConfig(Section, frozen=True):
    """[node]. This process."""

    name: NodeName = "node1"  # unique in the cluster; the ring places a comet by its name
    home: bool = True  # trying it out on one machine: print a tour at start, make missing secrets
    start_timeout: Duration = Duration(30)  # a part that is not ready by then ends the process
    drain_timeout: Duration = Duration(
        8
    )  # after SIGTERM each part may take this long to finish what it has
    open_files: Share = 0  # warn if the hard limit of descriptors, which is always used, is lower


class LogConfig(Section, frozen=True):
    """[log]. One line per event, on stderr; never one per message."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "console"] = "auto"  # auto: console on a terminal, else json
    backlog: Size = Size(1024**2)  # that may wait for whoever reads; more is dropped and counted


class AuthConfig(Section, frozen=True):
    """[auth]. With mode "off" every listener must be on loopback."""

    mode: Literal["off", "on"] = "off"
    secret: Secret = Secret()  # signs tickets and access tokens; the same on all nodes
    secret_file: Path = Path("var/secret")  # read if `secret` is empty; made at home if missing
    ticket_ttl: Duration = Duration(3600)  # life of a ticket, unless asked otherwise
    max_ticket_ttl: Duration = Duration(30 * 86400)  # the longest that can be asked for


class StaticNode(Section, frozen=True):
    """[[registry.nodes]]. A node that runs in another process."""

    role: Role
    name: NodeName
    weight: Weight = 1  # share of the keys, of a comet on ring "sha"
    rpc: str = ""  # host:port where nodes call it
    ws: tuple[str, ...] = ()  # host:port where WebSocket clients find it
    tcp: tuple[str, ...] = ()  # host:port where TCP clients find it

    def node(self) -> Node:
        """As the registry announces it."""
        return Node(
            self.role, self.name, weight=self.weight, rpc=self.rpc, ws=self.ws, tcp=self.tcp
        )


class ZooKeeperConfig(Section, frozen=True):
    """[registry.zookeeper]. For kind "zookeeper": the same on all nodes."""

    hosts: tuple[HostPort, ...] = ("127.0.0.1:2181",)  # host:port of each server of the ensemble
    session_timeout: Duration = Duration(30)  # a silent node leaves the ring; zookeeper.timeout
    connect_timeout: Duration = Duration(2)  # of one server
    call_timeout: Duration = Duration(5)  # of one question
    refresh: Duration = Duration(30)  # all is read again after this time, changed or not
    comet_root: Root = "/gopush-cluster-comet"  # zookeeper.comet.path
    message_root: Root = "/gopush-cluster-message"  # zookeeper.message.path
    web_root: Root = "/gopush-cluster-web"  # ours: the original's web nodes do not register
    credentials: Password = Password()  # "user:password"; empty = anybody may come
    sasl: bool = False  # prove them by SASL DIGEST-MD5; false: by ZooKeeper's scheme "digest"
    acl: Literal["open", "creator"] = "open"  # creator: only these credentials may read and write

    def __post_init__(self) -> None:
        user, _, password = self.credentials.partition(":")
        if self.credentials and not (user and password):
            raise ValueError('credentials: expected "user:password"')
        if not self.credentials and (self.sasl or self.acl == "creator"):
            raise ValueError('credentials: missing, with sasl or with acl "creator"')
        if not self.hosts or any(int(host.rpartition(":")[2]) > 65535 for host in self.hosts):
            raise ValueError("hosts: expected at least one host:port, the port at most 65535")
        times = (self.session_timeout, self.connect_timeout, self.call_timeout, self.refresh)
        if not all(times):
            raise ValueError(
                "session_timeout, connect_timeout, call_timeout, refresh: expected > 0"
            )
        roots = (self.comet_root, self.message_root, self.web_root)
        if any(f"{a}/".startswith(f"{b}/") for a, b in itertools.permutations(roots, 2)):
            raise ValueError(f"expected three roots that do not lie in one another, got {roots}")


class RegistryConfig(Section, frozen=True):
    """[registry]. Where nodes find each other."""

    kind: Literal["embedded", "zookeeper"] = (
        "embedded"  # embedded: this process, and the nodes listed here
    )
    ring: RingKind = RingKind.SHA  # sha: gopush-cluster's; murmur: appmsgsrv's
    nodes: tuple[StaticNode, ...] = ()
    zookeeper: ZooKeeperConfig = ZooKeeperConfig()


class RpcConfig(Section, frozen=True):
    """[rpc]. Calls between nodes. Without a secret their listeners must be on loopback."""

    secret: Secret = Secret()  # of the cluster: proved by challenge, never sent
    secret_file: Path | None = None  # read if `secret` is empty
    max_frame: Size = Size(16 * 1024**2)  # of one call or answer
    max_calls: Count = 1024  # of one connection at once
    max_waiting: Size = Size(64 * 1024**2)  # of one connection: bytes to be sent or answered
    max_connections: Count = 1024  # of one listener
    handshakes_per_address: Count = 64  # at once: peers that have not proved themselves yet
    connect_timeout: Duration = Duration(2)  # from dialling to the end of the handshake
    write_timeout: Duration = Duration(30)  # a peer that does not take what is written is cut
    ping_interval: Duration = Duration(5)  # a peer that is silent for twice as long is cut
    call_timeout: Duration = Duration(5)  # of a call that has no deadline of its own
    hedge: Duration = Duration(0.3)  # a message node that is silent for so long: another is asked
    max_call_time: Duration = Duration(60)  # of a call, whatever its caller asks for
    retry_pause: Duration = Duration(0.1)  # before the first redial, at most; doubles
    max_retry_pause: Duration = Duration(5)  # up to here


class DatabaseConfig(Section, frozen=True):
    """[database]. People, groups, organisations, applications: the same on all comet and web nodes."""

    url: Password = Password(
        "sqlite:///var/app.db"
    )  # sqlite:///path, postgresql://user:password@host:port/database, or mariadb://...
    threads: Annotated[int, msgspec.Meta(ge=1, le=64)] = 2  # and connections; more are slower
    timeout: Duration = Duration(5)  # to wait for a thread, and for one statement
    connect_timeout: Duration = Duration(2)
    staleness: Duration = Duration(1)  # nothing that a cache answers is older than this
    migrate: bool = True  # a SQLite file is brought up to date at start; others by `appmsg migrate`
    check_interval: Duration = Duration(10)  # for /readyz: does it answer, is it up to date

    @property
    def limits(self) -> DatabaseLimits:
        """What the engine wants to know."""
        return DatabaseLimits(
            url=str(self.url),
            threads=self.threads,
            timeout=self.timeout,
            connect_timeout=self.connect_timeout,
        )


class TokensConfig(Section, frozen=True):
    """[tokens]. Logins of users: the same on all comet and web nodes."""

    ttl: Duration = Duration(3600)  # after the last use; token.expire
    max_life: Duration = Duration(90 * 86400)  # then a user logs in anew, whatever the use
    max_age: Duration = Duration(
        86400
    )  # while the database is away: who logged in within this time is still let in by comets
    per_user: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 50  # logins; the oldest go
    cached: Count = 10_000  # logins that a node remembers, each for database.staleness
    store: Literal["sql", "redis"] = "sql"  # of logins; users are in the database in any case
    redis: Password = Password(
        "redis://127.0.0.1:6379/0"
    )  # for store "redis": redis://, rediss:// or unix://

    def __post_init__(self) -> None:
        if not 0 < self.ttl <= self.max_life or not 0 < self.max_age <= self.max_life:
            raise ValueError("ttl, max_age: expected above 0 and at most max_life")


class LightPushConfig(Section, frozen=True):
    """[lightpush]. Pushes of light-push: the same on all comet and web nodes."""

    store: Literal["sql", "redis"] = (
        "sql"  # of who is present and what was pushed; namespaces and clients are in the database
    )
    redis: Password = Password(
        "redis://127.0.0.1:6379/0"
    )  # for store "redis"; appendonly yes and maxmemory-policy noeviction: ids of pushes only grow
    prefix: NodeName = "appmsg"  # of all keys in Redis: installations may share one
    expire: Duration = Duration(3600)  # life of a push, unless asked otherwise; push_message_expire
    max_expire: Duration = Duration(36000)  # push_message_max_expire
    offline_after: Duration = Duration(5)  # then absent clients count; worker_message_timeout
    history: Count = 1000  # newest pushes of a namespace that can be listed
    inbox: Count = 100  # newest pushes that wait for an Android client
    apns_payload: Size = Size(4000)  # bytes of pushData.apsData as JSON; apns_payload_size

    def __post_init__(self) -> None:
        if not 1 <= self.expire <= self.max_expire:
            raise ValueError("expire: expected at least 1 s and at most max_expire")


class MpushWebPushConfig(Section, frozen=True):
    """[mpush.webpush]. Copies to browsers. The key pair is made once, and kept in the database."""

    enabled: bool = True
    contact: Annotated[str, msgspec.Meta(pattern=r"^(mailto:[^\s@]+@[^\s@]+|https://\S+)$")] = (
        "mailto:nobody@example.com"  # whom push services ask when we are a nuisance: put in your own
    )
    allowed: tuple[
        str, ...
    ] = ()  # push services that need not be public; as web.notifications.outbound.allowed

    def __post_init__(self) -> None:
        Outward(self.allowed)


class MpushFcmConfig(Section, frozen=True):
    """[mpush.fcm]. Copies by Firebase Cloud Messaging, HTTP v1."""

    project_id: str = ""  # of the Firebase project; empty: no FCM
    application_id: str = ""  # told to devices, as the next one
    api_key: str = ""  # of the client's side: every device hears it
    credential_file: str = ""  # JSON of the service account that sends; web nodes read it


class MpushTriesConfig(Section, frozen=True):
    """[mpush.tries]. Wrong tokens, counted by each process: who guesses is slowed down."""

    limit: Share = 30  # of one address in `window`, then at that pace; 0 = any number
    window: Duration = Duration(60)
    remembered: Count = 100_000  # addresses, and tokens that were right and need not wait

    def __post_init__(self) -> None:
        if not self.window:
            raise ValueError("window: expected more than 0 s")


class MpushHookConfig(Section, frozen=True, kw_only=True):
    """[[mpush.hooks]]. A device that is a URL of yours: what is pushed to it is sent there, and its 2xx is an acknowledgement.

    Web nodes call it, within `[web.mpush.receivers]`: addresses that are not public, and plain http, have to be allowed there.
    """

    name: str  # of the device
    url: Password  # http or https; shown to nobody, as many of them are secrets
    group: str = ""  # that it is in; empty: none
    method: Literal["GET", "POST"] = "POST"  # POST: the MESSAGE object as JSON; GET: a query
    authorization: Password = Password()  # what its header Authorization says; empty: there is none

    def __post_init__(self) -> None:
        try:
            mpush.check_name(self.name)
            if self.group:
                mpush.check_name(self.group, field="group")
            parse_url(self.url)
        except BadInput as error:
            raise ValueError(str(error)) from None
        if not (self.authorization.isascii() and self.authorization.isprintable()):
            raise ValueError("authorization: expected printable ASCII")


class MpushConfig(Section, frozen=True):
    """[mpush]. Devices of Mpush: the same on all comet and web nodes."""

    token: Password = Password(
        "mpush"
    )  # lets any device log in: TOKEN; this well-known one on loopback only
    registers: tuple[str, ...] = ()  # devices that exist before their first login: REGISTERS
    ttl: Duration = Duration(30 * 86400)  # how long a message waits for its device; there: for ever
    devices: Count = 100_000  # that may be registered; first logins of more are refused
    receivers: Count = 10  # webhooks, Web Push and FCM, of one device
    delayed: Count = 100_000  # pushes that may wait for their time
    delayed_per_target: Count = 1000  # the same for one device or group
    tries: MpushTriesConfig = MpushTriesConfig()
    webpush: MpushWebPushConfig = MpushWebPushConfig()
    fcm: MpushFcmConfig = MpushFcmConfig()
    hooks: tuple[MpushHookConfig, ...] = ()

    def __post_init__(self) -> None:
        try:
            for name in self.registers:
                mpush.check_name(name, field="registers")
        except BadInput as error:
            raise ValueError(str(error)) from None
        if len(set(self.registers)) > self.devices or self.ttl < 1:
            raise ValueError("registers: expected at most `devices`; ttl: expected at least 1 s")
        names = [hook.name for hook in self.hooks]
        if len(set(names)) < len(names):
            raise ValueError(f"hooks: expected a name of its own for each, got {names}")


def require_safe(listener: str, host: str, auth: AuthConfig) -> None:
    """Design law 10: a listener that asks for no credential is on loopback.

    Args:
        listener: its path in the configuration, such as "comet.websocket".

    Raises:
        ConfigError: with the keys to set.
    """
    if auth.mode == "off" and not is_loopback(host):
        expected = (
            "without authentication a listener is on loopback only: "
            'set auth.mode = "on" (and auth.secret), or keep the host "127.0.0.1"'
        )
        raise ConfigError(f"{listener}.host", host, expected)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a listener on `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def load_secret(path: str, secret: Secret, file: Path | None) -> Secret:
    """`secret`, else what `file` holds; empty if there is neither.

    Args:
        path: of the section, for the error: "auth".

    Raises:
        ConfigError: the file cannot be read, or holds something else than a secret.
    """
    if secret or file is None:
        return secret
    try:
        return Secret.parse(file.read_text("utf-8").strip())
    except FileNotFoundError:
        return Secret()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or f"expected a file with {Secret.EXPECTED}"
        raise ConfigError(f"{path}.secret_file", str(file), reason) from None


def make_secret(file: Path) -> Secret:
    """A new random secret, kept in `file` for its owner's eyes only. Never replaces a file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    secret = Secret(secrets.token_urlsafe(48))
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as text:
        text.write(f"{secret}\n")
    return secret


def open_tls(path: str, config: TlsConfig) -> ssl.SSLContext | None:
    """A listener's TLS; None if it has none.

    Args:
        path: of the section, for the error: "comet.tcp.tls".

    Raises:
        ConfigError: one of the two is missing, or they cannot be read or do not fit.
    """
    if bool(config.certificate) != bool(config.key):
        missing = "key" if config.certificate else "certificate"
        raise ConfigError(f"{path}.{missing}", "", "a PEM file: certificate and key go together")
    return tls_context(config.certificate, config.key) if config.certificate else None
