"""light-push on a web node, wired: its books, its doorkeeper, orders to comets, and work for the absent.

business systems ─> 10002 ─> LightpushFrame ─> use cases ─> books (SQL, Redis)
                                                         └> Pushing, ClusterOrders ─> comets
the queue in the books ─> open_offline ─> inboxes, Apple
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import trio

from appmodel.core.addresses import Addresses
from appmodel.core.lightpush import note_of
from appmodel.core.lightpush_records import Namespace
from appmodel.core.message import Delivery, Push
from appmodel.core.origins import Origins
from appmodel.core.outward import parse_url
from appmodel.errors import ConfigError, PushError
from appmodel.io.caching import Cache, Changes
from appmodel.io.lightpush_pushing import LightPushing
from appmodel.io.lightpush_sweeping import now_ms, sweep_pushes
from appmodel.io.realm_orders import ClusterOrders
from appmodel.runtime.config import is_loopback
from appmodel.runtime.lightpush import Books, open_books, push_limits
from appmodel.runtime.service import Context
from web.api.lightpush_frame import LightpushFrame
from web.api.lightpush_namespaces import NamespaceRoutes
from web.api.lightpush_pushes import PushRoutes
from web.api.lightpush_rooms import RoomRoutes
from web.config import WELL_KNOWN, LightpushConfig, WebConfig
from web.layer_lightpush_offline import open_offline
from web.services.lightpush_access import LightpushAccess
from web.services.lightpush_clients import LightpushClients
from web.services.lightpush_namespaces import LightpushNamespaces, Maintenance
from web.services.lightpush_reports import OnlineReports, PushReports
from web.services.pushing import Pushing


@asynccontextmanager
async def open_lightpush(
    context: Context, pushing: Pushing, changes: Changes
) -> AsyncIterator[LightpushFrame | None]:
    """All routes; None: this node has none of them. Until the block ends it looks after absent clients and sweeps.

    Raises:
        ConfigError: the administrator's password is the well-known one, away from home; see open_offline.
    """
    config = context.settings.section(WebConfig).lightpush
    if not config.enabled:
        yield None
        return
    require_own_password(config)
    with open_books(context.settings, context.database) as books:
        async with open_offline(context, books), trio.open_nursery() as nursery:
            nursery.start_soon(sweep_pushes, books.pushes)
            yield _frame(context, books, pushing, changes)
            nursery.cancel_scope.cancel()


def require_own_password(config: LightpushConfig) -> None:
    """Design law 10. Raises ConfigError."""
    if config.admin_password == WELL_KNOWN and not is_loopback(config.host):
        expected = (
            "the well-known password is for loopback only: set web.lightpush.admin_password, "
            'keep web.lightpush.host "127.0.0.1", or set web.lightpush.enabled = false'
        )
        raise ConfigError("web.lightpush.admin_password", config.admin_password, expected)


def _frame(context: Context, books: Books, pushing: Pushing, changes: Changes) -> LightpushFrame:
    whole = context.settings.section(WebConfig)
    config = whole.lightpush
    records: Cache[str, Namespace] = Cache(
        context.database, changes, load=books.namespaces.load, subject_of=note_of
    )
    access = LightpushAccess(
        records.get,
        books.namespaces.has_password,
        Addresses(whole.proxies),
        Origins(config.origins, whole.hosts, home=True),
        config,
    )
    orders = ClusterOrders(context.registry, context.peers.host)
    online = OnlineReports(books.attendance, books.clients, config)
    making, reports = _making(context, books, pushing), PushReports(books.pushes, config)
    clients = LightpushClients(books.clients, orders)
    namespaces = LightpushNamespaces(books.namespaces, check_url, config)
    maintenance = Maintenance(
        books.namespaces,
        books.clients,
        books.attendance,
        books.pushes,
        orders,
        legacy_after=config.client_legacy_expire,
    )
    frame = LightpushFrame(access)
    PushRoutes(records.get, making, reports, online).add_to(frame)
    RoomRoutes(records.get, clients).add_to(frame)
    NamespaceRoutes(namespaces, maintenance, online).add_to(frame)
    return frame


def _making(context: Context, books: Books, pushing: Pushing) -> LightPushing:
    making = LightPushing(
        Sender(pushing),
        books.pushes,
        books.attendance,
        limits=push_limits(context.settings),
        offline_after=round(context.settings.lightpush.offline_after * 1000),
        now=now_ms,
    )
    metrics = context.metrics
    metrics.counter("web_lightpush_pushes", "Pushes of light-push.", lambda: making.made)
    metrics.counter("web_lightpush_unsent", "Of them kept and not sent.", lambda: making.unsent)
    return making


class Sender:
    """Pushing, as LightPushing wants it: one key in each push, so one outcome."""

    def __init__(self, pushing: Pushing) -> None:
        self._pushing = pushing

    async def push(self, pushes: Sequence[Push], /) -> list[Delivery | PushError]:
        """See Sender of lightpush_pushing."""
        answers: list[Delivery | PushError] = []
        for outcome in await self._pushing.push(pushes):
            answers += outcome.failed.values()
            answers += [
                Delivery((sent.id,), (sent.online,), sent.stored) for sent in outcome.sent.values()
            ]
        return answers


def check_url(field: str, url: str) -> None:
    """Whether it is one. Where it may lead is for the comets to say, which call it. Raises BadInput."""
    parse_url(url, field)
