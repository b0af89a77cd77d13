"""The door of the light-push REST on a real socket, with routes of a test behind it.

async with open_door() as (door, frame):        namespace /demo with password "s3:cret", administrator admin/123456
    frame.namespace("GET", "x", handler)
    answer = await door.ask("GET", "/api/auth/x", headers=basic("/demo", "s3:cret"))
"""

from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import trio

from appmodel.core.addresses import Addresses
from appmodel.core.lightpush_records import Hidden, Namespace
from appmodel.core.origins import Origins
from appmodel.core.sealing import Sealing
from appmodel.io.http import FrontDoor
from appmodel.io.listener import open_sockets
from tests.web.world import Door
from web.api.lightpush_frame import LightpushFrame
from web.config import LightpushConfig
from web.services.lightpush_access import LightpushAccess

SEALING = Sealing(b"")
PASSWORD = "s3:cret"


def basic(name: str, password: str, word: str = "Basic ") -> dict[str, str]:
    """The header of a credential."""
    return {"Authorization": word + b64encode(f"{name}:{password}".encode()).decode()}


DEMO = basic("/demo", PASSWORD)
ADMIN = basic("admin", "123456")


def a_namespace(key: str, password: str | None = PASSWORD) -> Namespace:
    """A record."""
    digest = None if password is None else Hidden(SEALING.digest(password, key))
    return Namespace(key, password_digest=digest)


RECORDS = {
    each.key: each
    for each in (a_namespace("/demo"), a_namespace("/open", None), a_namespace("/", "x"))
}


def has_password(namespace: Namespace, text: str) -> bool:
    """Of `a_namespace`."""
    return SEALING.matches(text, namespace.password_digest, namespace.key)


@asynccontextmanager
async def open_door(
    records: Mapping[str, Namespace] = RECORDS, **config: Any
) -> AsyncIterator[tuple[Door, LightpushFrame]]:
    """A listener without routes of its own."""

    async def find(key: str) -> Namespace | None:
        await trio.lowlevel.checkpoint()
        return records.get(key)

    access = LightpushAccess(
        find,
        has_password,
        Addresses(["127.0.0.0/8"]),
        Origins(home=True),
        LightpushConfig(port=0, **config),
    )
    frame = LightpushFrame(access)
    sockets = open_sockets("127.0.0.1", 0)
    door = FrontDoor([], render_error=frame.refuse, otherwise=frame.serve)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(door.serve, sockets, stop=trio.Event()))
        yield Door(*sockets[0].getsockname()), frame
        nursery.cancel_scope.cancel()
