"""Who is present in light-push, in Redis: see Attendance in core/lightpush_stores.py.

    at:<node> <incarnation>        hash        "<namespace> <client>" -> {"u":user,"p":platform,"t":since,"r":{room:1}}
    order:<node> <incarnation>     sorted set  the same names in their order
    processes, namespaces          sets        where anybody is present
    seats                          hash        process -> clients times rooms
    clients:<ns>, users:<ns>       hashes      client -> user; user -> how many of its clients
    rooms:<ns>                     set         ordinary rooms that have somebody
    room:<ns>:<room>               hash        client -> platform and user
    kinds:<ns>:<room>, roomusers:  hashes      platform, user -> how many clients

What belongs to a process is the truth, the rest follows from it in the same script: so a batch may be repeated, and
a client of two processes stays until both let it go. Nothing here expires: who is gone is swept by its comet.

Source: ours; the original's sets are in spec/liutian-push.md 7.2 and 7.3.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec

from appmodel.core.lightpush import Platform, is_user_room
from appmodel.core.lightpush_records import (
    AttendanceNews,
    Lists,
    Overview,
    Presence,
    Process,
    RoomOverview,
)
from appmodel.io.lightpush_attendance_scripts import CLEAR, PRESENT_AT, RECORD
from appmodel.io.lightpush_redis import RedisLink

STEP = 500  # changes in one script: a few ms in which Redis does nothing else
END = "+"  # behind all names


class _Kept(msgspec.Struct):
    u: str
    p: Platform
    t: int
    r: dict[str, int]


_KEPT = msgspec.json.Decoder(_Kept)


class RedisAttendance:
    """See Attendance."""

    def __init__(self, link: RedisLink) -> None:
        self._link = link

    async def record(self, process: Process, news: AttendanceNews) -> None:
        """See Attendance."""
        changes: list[tuple[str, Sequence[str | int]]] = [("went", one) for one in news.went]
        changes += [("came", one) for one in news.came]
        changes += [("left", one) for one in news.left]
        changes += [("joined", one) for one in news.joined]
        for at in range(0, len(changes), STEP):
            kinds: dict[str, list[Any]] = {"went": [], "came": [], "left": [], "joined": []}
            for kind, change in changes[at : at + STEP]:
                kinds[kind].append(change)
            text = msgspec.json.encode(kinds).decode()
            await self._link.run(RECORD, _name(process), text)

    async def processes(self) -> Sequence[Process]:
        """See Attendance."""
        [names] = await self._link.read([("SMEMBERS", self._link.key("processes"))])
        return [_process(name) for name in names]

    async def count_at(self, process: Process) -> tuple[int, int]:
        """See Attendance."""
        name = _name(process)
        at, seats = self._link.key("at", name), self._link.key("seats")
        clients, seated = await self._link.read([("HLEN", at), ("HGET", seats, name)])
        return clients, int(seated or 0)

    async def present_at(
        self, process: Process, *, after: tuple[str, str] = ("", ""), limit: int
    ) -> Sequence[Presence]:
        """See Attendance."""
        behind = " ".join(after) if any(after) else ""
        return await self._page(_name(process), behind, END, limit)

    async def seats_of(self, process: Process, namespace: str, client: str) -> Sequence[str]:
        """See Attendance."""
        key = self._link.key("at", _name(process))
        [kept] = await self._link.read([("HGET", key, f"{namespace} {client}")])
        return sorted(_KEPT.decode(kept).r) if kept else []

    async def is_present(self, namespace: str, room: str, client: str) -> bool:
        """See Attendance."""
        key = self._link.key("room", namespace, room)
        [found] = await self._link.read([("HEXISTS", key, client)])
        return bool(found)

    async def overviews(self, namespaces: Collection[str]) -> Mapping[str, Overview]:
        """See Attendance."""
        link, wanted = self._link, list(namespaces)
        commands = [
            (command, link.key(kind, one))
            for one in wanted
            for command, kind in (("SCARD", "rooms"), ("HLEN", "users"), ("HLEN", "clients"))
        ]
        counts = iter(await link.read(commands))
        return {one: Overview(next(counts), next(counts), next(counts)) for one in wanted}

    async def platform(self) -> Overview:
        """See Attendance."""
        [namespaces] = await self._link.read([("SMEMBERS", self._link.key("namespaces"))])
        found = await self.overviews(namespaces)
        return Overview(*map(sum, zip(*found.values(), strict=True))) if found else Overview()

    async def lists(self, namespace: str, *, most: int) -> Lists:
        """See Attendance."""
        rooms, clients, users = await self._listed(
            [
                ("S", self._link.key("rooms", namespace)),
                ("H", self._link.key("clients", namespace)),
                ("H", self._link.key("users", namespace)),
            ],
            most,
        )
        return Lists(rooms, clients, users)

    async def rooms(self, namespace: str, rooms: Collection[str]) -> Mapping[str, RoomOverview]:
        """See Attendance."""
        link, wanted = self._link, list(rooms)
        commands: list[tuple[str, ...]] = []
        for room in wanted:
            kinds = link.key("kinds", namespace, room)
            commands += [
                ("HLEN", link.key("roomusers", namespace, room)),
                ("HLEN", link.key("room", namespace, room)),
                ("HMGET", kinds, Platform.IOS.value, Platform.ANDROID.value),
            ]
        counts = iter(await link.read(commands))
        found: dict[str, RoomOverview] = {}
        for room in wanted:
            users, clients, kinds_there = next(counts), next(counts), next(counts)
            ios, android = (int(number or 0) for number in kinds_there)
            users = 0 if is_user_room(room) else users
            found[room] = RoomOverview(users, clients, ios, android)
        return found

    async def room_lists(
        self, namespace: str, rooms: Collection[str], *, most: int
    ) -> Mapping[str, Lists]:
        """See Attendance."""
        wanted = list(rooms)
        keys = [
            ("H", self._link.key(kind, namespace, room))
            for room in wanted
            for kind in ("room", "roomusers")
        ]
        found = iter(await self._listed(keys, most))
        lists: dict[str, Lists] = {}
        for room in wanted:
            clients, users = next(found), next(found)
            lists[room] = Lists([], clients, [] if is_user_room(room) else users)
        return lists

    async def online(self, namespace: str, *, after: str = "", limit: int) -> Sequence[Presence]:
        """See Attendance."""
        newest: dict[str, Presence] = {}
        for process in await self.processes():
            page = await self._page(_name(process), f"{namespace} {after}", f"({namespace}!", limit)
            for one in page:
                known = newest.get(one.client)
                if known is None or known.at < one.at:
                    newest[one.client] = one
        return [newest[client] for client in sorted(newest)[:limit]]

    async def clear(self, namespace: str) -> None:
        """See Attendance."""
        while await self._link.run(CLEAR, namespace, STEP):
            pass

    async def _page(self, process: str, after: str, end: str, limit: int) -> list[Presence]:
        """`after`: namespace and client, or "" for all."""
        found = await self._link.ask(PRESENT_AT, process, after, limit, end)
        return [_presence(field, kept) for field, kept in found]

    async def _listed(self, keys: Sequence[tuple[str, str]], most: int) -> list[list[str] | None]:
        """The names in each set or hash, sorted; None: more than `most`."""
        counting = {"S": "SCARD", "H": "HLEN"}
        counts = await self._link.read([(counting[kind], key) for kind, key in keys])
        listing = {"S": "SMEMBERS", "H": "HKEYS"}
        few = [at for at, count in enumerate(counts) if count <= most]
        names = await self._link.read([(listing[keys[at][0]], keys[at][1]) for at in few])
        found = {at: sorted(some) for at, some in zip(few, names, strict=True)}
        return [found.get(at) for at in range(len(keys))]


def _name(process: Process) -> str:
    return f"{process.node} {process.incarnation}"


def _process(name: str) -> Process:
    node, incarnation = name.split(" ")
    return Process(node, int(incarnation))


def _presence(field: str, kept: str) -> Presence:
    namespace, client = field.split(" ", 1)
    one = _KEPT.decode(kept)
    return Presence(namespace, client, one.u, one.p, one.t)
