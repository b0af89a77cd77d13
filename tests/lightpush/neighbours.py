"""Two namespaces that have everything in common but their mark: what each does, sees, and must find of itself.

    async with open_pair(place, names) as (one, other):
        await one.do("join", other, who=0, room="r1")       a client's event, or a call of the REST
        await one.agrees()                                  what is told of it is what it did itself
        one.seen                                            every byte that its clients, callers and back end ever got

Users, devices, rooms, texts and positions are the same on both sides. What a side writes where it is free to
write has its mark; what it sees may not have the other's.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any
from urllib.parse import quote

import msgspec
import trio
from cryptography.hazmat.primitives.asymmetric import ec

from comet.core.lightpush_calling import Reply
from tests.comet.back_end import BackEnd, Heard, serving
from tests.lightpush.devices import Carrier, Device
from tests.lightpush.installation import AUTHORITY, Installation
from tests.lightpush.world import OK, Tenant, becomes, open_world
from tests.web.gateways.apple import KEY_ID, TEAM_ID
from tests.web.gateways.authority import pem
from tests.web.gateways.h2_server import Asked, H2Server
from tests.web.gateways.h2_server import Reply as AppleReply
from tests.web.gateways.h2_server import serving as serving_h2
from tests.web.lightpush_door import basic
from tests.web.world import Answer, Door

WAY = {  # to Apple, which gave the same key to both
    "name": "mine",
    "token_key": pem(ec.generate_private_key(ec.SECP256R1())),
    "token_keyId": KEY_ID,
    "token_teamId": TEAM_ID,
}
PAUSE = 0.05  # seconds between two connects of a client that looks for what it missed

# Put behind the key of a namespace, "#b" makes another namespace: there "c" has the same id as "b#c" here.
USERS = [
    ("c", "ios", "d1"), ("b#c", "ios", "d1"), ("c", "android", "d1"), ("b#c", "android", "d1"),
    ("u1", "web", "d1"), ("b#u1", "web", "d1"), ("u1", "android", "d1-x"),
]  # fmt: skip
ANDROID = (2, 3, 6)  # of these
ROOMS = ["r1", "b_c", "c", "b#c", "b-c", "/b/c", "R1"]


@dataclass(frozen=True)
class RecordingDoor(Door):
    """Keeps what comes back."""

    seen: list[bytes] = field(default_factory=list)

    async def ask(self, *arguments: Any, **options: Any) -> Answer:
        answer = await super().ask(*arguments, **options)
        self.seen.extend((answer.body, repr(answer.headers).encode()))
        return answer


@dataclass
class Recorder:
    """Implements Carrier: keeps what is heard."""

    carrier: Carrier
    seen: list[bytes]

    async def say(self, packet: str) -> None:
        await self.carrier.say(packet)

    async def hear(self) -> str:
        packet = await self.carrier.hear()
        self.seen.append(packet.encode())
        return packet

    async def cut(self) -> None:
        await self.carrier.cut()


class Side:
    """One of the two."""

    def __init__(self, tenant: Tenant, mark: str, back_end: BackEnd) -> None:
        self.tenant, self.mark, self.back_end = tenant, mark, back_end
        assert isinstance(tenant.door, RecordingDoor)
        self.seen = tenant.door.seen
        self.token = mark.encode().hex().ljust(64, "0")  # of all of its iPhones, at Apple
        self.clients: dict[int, Device] = {}  # who is in
        self.present: dict[str, set[str]] = {}  # by room
        self.members: dict[str, set[str]] = {}  # by room, for good
        self.known: set[str] = set()  # client ids that ever were in
        self.pushes: dict[int, set[str]] = {}  # id -> who has acknowledged
        self.letters = 0  # that Apple got for its iPhones
        self.alien: list[object] = []  # what it got and had not asked for

    def name(self, who: int) -> str:
        """A client's id."""
        user, platform, uuid = USERS[who]
        return self.tenant.name(user, f"{platform}-{uuid}")

    @property
    def names(self) -> set[str]:
        """All that its clients can have."""
        return {self.name(who) for who in range(len(USERS))}

    async def do(self, action: str, other: "Side", *, who: int, room: str) -> None:
        """One of ACTIONS."""
        await ACTIONS[action](self, other, who, room)

    async def client(self, who: int) -> Device:
        """A client that is in."""
        if who not in self.clients:
            user, platform, uuid = (quote(part, safe="") for part in USERS[who])
            query = f"uuid={uuid}&userid={user}&platform={platform}&mine={self.mark}"
            query += "&activityBroadcast=1" if who % 2 else ""
            device = await self.tenant.device(query, cookie=f"c={self.mark}")
            device.carrier = Recorder(device.carrier, self.seen)
            assert (await device.connects())["clientId"] == self.name(who)
            self.clients[who] = device
            self.known.add(self.name(who))
            for room in (f"user_{USERS[who][0]}", f"room-{self.mark}"):
                self._enter(who, room)
        return self.clients[who]

    async def leave(self, other: "Side", who: int, room: str) -> None:
        """A client goes."""
        device = await self.client(who)
        await self.look(device)
        await device.say(f"1{self.tenant.key},")
        del self.clients[who]
        for present in self.present.values():
            present.discard(self.name(who))

    async def misses(self, who: int, pushes: Sequence[int]) -> None:
        """An Android client comes again and again, until it has read of all of these."""
        missing = set(pushes)
        while missing:
            device = await self.client(who)
            for name, arguments in device.heard:
                if name == "offlineMessage":
                    missing -= {each["id"] for each in arguments}
            if missing:
                await self.leave(self, who, "")
                await trio.sleep(PAUSE)

    async def look(self, device: Device) -> None:
        """What has come: events of its own namespace, of its own clients and pushes."""
        await device.shows_life()
        for name, *arguments in device.heard:
            told = arguments[0]
            for each in told if isinstance(told, list) else [told]:
                if name in {"push", "offlineMessage"}:
                    is_mine = each["namespace"] == self.tenant.key and each["id"] in self.pushes
                elif name in {"peopleJoin", "peopleLeave"}:
                    is_mine = each["sid"] in self.names
                else:
                    is_mine = each.get("namespace") == self.tenant.key
                if not is_mine:
                    self.alien.append((name, each))
        device.heard.clear()

    async def agrees(self) -> None:
        """Wait until what is told of it is what it did, and nothing else."""
        rooms = sorted(self.present.keys() | self.members.keys() | set(ROOMS))
        mine = {name for present in self.present.values() for name in present}
        mine |= {self.name(who) for who in self.clients}
        users = {user for who in self.clients for user in [USERS[who][0]]}
        common = [r for r in rooms if self.present.get(r) and not r.startswith("user_")]
        overview = {
            "roomCount": len(common), "userCount": len(users), "clientCount": len(mine),
            "totalClientCount": len(self.known), "room": sorted(common), "user": sorted(users),
            "client": sorted(mine),
        }  # fmt: skip

        async def told() -> Any:
            whole = await self.tenant.get("report/online", detail=1)
            found = await self.tenant.rooms(*rooms, detail=1)
            each = {
                one["name"]: (one["client"], one["clientCount"], one["totalClientCount"])
                for one in found
            }
            return whole, each

        wanted = {
            room: (sorted(here), len(here), len(self.members.get(room, ())))
            for room in rooms
            for here in [self.present.get(room, set())]
        }
        await becomes(told, (overview, wanted))
        await self._agrees_on_pushes()

    async def _agrees_on_pushes(self) -> None:
        history = await self.tenant.get("report/push", size=500)
        assert [each["id"] for each in history] == [str(number) for number in sorted(self.pushes, reverse=True)]  # fmt: skip
        stat = await self.tenant.get("namespace/message-stat", unit="day")
        assert sum(each["count"] for each in stat["day"]) == len(self.pushes)
        for number, acks in self.pushes.items():
            if acks:
                await self.tenant.until_reported(number, ackCount=str(len(acks)))

    def _enter(self, who: int, room: str) -> None:
        for rooms in (self.present, self.members):
            rooms.setdefault(room, set()).add(self.name(who))

    # Events

    async def join(self, other: "Side", who: int, room: str) -> None:
        """joinRoom"""
        assert await (await self.client(who)).asks("joinRoom", [room]) == OK
        self._enter(who, room)

    async def exit(self, other: "Side", who: int, room: str) -> None:
        """leaveRoom"""
        assert await (await self.client(who)).asks("leaveRoom", room) == OK
        self.present.get(room, set()).discard(self.name(who))

    async def acknowledge(self, other: "Side", who: int, room: str) -> None:
        """ackPush: of what is one's own, and of what is the other's."""
        device = await self.client(who)
        for number in (*list(self.pushes)[-2:], *list(other.pushes)[-2:]):
            await device.emits("ackPush", {"id": number})
            if number in self.pushes:
                self.pushes[number].add(self.name(who))

    async def typing(self, other: "Side", who: int, room: str) -> None:
        """push; into the other's namespace, if that were possible."""
        fields = self._push(other, room) | {"namespace": other.tenant.key}
        answer = await (await self.client(who)).asks("push", fields)
        if answer["status"] == 200:
            self.pushes[answer["id"]] = set()
        else:
            assert answer == {"status": 500, "msg": "limited access in 1s"}

    async def info(self, other: "Side", who: int, room: str) -> None:
        """info: about itself; about the other's, which is its own if it is called the same."""
        device = await self.client(who)
        fields = {"mobile": self.mark, "system": self.mark, "longitude": 8, "latitude": 47}
        fields["device_token"] = self.token
        assert await device.asks("info", fields | {"nspName": other.tenant.key}) == OK
        answer = await device.asks("info", {"clientId": other.name(who), "mobile": self.mark})
        assert answer == {"status": 403, "msg": "Forbidden"}
        assert (await device.asks("info", {}))["mobile"] == self.mark

    async def mute(self, other: "Side", who: int, room: str) -> None:
        """apns"""
        device = await self.client(who % 2)  # an iPhone
        assert await device.asks("apns", {"add": [room, f"mute-{self.mark}"]}) == OK
        assert f"mute-{self.mark}" in await device.asks("apns", {})

    async def discover(self, other: "Side", who: int, room: str) -> None:
        """discover: all of both are at one place."""
        await self.info(other, who, room)
        found = await (await self.client(who)).asks("discover", {"radius": 1000})
        self.alien += [each for each in found["list"] if each["id"] not in self.names]

    # REST

    def _push(self, other: "Side", room: str) -> dict[str, Any]:
        return {
            "room": room, "pushData": {"mark": self.mark, "apsData": {"mark": self.mark}},
            "from": self.mark, "extra": self.mark,
            "except": other.name(0), "leaveMessage": True, "apnsName": "mine",
        }  # fmt: skip

    async def push(self, other: "Side", who: int, room: str) -> None:
        """push, to a room and to a user."""
        for target in (room, f"user_{USERS[who][0]}"):
            await self.push_to(other, target)

    async def push_to(self, other: "Side", room: str) -> int:
        """push, to one room; how many are to acknowledge it."""
        fields = self._push(other, room) | {"namespace": other.tenant.key}
        made = await self.tenant.post("push", **fields)
        self.pushes[made["id"]] = set()
        expected: int = made["expectAckCount"]
        return expected

    async def read(self, other: "Side", who: int, room: str) -> None:
        """Whatever can be read; what is the other's is not there."""
        for number in list(other.pushes)[-3:]:
            assert await self.tenant.report(number, ackDetail=1) == "this id not exists"
        for number in list(self.pushes)[-3:]:
            await self.tenant.report(number, ackDetail=1)
        stat = await self.tenant.get("namespace/current-message-stat")
        assert int(stat["currDateMessageCount"]) == len(self.pushes)
        assert (await self.tenant.get("namespace"))["key"] == self.tenant.key
        path = "client/" + quote(other.name(who), safe="")
        for found in (
            await self.tenant.get(path),
            await self.tenant.post("client", id=other.name(who)),
        ):
            assert found == {} or found["nspName"] == self.tenant.key

    async def write(self, other: "Side", who: int, room: str) -> None:
        """A client's record; not one of the other's."""
        await (await self.client(who)).asks("info", {})
        mine = {"mobile": self.mark, "device_token": self.token}
        answer = await self.tenant.ask("POST", "client", {"id": self.name(who)} | mine)
        assert answer.status == 204
        theirs = other.name(who)
        if not theirs.startswith(f"{self.tenant.key}#"):  # it may come, and is waited for
            assert await self.tenant.post("client", id=theirs, **mine) == "this client not exists"

    async def save(self, other: "Side", who: int, room: str) -> None:
        """Its own record, whatever key it says."""
        way = {"name": f"more-{self.mark}", "apns_topic": self.mark}
        fields = {"key": other.tenant.key, "name": self.mark, "apns_list": [way]}
        assert await self.tenant.post("namespace/save", **fields) == {}
        stranger = replace(self.tenant, credential=basic(other.tenant.key, self.mark))
        assert await stranger.post("login") == (401, "passwd error")

    async def edit_room(self, other: "Side", who: int, room: str) -> None:
        """room-apns and room-leave-message: of all that were ever in it."""
        assert await self.tenant.post("room-apns", room=room, add=[f"mute-{self.mark}"]) == {}
        assert await self.tenant.post("room-leave-message", room=room, leaveMessage=True) == {}

    async def transfer(self, other: "Side", who: int, room: str) -> None:
        """Who is in a room joins another one, or leaves it."""
        await self.agrees()
        target = ROOMS[(ROOMS.index(room) + 1 + who) % len(ROOMS)]
        kind = "join" if who % 2 else "leave"
        order = {"targetRoom": target, "sourceRooms": [room], "type": kind}
        assert await self.tenant.post("transfer", **order) == {}
        for rooms in (self.present, self.members):
            moved = set(rooms.get(room, ()))
            known = rooms.setdefault(target, set())
            rooms[target] = known | moved if kind == "join" else known - moved


