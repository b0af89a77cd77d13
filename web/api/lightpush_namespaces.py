"""Namespaces over the light-push REST: for themselves, and for the administrator.

    POST /api/auth/login                                 {}  both: whether the credential is good
    POST /api/admin/login                                {}
    GET  /api/auth/namespace                             one's own record
    POST /api/auth/namespace/save                        {"offline":"on"}
    GET  /api/admin/namespace/list?key=de&offline=on&page=1&pageSize=20&online=true
    POST /api/admin/namespace/save                       {"key":"/demo","auth_passwd":"s3cret"}
    GET  /api/admin/namespace/clear/demo                 all but the record; %2Fdemo is the same
    GET  /api/admin/namespace/flush/demo                 the record, too
    GET  /api/admin/namespace/del/demo?flushAll=true     as the documentation has it: flush; without flushAll: clear
    POST /api/admin/namespace/clear-realtime-data        {"namespace":"/demo"}
    POST /api/admin/clear-legacy-client                  {"namespace":"/demo"}  the ids that are gone

Source: spec/liutian-push.md 5.5, D5 and D6. `flushAll` without a value counts as true, "false" and "0" do not.
"""

from typing import Any

from web.api.lightpush_frame import Call, LightpushFrame
from web.core.lightpush_namespaces import MAX_PAGE, MAX_PAGE_SIZE, PAGE_SIZE, namespace_query
from web.services.lightpush_namespaces import LightpushNamespaces, Maintenance
from web.services.lightpush_reports import OnlineReports

NO = frozenset({"false", "0"})


class NamespaceRoutes:
    """See the module."""

    def __init__(
        self, namespaces: LightpushNamespaces, maintenance: Maintenance, online: OnlineReports
    ) -> None:
        self._namespaces, self._maintenance, self._online = namespaces, maintenance, online

    def add_to(self, frame: LightpushFrame) -> None:
        """Its routes."""
        frame.namespace("POST", "login", self._log_in)
        frame.admin("POST", "login", self._log_in)
        frame.namespace("GET", "namespace", self._read)
        frame.namespace("POST", "namespace/save", self._save_own)
        frame.admin("GET", "namespace/list", self._list)
        frame.admin("POST", "namespace/save", self._save)
        frame.admin("GET", "namespace/clear/", self._clear)
        frame.admin("GET", "namespace/flush/", self._flush)
        frame.admin("GET", "namespace/del/", self._delete)
        frame.admin("POST", "namespace/clear-realtime-data", self._clear_realtime)
        frame.admin("POST", "clear-legacy-client", self._clear_legacy)

    async def _log_in(self, call: Call) -> Any:
        """The credential was good, or this would not be called."""

    async def _read(self, call: Call) -> Any:
        return await self._namespaces.read(call.namespace)

    async def _save_own(self, call: Call) -> Any:
        await self._namespaces.save({**call.body, "key": call.namespace}, now=call.now)

    async def _save(self, call: Call) -> Any:
        await self._namespaces.save(call.body, now=call.now)

    async def _list(self, call: Call) -> Any:
        page = call.asked.number("page", 1, least=1, most=MAX_PAGE)
        size = call.asked.number("pageSize", PAGE_SIZE, least=1, most=MAX_PAGE_SIZE)
        found, total = await self._namespaces.page(
            namespace_query(call.asked), page=page, size=size
        )
        if call.asked.says("online"):
            online = await self._online.namespaces([each["key"] for each in found])
            found = [each | online[each["key"]] for each in found]
        return {"list": found, "total": total}

    async def _clear(self, call: Call) -> Any:
        await self._maintenance.clear(call.parameter, now=call.now)

    async def _flush(self, call: Call) -> Any:
        await self._maintenance.flush(call.parameter, now=call.now)

    async def _delete(self, call: Call) -> Any:
        wanted = call.asked.first("flushAll")
        if wanted is None or wanted in NO:
            await self._maintenance.clear(call.parameter, now=call.now)
        else:
            await self._maintenance.flush(call.parameter, now=call.now)

    async def _clear_realtime(self, call: Call) -> Any:
        await self._maintenance.clear_realtime(call.body.get("namespace"), now=call.now)

    async def _clear_legacy(self, call: Call) -> Any:
        return await self._maintenance.clear_legacy(call.body.get("namespace"), now=call.now)
