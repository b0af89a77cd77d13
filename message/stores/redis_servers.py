"""Which Redis server to talk to: the one, the master that Sentinel names, or a slot's node in a Cluster.

    single      the address
    sentinel    ask each Sentinel for the master, the first that knows it answers for all
    cluster     CLUSTER SLOTS of any node, then the primary of the key's slot

A connection is redis-py's: TLS, login and parsing are its job; it never retries by itself, because only
redis_link.py knows what may be repeated. Everything here blocks, and is called in a thread.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import redis
from redis.backoff import NoBackoff
from redis.crc import key_slot
from redis.retry import Retry

from message.config import RedisConfig
from message.stores.redis_scripts import Command

Address = tuple[str, int]


class Connection(Protocol):
    """What we use of redis-py's connections, which are not typed. All of it blocks."""

    def connect(self) -> None: ...
    def disconnect(self) -> None: ...
    def can_read(self, timeout: float = 0) -> bool: ...
    def pack_commands(self, commands: Sequence[Command]) -> Sequence[bytes]: ...
    def send_packed_command(self, command: Sequence[bytes]) -> None: ...
    def read_response(self) -> Any: ...


class Servers:
    """Finds servers and connects to them."""

    def __init__(self, config: RedisConfig) -> None:
        self._config = config
        self._addresses = config.hosts
        self._seen: list[Address] = []  # nodes of the Cluster: they may outlive those configured

    def connect(self, name: bytes) -> Connection:
        """A new connection, logged in, to the server that holds `name`.

        Raises:
            redis.RedisError, OSError: none was found, or it refuses us.
        """
        database = 0 if self._config.mode == "cluster" else self._config.database
        return self._open(self._find(name), db=database, **self._login())

    def _find(self, name: bytes) -> Address:
        match self._config.mode:
            case "sentinel":
                return self._ask_sentinels()
            case "cluster":
                return self._ask_cluster(key_slot(name))
        return self._addresses[0]

    def _ask_sentinels(self) -> Address:
        failure: Exception = redis.ConnectionError("no Sentinel is configured")
        for address in self._addresses:
            try:
                found = self._ask(
                    address, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._config.master
                )
            except (redis.RedisError, OSError) as error:
                failure = error
                continue
            if found:
                return found[0].decode(), int(found[1])
            failure = redis.ConnectionError(f"Sentinel knows no master {self._config.master!r}")
        raise failure

    def _ask_cluster(self, slot: int) -> Address:
        failure: Exception = redis.ConnectionError("no node of the Cluster is configured")
        for address in [*self._addresses, *self._seen]:
            try:
                spans = self._ask(address, "CLUSTER", "SLOTS")
            except (redis.RedisError, OSError) as error:
                failure = error
                continue
            # [[first slot, last slot, [host, port, ...] of the primary, of a replica, ...], ...]
            primaries = {
                (first, last): ((at[0] or b"").decode() or address[0], int(at[1]))
                for first, last, at, *_ in spans
            }
            self._seen = sorted(set(primaries.values()))
            for (first, last), primary in primaries.items():
                if first <= slot <= last:
                    return primary
            failure = redis.ConnectionError(f"no node of the Cluster holds slot {slot}")
        raise failure

    def _ask(self, address: Address, *question: str) -> Any:
        """One question to a server that answers for others."""
        config = self._config
        login = self._login()
        if config.mode == "sentinel":
            login = {"password": _plain(config.sentinel_password)}
        connection = self._open(address, **login)
        try:
            connection.send_packed_command(connection.pack_commands([question]))
            return connection.read_response()
        finally:
            connection.disconnect()

    def _open(self, address: Address, **options: Any) -> Connection:
        kind = redis.SSLConnection if self._config.tls else redis.Connection
        host, port = address
        connection: Connection = kind(host=host, port=port, **options, **self._options())
        connection.connect()
        return connection

    def _login(self) -> dict[str, Any]:
        config = self._config
        return {"username": config.username or None, "password": _plain(config.password)}

    def _options(self) -> dict[str, Any]:
        config = self._config
        options: dict[str, Any] = {
            "socket_timeout": float(config.timeout),
            "socket_connect_timeout": float(config.connect_timeout),
            "retry": Retry(NoBackoff(), 0),
            "protocol": 2,
        }
        if config.tls:
            options |= {
                "ssl_ca_certs": config.ca or None,
                "ssl_certfile": config.certificate or None,
                "ssl_keyfile": config.key or None,
            }
        return options


def _plain(password: str) -> str | None:
    return str(password) or None
