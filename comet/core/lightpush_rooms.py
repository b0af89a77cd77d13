"""Rooms of light-push: what clients join and leave, and what others hear of that.

    joinRoom, ["r1","r2"]    {"status":200,"msg":"ok"}       one name or a list; numbers are names, too
    leaveRoom, "r1"          {"status":500,"msg":"joinOrleaveRoom error: Error: room invalid"}
    peopleJoin               {sid, uuid, userid, room}                      to the others in the room
    peopleLeave              {sid, uuid, userid, room, clientOffline}

Each room is handled by itself: one bad name makes the answer an error, and the good ones are joined. Leaving keeps
the client a member for good, so it hears of offline pushes (W14 is the documented meaning of the total layer).
Others hear of a client only if it wants that (activityBroadcast), in the whole cluster (W13).

Differences: the room of another user is denied (W1); the last room can be left (W16); nobody hears that a client
leaves where it was not; a client has a limit of rooms. Source: spec/liutian-push.md 4.1, 4.2 and 4.6.
"""

from collections.abc import Sequence
from typing import Any

from appmodel.core.lightpush import is_room, is_user_room, user_room
from appmodel.core.names import Key
from appmodel.core.realms import Direction, Transfer, room_key
from comet.core.lightpush_ports import Guest, Ports
from comet.core.rules import Answer, Broadcast, Client, Effect, Effects, Emit, Join, Leave

OK = {"status": 200, "msg": "ok"}
FORBIDDEN = {"status": 403, "msg": "Forbidden"}

INVALID, TOO_MANY = "room invalid", "too many rooms"


def room_of(key: Key) -> str | None:
    """The room that a key of a client stands for; None: it is the client's own."""
    return {"qun": key.id, "user": user_room(key.id)}.get(key.suffix)


class Rooms:
    """Joins and leaves of clients, as they wish and as they are told."""

    def __init__(self, ports: Ports) -> None:
        self._roll, self._limits = ports.roll, ports.limits

    def join(self, client: Client, arguments: Sequence[Any]) -> Effects:
        """The event `joinRoom`; without a room it means nothing."""
        if not arguments:
            return ()
        guest: Guest = client.state
        keys = set(client.keys)
        new: list[str] = []
        result = OK
        for room in map(_name, _listed(arguments[0])):
            if room is None:
                result = _failed(INVALID)
            elif is_user_room(room) and room != user_room(guest.arrival.userid):
                result = FORBIDDEN
            elif (key := room_key(client.namespace, room)) not in keys:
                if len(keys) > self._limits.rooms:  # one of its keys is its own
                    result = _failed(TOO_MANY)
                    break
                keys.add(key)
                new.append(room)
        return [*self.enter(client, new), Answer((result,))]

    def leave(self, client: Client, arguments: Sequence[Any]) -> Effects:
        """The event `leaveRoom`."""
        if not arguments:
            return ()
        keys = set(client.keys)
        effects: list[Effect] = []
        result = OK
        for room in map(_name, _listed(arguments[0])):
            if room is None:
                result = _failed(INVALID)
            elif (key := room_key(client.namespace, room)) in keys:
                keys.discard(key)
                effects += self._exit(client, room)
        return [*effects, Answer((result,))]

    def enter(self, client: Client, rooms: Sequence[str]) -> list[Effect]:
        """Join rooms that it may join, and is not in."""
        guest: Guest = client.state
        effects: list[Effect] = []
        guest.seats += len(rooms)
        for room in rooms:
            self._roll.joined(guest.arrival, room)
            effects.append(Join(room_key(client.namespace, room)))
        if self._is_announced(guest):
            effects += [_people_join(client, room) for room in rooms]
        return effects

    def transferred(self, client: Client, order: Transfer) -> Effects:
        """Somebody has moved it into the target, or out of it; its membership does change."""
        if order.direction is Direction.JOIN:
            effects = self.enter(client, [order.target])
        else:
            effects = self._exit(client, order.target)
        told = {
            "namespace": order.realm,
            "targetRoom": order.target,
            "sourceRooms": list(order.sources),
            "type": order.direction.value,
        }
        return [*effects, Emit(f"{order.direction}Room", (told,))]

    def gone(self, client: Client) -> Effects:
        """What the others hear when it is not connected any more."""
        guest: Guest = client.state
        if not self._is_announced(guest):
            return ()
        rooms = [room for key in client.keys if (room := room_of(key)) is not None]
        return [_people_leave(client, room, is_offline=True) for room in rooms]

    def _exit(self, client: Client, room: str) -> list[Effect]:
        guest: Guest = client.state
        guest.seats -= 1
        self._roll.left(guest.arrival, room)
        leave = Leave(room_key(client.namespace, room))
        if not self._is_announced(guest):
            return [leave]
        return [leave, _people_leave(client, room, is_offline=False)]

    def _is_announced(self, guest: Guest) -> bool:
        return guest.announces and self._limits.broadcasts


def _people_join(client: Client, room: str) -> Broadcast:
    return Broadcast(room_key(client.namespace, room), "peopleJoin", (_person(client, room),))


def _people_leave(client: Client, room: str, *, is_offline: bool) -> Broadcast:
    person = {**_person(client, room), "clientOffline": is_offline}
    return Broadcast(room_key(client.namespace, room), "peopleLeave", (person,))


def _person(client: Client, room: str) -> dict[str, Any]:
    guest: Guest = client.state
    arrival = guest.arrival
    return {"sid": arrival.client, "uuid": arrival.uuid, "userid": guest.named, "room": room}


def _listed(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else [value]


def _name(value: Any) -> str | None:
    """The room's name; None if it can be none."""
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e18:
        value = str(value)
    return value if is_room(value) else None


def _failed(reason: str) -> dict[str, Any]:
    return {"status": 500, "msg": f"joinOrleaveRoom error: Error: {reason}"}
