"""Pushes over the light-push REST, and what is told of them and of who is online.

    POST /api/auth/push                                  {"id":17,"expectAckCount":3}
    GET  /api/auth/report/push?page=1&size=20            the newest first
    GET  /api/auth/report/push/17?ackDetail=true
    GET  /api/auth/report/online?room=r1&detail=true
    GET  /api/admin/report/online?namespace=/demo        without a namespace: the whole platform
    GET  /api/auth/namespace/current-message-stat        this minute, hour and day
    GET  /api/auth/namespace/message-stat?unit=day       as far back as is counted; all units without one
    GET  /api/admin/namespace/message-stat?key=/demo

Source: spec/liutian-push.md 5.3 and 5.4; the two message-stat are ours. `expectAckCount` is what the
documentation of the original promises: the clients that got the push now.
"""

from typing import Any

from appmodel.core.lightpush import is_namespace
from appmodel.core.lightpush_records import Unit
from appmodel.errors import BadInput
from appmodel.io.lightpush_pushing import LightPushing
from web.api.lightpush_frame import Call, LightpushFrame, in_pieces
from web.core.lightpush_namespaces import maintained_key
from web.core.lightpush_wire import Asked
from web.services.lightpush_access import FindNamespace
from web.services.lightpush_reports import OnlineReports, PushReports

SIZE, MAX_SIZE = 20, 500  # pushes of a page
MAX_PAGE = 1000


class PushRoutes:
    """See the module."""

    def __init__(
        self,
        find: FindNamespace,
        pushing: LightPushing,
        pushes: PushReports,
        online: OnlineReports,
    ) -> None:
        self._find, self._pushing = find, pushing
        self._pushes, self._online = pushes, online

    def add_to(self, frame: LightpushFrame) -> None:
        """Its routes."""
        frame.namespace("POST", "push", self._push)
        frame.namespace("GET", "report/push", self._history)
        frame.namespace("GET", "report/push/", self._report)
        frame.namespace("GET", "report/online", self._who_is_online)
        frame.admin("GET", "report/online", self._who_is_online_anywhere)
        frame.namespace("GET", "namespace/current-message-stat", self._current)
        frame.namespace("GET", "namespace/message-stat", self._past)
        frame.admin("GET", "namespace/message-stat", self._past_anywhere)

    async def _push(self, call: Call) -> Any:
        made = await self._pushing.push(call.body, await self._find(call.namespace))
        return {"id": made.id, "expectAckCount": made.expected}

    async def _history(self, call: Call) -> Any:
        page = call.asked.number("page", 1, least=1, most=MAX_PAGE)
        size = call.asked.number("size", SIZE, least=0, most=MAX_SIZE)
        return in_pieces(self._pushes.history(call.namespace, page=page, size=size, now=call.now))

    async def _report(self, call: Call) -> Any:
        with_acks = call.asked.says("ackDetail")
        return await self._pushes.push(
            call.namespace, call.parameter, with_acks=with_acks, now=call.now
        )

    async def _who_is_online(self, call: Call) -> Any:
        return await self._report_online(call.namespace, call.asked)

    async def _who_is_online_anywhere(self, call: Call) -> Any:
        namespace = call.asked.text("namespace")
        if not namespace:
            return await self._online.platform()
        if not is_namespace(namespace):
            raise BadInput("namespace", namespace, "the key of a namespace")
        return await self._report_online(namespace, call.asked)

    async def _report_online(self, namespace: str, asked: Asked) -> Any:
        rooms, with_lists = asked.texts("room"), asked.says("detail")
        if rooms:
            return await self._online.rooms(namespace, rooms, with_lists=with_lists)
        return await self._online.namespace(namespace, with_lists=with_lists)

    async def _current(self, call: Call) -> Any:
        return await self._pushes.current(call.namespace, now=call.now)

    async def _past(self, call: Call) -> Any:
        return await self._pushes.past(call.namespace, _units(call.asked), now=call.now)

    async def _past_anywhere(self, call: Call) -> Any:
        key = maintained_key(call.asked.text("key"))
        return await self._pushes.past(key, _units(call.asked), now=call.now)


def _units(asked: Asked) -> list[Unit]:
    wanted = asked.text("unit")
    if not wanted:
        return list(Unit)
    if wanted not in list(Unit):
        raise BadInput("unit", wanted, " or ".join(Unit))
    return [Unit(wanted)]
