"""Clients and rooms over the light-push REST.

    GET  /api/auth/client/%2Fdemo%23u1%23ios-d1     its record; {} of one that is not known here
    POST /api/auth/client                           {"id":"/demo#u1#ios-d1"}  the same
                                                    {"id":...,"device_token":""}  204: changed
    POST /api/auth/transfer                         {"targetRoom":"r1","sourceRooms":["r2"],"type":"join"}
    POST /api/auth/room-apns                        {"room":"r1","add":["r1"]}
    POST /api/auth/room-leave-message               {"room":"r1","leaveMessage":false}

Source: spec/liutian-push.md 5.4 and D4: the documented GET had been lost. Differences: no id of another
namespace is found or written (W4); a write to a client that is not known is refused, where the original
makes a record that nobody ever uses.
"""

from typing import Any

from appmodel.protocol.http import Response
from web.api.lightpush_frame import Call, LightpushFrame
from web.core.lightpush_clients import client_of
from web.services.lightpush_access import FindNamespace
from web.services.lightpush_clients import LightpushClients


class RoomRoutes:
    """See the module."""

    def __init__(self, find: FindNamespace, clients: LightpushClients) -> None:
        self._find, self._clients = find, clients

    def add_to(self, frame: LightpushFrame) -> None:
        """Its routes."""
        frame.namespace("GET", "client/", self._read)
        frame.namespace("POST", "client", self._read_or_write)
        frame.namespace("POST", "transfer", self._transfer)
        frame.namespace("POST", "room-apns", self._mute)
        frame.namespace("POST", "room-leave-message", self._leave_message)

    async def _read(self, call: Call) -> Any:
        return await self._clients.read(call.namespace, client_of(call.parameter))

    async def _read_or_write(self, call: Call) -> Any:
        client = client_of(call.body.get("id"))
        if await self._clients.write(call.namespace, client, call.body, now=call.now):
            return Response(status=204)
        return await self._clients.read(call.namespace, client)

    async def _transfer(self, call: Call) -> Any:
        await self._clients.transfer(call.namespace, await self._find(call.namespace), call.body)

    async def _mute(self, call: Call) -> Any:
        await self._clients.edit_mutes(call.namespace, call.body)

    async def _leave_message(self, call: Call) -> Any:
        await self._clients.set_leave_message(call.namespace, call.body, now=call.now)
