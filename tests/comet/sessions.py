"""A comet that keeps its sessions in a database, and what is found there.

async with keeping(database) as kept:
    await kept.world.subscriber("u1_Android-d@user")
    await kept.until("u1_Android-d")
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import sqlalchemy as sa
import trio

from appmodel.core.cluster import Node, Role
from appmodel.core.names import Key
from appmodel.core.sessions import Holder
from appmodel.core.units import Duration
from appmodel.io.database import Database
from appmodel.io.registry_embedded import EmbeddedRegistry
from appmodel.orm.presence import Session, SessionHolder
from comet.config import SessionsConfig
from comet.core.channel import Channel
from comet.io.sessions import Sessions
from tests.comet.fakes import Taker
from tests.comet.world import LIMIT, World, open_comet

QUICK = SessionsConfig(gather=Duration(0.01), max_pause=Duration(0.05), grace=Duration(0.1))
NEVER = Duration(100_000)
PATIENT = SessionsConfig(gather=Duration(0.01), max_pause=Duration(0.05), check=NEVER, grace=NEVER)
"""Repairs nothing by itself."""


@dataclass
class Kept:
    """A comet, and what keeps its sessions."""

    world: World
    sessions: Sessions
    database: Database

    async def until(self, *ids: str) -> None:
        """Wait until these sessions are there, and no other."""
        await until_there(self.database, *ids)

    async def until_settled(self) -> None:
        """Wait until nothing is left to be written."""
        await self.world.until(lambda: not self.sessions.pending and not self.sessions.trouble)

    def come(self, *ids: str) -> list[tuple[Channel, Taker]]:
        """Sessions without a socket."""
        hub, come = self.world.comet.live.hub, []
        for session_id in ids:
            channel, taker = hub.open(Key("", session_id, "user")), Taker()
            hub.join(channel, taker)
            come.append((channel, taker))
        return come

    def go(self, *come: tuple[Channel, Taker]) -> None:
        """They leave."""
        for channel, taker in come:
            self.world.comet.live.hub.leave(channel, taker)


@asynccontextmanager
async def keeping(
    database: Database,
    *,
    config: SessionsConfig = PATIENT,
    registry: EmbeddedRegistry | None = None,
    name: str = "node1",
    incarnation: int = 1,
    are_expected: bool = False,
) -> AsyncIterator[Kept]:
    """Until the block ends; then it is cut off, as by SIGKILL."""
    registry = registry or EmbeddedRegistry()
    me = Node(Role.COMET, name, incarnation)
    async with open_comet(registry=registry, me=me) as world, trio.open_nursery() as nursery:
        sessions = Sessions(
            me=lambda: world.comet.node,
            hub=world.comet.live.hub,
            registry=registry,
            database=database,
            config=config,
            are_expected=are_expected,
        )
        nursery.start_soon(sessions.run)
        yield Kept(world, sessions, database)
        nursery.cancel_scope.cancel()


async def until_there(database: Database, *ids: str) -> None:
    """Wait until these sessions are there, and no other."""
    there = set[str]()
    with trio.move_on_after(LIMIT):
        while (there := await session_ids(database)) != set(ids):
            await trio.lowlevel.checkpoint()
    assert there == set(ids)


async def session_ids(database: Database) -> set[str]:
    """The sessions that are there."""
    return set(await database.read(lambda session: session.scalars(sa.select(Session.id)).all()))


async def holders(database: Database) -> dict[str, set[Holder]]:
    """Who holds which session."""
    rows = await database.read(lambda session: session.scalars(sa.select(SessionHolder)).all())
    found: dict[str, set[Holder]] = {}
    for row in rows:
        found.setdefault(row.session_id, set()).add(Holder(row.node, row.incarnation))
    return found
