"""What a client of light-push says of itself, and asks: `info`, `apns`, `discover`.

    info, {}                              {"status":200,"msg":"ok","userid":"u001","mobile":"1",...}   read: texts
    info, {"device_token":"T"}            {"status":200,"msg":"ok"}                                    written
    apns, {}                              ["r1","r2"]                          rooms that Apple is not told of
    apns, {"add":["r3"],"remove":["r1"]}  {"status":200,"msg":"ok"}            remove wins
    discover, {"radius":10,"count":100}   {"list":[...],"status":200,"msg":"ok"}    km; one of each user, nearest first

Differences: `info` answers a read with what is documented (D2); a client names nobody but itself (W2: the
original lets `clientId` be anybody of any tenant); who is near is told without tokens and phone numbers.
Source: spec/liutian-push.md 4.3, 4.4 and 4.7.
"""

from collections.abc import Awaitable, Mapping, Sequence
from typing import Any

from appmodel.core.lightpush import Platform, Refusal, is_room
from appmodel.core.lightpush_fields import client_change, client_texts
from appmodel.core.lightpush_records import MuteEdit, Neighbour
from appmodel.core.lightpush_stores import MAX_MUTES, MAX_NEIGHBOURS
from appmodel.errors import PushError
from comet.core.lightpush_ports import Guest, Ports
from comet.core.lightpush_rooms import FORBIDDEN, OK
from comet.core.rules import Answer, Client, Effects, Event

SHOWN = (
    "userid",
    "last_connect_time",
    "last_disconnect_time",
    "update_date",
    "mobile",
    "system",
    "device_token",
    "no_send_apns",
    "leaveMessage",
)
RADIUS, COUNT = 10.0, 100  # km and users, if a client does not say
MAX_RADIUS = 20_100.0  # km: half of the way around

NOWHERE = {"status": 500, "msg": "this client has not said where it is"}


class Profile:
    """Answers these events. Anybody else's record is out of reach."""

    def __init__(self, ports: Ports) -> None:
        self._clients, self._roll, self._now = ports.clients, ports.roll, ports.now

    def event(self, client: Client, event: Event) -> Effects | Awaitable[Effects]:
        """One of the three; without an object it asks for nothing in particular."""
        guest: Guest = client.state
        fields = event.arguments[0] if event.arguments else {}
        fields = fields if isinstance(fields, dict) else {}
        if fields.get("clientId", guest.arrival.client) != guest.arrival.client:
            return [Answer((FORBIDDEN,))]
        if event.name == "info":
            return _answered(self._info(guest, fields))
        if event.name == "discover":
            return _answered(self._discover(guest, fields)) if event.wants_answer else ()
        if guest.platform is not Platform.IOS:
            return [Answer((FORBIDDEN,))]
        return _answered(self._apns(guest, fields))

    async def _info(self, guest: Guest, fields: Mapping[str, Any]) -> Any:
        change = client_change(fields)
        arrival = guest.arrival
        await self._roll.settled(arrival)
        if change is None:
            record = await self._clients.find(arrival.namespace, arrival.client)
            texts = client_texts(record) if record is not None else {}
            return {**OK, **{name: texts[name] for name in SHOWN if name in texts}}
        now = round(self._now() * 1000)
        if not await self._clients.change(arrival.namespace, arrival.client, change, now=now):
            raise Refusal("this client is not known any more")
        return OK

    async def _apns(self, guest: Guest, fields: Mapping[str, Any]) -> Any:
        namespace, client = guest.arrival.namespace, guest.arrival.client
        add, remove = fields.get("add"), fields.get("remove")
        if not isinstance(add, list) and not isinstance(remove, list):
            return list(await self._clients.mutes(namespace, client))
        edit = MuteEdit(add=_rooms("add", add), remove=_rooms("remove", remove))
        await self._clients.edit_mutes(namespace, client, edit)
        return OK

    async def _discover(self, guest: Guest, fields: Mapping[str, Any]) -> Any:
        radius = _number(fields.get("radius"), RADIUS, MAX_RADIUS)
        count = round(_number(fields.get("count"), COUNT, MAX_NEIGHBOURS))
        arrival = guest.arrival
        await self._roll.settled(arrival)
        found = await self._clients.near(
            arrival.namespace, arrival.client, radius=radius, count=max(count, 1)
        )
        return NOWHERE if found is None else {"list": [_shown(one) for one in found], **OK}


async def _answered(work: Awaitable[Any]) -> Effects:
    """What came of it; an error is an answer too."""
    try:
        return [Answer((await work,))]
    except Refusal as refusal:
        return [Answer(({"status": 400, "msg": str(refusal)},))]
    except PushError as error:
        return [Answer(({"status": 500, "msg": str(error)},))]


def _rooms(field: str, value: Any) -> Sequence[str]:
    """The names of an edit; "" is passed over: the original's lists begin with it once they were emptied."""
    names = [name for name in value if name != ""] if isinstance(value, list) else []
    if len(names) > MAX_MUTES or not all(map(is_room, names)):
        raise Refusal(f"{field} invalid")
    return names


def _number(value: Any, default: float, most: float) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return min(value, most) if is_number and value > 0 else default


def _shown(neighbour: Neighbour) -> dict[str, str]:
    return {
        "id": neighbour.id,
        "userid": neighbour.userid,
        "userId": neighbour.userid,
        "platform": neighbour.platform.value,
        "distance": f"{neighbour.distance:.4f}",
        "longitude": str(neighbour.longitude),
        "latitude": str(neighbour.latitude),
    }
