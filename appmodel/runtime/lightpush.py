"""Opens the books of light-push for a comet or a web node, as [lightpush] says: see core/lightpush_stores.py."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

from appmodel.core.lightpush_push import PushLimits
from appmodel.core.lightpush_stores import Attendance, Clients, PushBook, PushBounds
from appmodel.core.sealing import Sealing
from appmodel.io.database import Database
from appmodel.io.lightpush_attendance import SqlAttendance
from appmodel.io.lightpush_attendance_redis import RedisAttendance
from appmodel.io.lightpush_clients import SqlClients
from appmodel.io.lightpush_namespaces import SqlNamespaces
from appmodel.io.lightpush_pushes import SqlPushBook
from appmodel.io.lightpush_pushes_redis import RedisPushBook
from appmodel.io.lightpush_redis import RedisLink
from appmodel.runtime.config import load_secret
from appmodel.runtime.settings import Settings


@dataclass(frozen=True, slots=True)
class Books:
    """All that light-push keeps."""

    namespaces: SqlNamespaces
    clients: Clients
    attendance: Attendance
    pushes: PushBook


@contextmanager
def open_books(settings: Settings, database: Database) -> Iterator[Books]:
    """The books, until the block ends. Connects when they are first used.

    Raises:
        ConfigError: lightpush.redis is no URL of Redis.
    """
    config = settings.lightpush
    bounds = PushBounds(config.history, config.inbox)
    namespaces = SqlNamespaces(database, open_sealing(settings))
    clients = SqlClients(database)
    if config.store == "sql":
        pushes = SqlPushBook(database, bounds)
        yield Books(namespaces, clients, SqlAttendance(database), pushes)
        return
    timeout = settings.database.timeout
    with closing(RedisLink(config.redis, prefix=config.prefix, timeout=timeout)) as link:
        yield Books(namespaces, clients, RedisAttendance(link), RedisPushBook(link, bounds))


def open_sealing(settings: Settings) -> Sealing:
    """Seals with auth.secret, which is the same on all nodes; without one nothing is sealed (loopback only)."""
    auth = settings.auth
    return Sealing(load_secret("auth", auth.secret, auth.secret_file).encode())


def push_limits(settings: Settings) -> PushLimits:
    """What may be pushed."""
    config = settings.lightpush
    return PushLimits(
        expire=config.expire, max_expire=config.max_expire, aps_data=config.apns_payload
    )
