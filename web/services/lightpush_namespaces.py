"""Namespaces: saved, read, listed, and emptied.

    what goes                 clear-realtime-data   clear-legacy-client   clear   flush
    who is connected          all                                         all     all
    clients, memberships                            not seen for long     all     all
    pushes, inboxes, jobs                           inboxes of those      all     all
    counters                                                                      all
    the record                                                                    all

All four want the namespace to be offline, as it is written in the database, not as somebody remembers it. They
go in steps: what is stopped in the middle has been done in part, and may be repeated.

Source: spec/liutian-push.md 5.5. Differences: clients that are connected still, because a namespace that goes
offline dismisses them over some time, are dismissed at once.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from appmodel.core.lightpush import DEFAULTS, Refusal
from appmodel.core.lightpush_records import Departure, Hidden, Namespace, NamespaceQuery
from appmodel.core.lightpush_stores import Attendance, Clients, Namespaces, PushBook
from appmodel.core.realms import RealmOrders
from web.config import LightpushConfig
from web.core.lightpush_namespaces import (
    CheckUrl,
    maintained_key,
    namespace_change,
    namespace_fields,
    namespace_key,
)

STEP = 500  # clients that are looked at together
CLEARED = "clear"  # disconnect_reason of who was connected


class LightpushNamespaces:
    """Records of namespaces, for themselves and for the administrator."""

    def __init__(
        self, namespaces: Namespaces, check_url: CheckUrl, config: LightpushConfig
    ) -> None:
        self._namespaces, self._check_url = namespaces, check_url
        self._is_clear = config.clear_secrets

    async def save(self, fields: Mapping[str, Any], *, now: int) -> None:
        """Make or change a namespace. Raises Refusal, BadInput, LimitReached."""
        key = namespace_key(fields.get("key"))
        change = namespace_change(fields, self._check_url)
        await self._namespaces.save(key, change, now=now)

    async def read(self, key: str) -> dict[str, Any]:
        """One. Raises Refusal: it is gone."""
        found = await self._namespaces.find([key])
        if key not in found:
            raise Refusal("this namespace lose")
        return (await self._shown([found[key]]))[0]

    async def page(
        self, query: NamespaceQuery, *, page: int, size: int
    ) -> tuple[list[dict[str, Any]], int]:
        """Some, by their keys, and how many match in all. `page` begins with 1."""
        some, total = await self._namespaces.page(query, offset=(page - 1) * size, limit=size)
        return await self._shown(some), total

    async def _shown(self, some: Sequence[Namespace]) -> list[dict[str, Any]]:
        keys = [each.key for each in some]
        if not keys:
            return []
        apns = await self._namespaces.apns(keys)
        passwords: Mapping[str, Hidden] = {}
        if self._is_clear:
            passwords = await self._namespaces.passwords(keys)
        return [
            namespace_fields(
                each,
                apns.get(each.key, ()),
                passwords.get(each.key, "") if self._is_clear else None,
            )
            for each in some
        ]


class Maintenance:
    """Empties namespaces that are offline."""

    def __init__(
        self,
        namespaces: Namespaces,
        clients: Clients,
        attendance: Attendance,
        book: PushBook,
        orders: RealmOrders,
        *,
        legacy_after: float,
    ) -> None:
        """`legacy_after`: seconds without a connect, after which a client is forgotten."""
        self._namespaces, self._clients = namespaces, clients
        self._attendance, self._book, self._orders = attendance, book, orders
        self._legacy_after = round(legacy_after * 1000)

    async def clear_realtime(self, key: object, *, now: int) -> None:
        """Nobody is connected any more."""
        await self._empty_of_present(await self._offline(key), now)

    async def clear_legacy(self, key: object, *, now: int) -> list[str]:
        """Forget clients that have not connected for long; their ids."""
        namespace = await self._offline(key)
        before, gone, last = now - self._legacy_after, list[str](), ""
        while some := await self._clients.legacy(namespace, before=before, after=last, limit=STEP):
            last = some[-1]
            forgotten = await self._clients.forget(namespace, some, before=before)
            await self._book.forget_inboxes(namespace, forgotten)
            gone += forgotten
        return gone

    async def clear(self, key: object, *, now: int) -> None:
        """Forget everything but the record and the counters."""
        namespace = await self._offline(key)
        await self._empty(namespace, now, counters=False)

    async def flush(self, key: object, *, now: int) -> None:
        """Forget everything. The record goes last: what stops in the middle can be repeated."""
        namespace = await self._offline(key)
        await self._empty(namespace, now, counters=True)
        await self._namespaces.remove(namespace)

    async def _offline(self, value: object) -> str:
        """The key of a namespace that is offline. Raises Refusal."""
        key = maintained_key(value)
        found = (await self._namespaces.find([key])).get(key)
        if found is None or not found.is_offline:
            raise Refusal("namespace must be set offline on")
        return key

    async def _empty(self, namespace: str, now: int, *, counters: bool) -> None:
        await self._empty_of_present(namespace, now)
        await self._clients.clear(namespace)
        await self._book.clear(namespace, counters=counters)

    async def _empty_of_present(self, namespace: str, now: int) -> None:
        if namespace != DEFAULTS:  # "/" has no clients of ours: it may be another system's realm
            await self._orders.dismiss(namespace, CLEARED)
        last = ""
        while some := await self._attendance.online(namespace, after=last, limit=STEP):
            last = some[-1].client
            departures = [Departure(namespace, p.client, p.at, now, CLEARED) for p in some]
            await self._clients.departed(departures)
        await self._attendance.clear(namespace)