ACTIONS: Mapping[str, Callable[[Side, Side, int, str], Awaitable[None]]] = {
    "join": Side.join, "exit": Side.exit, "leave": Side.leave, "acknowledge": Side.acknowledge,
    "typing": Side.typing, "info": Side.info, "mute": Side.mute, "discover": Side.discover,
    "push": Side.push, "read": Side.read, "write": Side.write, "save": Side.save,
    "edit_room": Side.edit_room, "transfer": Side.transfer,
}  # fmt: skip


@asynccontextmanager
async def open_pair(
    place: Installation, keys: Sequence[str], marks: Sequence[str]
) -> AsyncIterator[list[Side]]:
    """Namespaces of these keys; each has its mark as its password, too."""
    sides: list[Side] = []
    apple = H2Server(partial(_take_letter, sides))
    apple.port = place.apple
    async with (
        open_world(place) as world,
        serving(BackEnd()) as second,
        serving_h2(apple, AUTHORITY.server_context()),
    ):
        for key, mark, back_end in zip(keys, marks, (world.back_end, second), strict=True):
            wishes = msgspec.json.encode({"rooms": [f"room-{mark}"]})
            back_end.answer = partial(_says, Reply(200, wishes))
            record = {
                "key": key, "auth_passwd": mark, "callback_auth": mark, "name": mark,
                "connect_callback": back_end.url(f"/in/{mark}"),
                "disconnect_callback": back_end.url(f"/out/{mark}"),
                "apns_list": [{**WAY, "apns_topic": mark}],
            }  # fmt: skip
            assert await world.admin.post("namespace/save", **record) == {}
            door = RecordingDoor(world.rest.host, world.rest.port)
            tenant = Tenant(door, "/api/auth/", basic(key, mark), key, world)
            sides.append(Side(tenant, mark, back_end))
        yield sides


def _take_letter(sides: Sequence[Side], asked: Asked) -> AppleReply:
    """Apple: what comes for an iPhone of a side, that has seen."""
    for side in sides:
        if side.token in asked.path:
            side.seen += [asked.body, repr(asked.headers).encode()]
            side.letters += 1
    return AppleReply(200, [("apns-id", asked.headers["apns-id"])])


def _says(reply: Reply, heard: Heard) -> Reply:
    return reply
