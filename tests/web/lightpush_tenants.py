"""A namespace's business system and the administrator, as they call the light-push REST of a world.

demo = await a_tenant(world, "/demo")
await demo.post("push", room="r1", pushData={})            {"id":1,"expectAckCount":0}
await connect(world, "/demo", "u1", rooms=["r1"])          as comets write it
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from appmodel.core.lightpush import Platform, client_id, user_room
from appmodel.core.lightpush_records import (
    Arrival,
    AttendanceNews,
    Enrolment,
    Presence,
    Process,
    Seat,
)
from appmodel.io.lightpush_attendance import SqlAttendance
from appmodel.io.lightpush_clients import SqlClients
from tests.web.lightpush_door import basic
from tests.web.world import Answer, Door, World

COMET = Process("c1", 1)
START = 1_793_233_999_000  # ms


@dataclass(frozen=True)
class Caller:
    """Who calls below one of the prefixes."""

    door: Door
    prefix: str
    credential: dict[str, str]

    async def ask(self, method: str, path: str, fields: Any = None) -> Answer:
        """One call."""
        body = b"" if fields is None else json.dumps(fields).encode()
        headers = self.credential | {"Content-Type": "application/json"}
        return await self.door.ask(method, self.prefix + path, body, headers=headers)

    async def post(self, path: str, /, **fields: Any) -> Any:
        """What a POST answers."""
        return said(await self.ask("POST", path, fields))

    async def get(self, path: str, /, **query: Any) -> Any:
        """What a GET answers."""
        return said(await self.ask("GET", f"{path}?{urlencode(query, doseq=True)}"))


def said(answer: Answer) -> Any:
    """The JSON of a success, the text of an error with code 9999, else the status and the body."""
    if answer.status == 200:
        return answer.json()
    try:
        error = answer.json()
    except ValueError:
        return answer.status, answer.body.decode()
    assert error["code"] == 9999
    assert answer.status == 400
    return error["msg"]


def admin(world: World) -> Caller:
    """The administrator."""
    return Caller(world.lightpush, "/api/admin/", basic("admin", "123456"))


async def a_tenant(world: World, key: str, password: str = "s3:cret", **fields: Any) -> Caller:
    """A new namespace."""
    assert await admin(world).post("namespace/save", key=key, auth_passwd=password, **fields) == {}
    return Caller(world.lightpush, "/api/auth/", basic(key, password))


async def connect(
    world: World,
    namespace: str,
    userid: str,
    *,
    rooms: Sequence[str] = (),
    platform: Platform = Platform.WEB,
    uuid: str = "d1",
    at: int = START,
) -> str:
    """A client has connected and joined these rooms and its user's: its id."""
    client = client_id(namespace, userid, platform, uuid)
    all_rooms = [user_room(userid), *rooms]
    database = world.context.database
    clients, attendance = SqlClients(database), SqlAttendance(database)
    await clients.arrived([Arrival(namespace, client, userid, platform, uuid, at)])
    await clients.enrolled([Enrolment(namespace, room, client, platform) for room in all_rooms])
    news = AttendanceNews(
        came=[Presence(namespace, client, userid, platform, at)],
        joined=[Seat(namespace, room, client) for room in all_rooms],
    )
    await attendance.record(COMET, news)
    return client
