"""Clients and rooms of a namespace, as its business system reads and changes them.

    one client        read, and change its fields
    a room's          mutes, leaveMessage: of each client that was ever a member
    rooms             members of some join another one, or leave it: on the present layer by an order to all
                      comets, then on the total one here

Comets write behind: a client is in the books a moment after it has connected, and in its rooms. So a change of
a client that is not there yet waits for it; and comets answer an order when the books have what they know.

Source: spec/liutian-push.md 5.4, W4.
"""

from collections.abc import Mapping
from typing import Any

import trio

from appmodel.core.lightpush import Refusal
from appmodel.core.lightpush_fields import client_change, client_texts
from appmodel.core.lightpush_records import Namespace
from appmodel.core.lightpush_stores import Clients
from appmodel.core.realms import Direction, RealmOrders
from web.core.lightpush_clients import leave_message, mute_edit, room_of, transfer_of

LOOKS = 12  # for a client to appear in the books: comets write at least once a second
PAUSE = 0.25  # seconds between two looks
PASSED_OVER = frozenset({"userId", "nspName"})  # fields that may be written without effect


class LightpushClients:
    """Reads and changes of clients."""

    def __init__(self, clients: Clients, orders: RealmOrders) -> None:
        self._clients, self._orders = clients, orders

    async def read(self, namespace: str, client: str) -> dict[str, str]:
        """All that is kept of a client; nothing of one that is not of this namespace."""
        found = await self._clients.find(namespace, client)
        return {} if found is None else client_texts(found)

    async def write(
        self, namespace: str, client: str, fields: Mapping[str, Any], *, now: int
    ) -> bool:
        """Change a client. False: `fields` have nothing that callers write.

        Raises:
            Refusal: a value that is none, or no client of this namespace has that id.
        """
        change = client_change(fields)
        if change is None:
            return not PASSED_OVER.isdisjoint(fields)
        for _ in range(LOOKS if client.startswith(f"{namespace}#") else 0):
            if await self._clients.change(namespace, client, change, now=now):
                return True
            await trio.sleep(PAUSE)
        raise Refusal("this client not exists")

    async def edit_mutes(self, namespace: str, fields: Mapping[str, Any]) -> None:
        """Rooms of which Apple is not told, for each client that was ever in a room."""
        room, edit = room_of(fields), mute_edit(fields)
        await self._clients.edit_room_mutes(namespace, room, edit)

    async def set_leave_message(
        self, namespace: str, fields: Mapping[str, Any], *, now: int
    ) -> None:
        """Whether anything is kept for each client that was ever in a room."""
        room, value = room_of(fields), leave_message(fields)
        await self._clients.set_leave_message(namespace, room, value, now=now)

    async def transfer(
        self, key: str, namespace: Namespace | None, fields: Mapping[str, Any]
    ) -> None:
        """Move members of rooms. Clients of comets that are away are not told.

        Args:
            namespace: what is known of `key`.
        """
        order = transfer_of(key, fields)
        if namespace is None:
            raise Refusal("this namespace lose")
        if namespace.is_offline:
            raise Refusal("this namespace offline")
        is_join = order.direction is Direction.JOIN
        await self._orders.transfer(order)
        await self._clients.transfer(key, order.target, order.sources, is_join=is_join)
