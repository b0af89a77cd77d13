"""Tenants of an installation: their REST, their clients, and their own back end.

async with open_world(place) as world:
    tenant = await world.tenant()                            a namespace that nobody else has
    device = await tenant.comes("uuid=d1", rooms=["r1"])     on whichever comet the balancer chooses
    await tenant.post("push", room="r1", pushData={})        at whichever web node
"""

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import trio

from tests.comet.back_end import BackEnd, serving
from tests.lightpush.devices import Device
from tests.lightpush.installation import Installation, balanced
from tests.web.lightpush_door import basic
from tests.web.lightpush_tenants import Caller
from tests.web.world import Door

PASSWORD = "s3cret"
OK = {"status": 200, "msg": "ok"}
PATIENCE = 40.0  # seconds for what is written behind
PAUSE = 0.02  # seconds between two looks

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Tenant(Caller):
    """A namespace: its business system, and its clients."""

    key: str
    world: "World"

    async def device(self, query: str, **options: Any) -> Device:
        """A client whose transport is open. Options are those of `Device.open`."""
        world = self.world
        device = await Device.open(world.port, query, self.key, world.nursery, **options)
        world.devices.append(device)
        return device

    async def comes(self, query: str, *, rooms: Sequence[str] = (), **options: Any) -> Device:
        """A client that is in, and in `rooms`."""
        device = await self.device(query, **options)
        await device.connects()
        if rooms:
            assert await device.asks("joinRoom", list(rooms)) == OK
        return device

    def name(self, userid: str, device: str) -> str:
        """The id of a client; `device`: `web-d1`."""
        return f"{self.key}#{userid}#{device}"

    async def client(self, userid: str, device: str) -> dict[str, str]:
        """The record of a client."""
        path = "client/" + quote(self.name(userid, device), safe="")
        found: dict[str, str] = await self.get(path)
        return found

    async def report(self, push: int, **query: Any) -> Any:
        """What became of a push; the text of a refusal."""
        return await self.get(f"report/push/{push}", **query)

    async def until_reported(self, push: int, **wanted: Any) -> None:
        """Wait until the report of a push has these values."""

        async def reported() -> dict[str, Any]:
            report = await self.report(push)
            return {name: report.get(name) for name in wanted}

        await becomes(reported, wanted)

    async def rooms(self, *names: str, **query: Any) -> list[dict[str, Any]]:
        """Who is in these rooms."""
        found: list[dict[str, Any]] = await self.get("report/online", room=names, **query)
        return found

    async def until_present(self, room: str, clients: int) -> None:
        """Wait until so many are written as present in a room."""

        async def present() -> int:
            (found,) = await self.rooms(room)
            count: int = found["clientCount"]
            return count

        await becomes(present, clients)


@dataclass
class World:
    """An installation, as one test sees it."""

    place: Installation
    port: int  # for clients
    rest: Door
    back_end: BackEnd
    nursery: trio.Nursery
    devices: list[Device] = field(default_factory=list)

    @property
    def admin(self) -> Caller:
        """The administrator."""
        return Caller(self.rest, "/api/admin/", basic("admin", "123456"))

    async def tenant(self, key: str = "", **fields: Any) -> Tenant:
        """A new namespace; `fields` are those of its record."""
        key = key or f"/t{next(_numbers)}"
        assert (
            await self.admin.post("namespace/save", key=key, auth_passwd=PASSWORD, **fields) == {}
        )
        return Tenant(self.rest, "/api/auth/", basic(key, PASSWORD), key, self)

    async def everywhere(self, ask: Callable[[], Awaitable[Any]], wanted: Any) -> None:
        """Wait until each web node answers this: the balancer asks one after the other."""
        await becomes(ask, wanted, times=len(self.place.webs))

    async def with_callbacks(self, **fields: Any) -> Tenant:
        """A new namespace whose back end is ours."""
        callbacks = {
            "connect_callback": self.back_end.url("/in"),
            "disconnect_callback": self.back_end.url("/out"),
        }
        return await self.tenant(**(callbacks | fields))


@asynccontextmanager
async def open_world(place: Installation) -> AsyncIterator[World]:
    """Until the block ends; then all its clients are gone."""
    async with (
        balanced(place.comets) as port,
        balanced(place.webs) as rest,
        serving(BackEnd()) as back_end,
        trio.open_nursery() as nursery,
    ):
        world = World(place, port, Door("127.0.0.1", rest), back_end, nursery)
        try:
            yield world
        finally:
            with trio.CancelScope(shield=True):
                for device in world.devices:
                    await device.carrier.cut()
            nursery.cancel_scope.cancel()


async def becomes(ask: Callable[[], Awaitable[Any]], wanted: Any, *, times: int = 1) -> None:
    """Wait until `await ask()` is this, so many times in a row: what comets write behind comes soon."""
    end, left = trio.current_time() + PATIENCE, times
    while left:
        found = await ask()
        if found == wanted:
            left -= 1
        else:
            assert trio.current_time() < end, f"found {found}, wanted {wanted}"
            left = times
            await trio.sleep(PAUSE)
