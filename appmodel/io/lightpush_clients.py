"""Clients of light-push in the application's database: see Clients in core/lightpush_stores.py.

A batch is cut into transactions of BATCH rows; what is done for a whole room is done in steps. Cancelling
between two of them is safe: all of it may be repeated.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from typing import TypeVar

from sqlalchemy.orm import Session

from appmodel.core.lightpush_records import (
    Arrival,
    ClientChange,
    ClientRecord,
    Departure,
    Enrolment,
    MuteEdit,
    Neighbour,
    Reachable,
    Totals,
)
from appmodel.core.lightpush_stores import MAX_NEIGHBOURS
from appmodel.io.database import Database
from appmodel.orm import lightpush_client_queries as queries
from appmodel.orm import lightpush_member_queries as members

A = TypeVar("A")
T = TypeVar("T")
BATCH = 1000  # rows of one transaction


class SqlClients:
    """See Clients."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def arrived(self, arrivals: Sequence[Arrival]) -> None:
        """See Clients."""
        await self._write_in_parts(queries.note_arrivals, arrivals)

    async def departed(self, departures: Sequence[Departure]) -> None:
        """See Clients."""
        await self._write_in_parts(queries.note_departures, departures)

    async def enrolled(self, enrolments: Sequence[Enrolment]) -> None:
        """See Clients."""
        await self._write_in_parts(members.enrol, enrolments)

    async def find(self, namespace: str, client: str) -> ClientRecord | None:
        """See Clients."""
        return await self._database.read(
            lambda session: queries.find_client(session, namespace, client)
        )

    async def change(self, namespace: str, client: str, change: ClientChange, *, now: int) -> bool:
        """See Clients."""
        return await self._database.write(
            lambda session: queries.change_client(session, namespace, client, change, now)
        )

    async def forget_token(self, namespace: str, client: str, device_token: str) -> bool:
        """See Clients."""
        return await self._database.write(
            lambda session: queries.forget_token(session, namespace, client, device_token)
        )

    async def mutes(self, namespace: str, client: str) -> Sequence[str]:
        """See Clients."""
        return await self._database.read(
            lambda session: queries.mutes_of(session, namespace, client)
        )

    async def edit_mutes(self, namespace: str, client: str, edit: MuteEdit) -> None:
        """See Clients."""
        await self._database.write(
            lambda session: members.edit_mutes(session, namespace, [client], edit)
        )

    async def edit_room_mutes(self, namespace: str, room: str, edit: MuteEdit) -> None:
        """See Clients."""
        await self._step(
            lambda session, after: members.edit_room_mutes(session, namespace, room, edit, after)
        )

    async def set_leave_message(
        self, namespace: str, room: str, leave_message: bool, *, now: int
    ) -> None:
        """See Clients."""
        await self._step(
            lambda session, after: members.set_leave_message(
                session, namespace, room, leave_message, now, after
            )
        )

    async def transfer(
        self, namespace: str, target: str, sources: Collection[str], *, is_join: bool
    ) -> None:
        """See Clients."""
        move = partial(members.transfer, namespace=namespace, target=target, is_join=is_join)
        for source in sorted(set(sources)):
            await self._step(partial(move, source=source))

    async def reachable(
        self, namespace: str, room: str, *, after: str = "", limit: int
    ) -> Sequence[Reachable]:
        """See Clients."""
        return await self._database.read(
            lambda session: members.reachable(session, namespace, room, after, limit)
        )

    async def totals(self, namespaces: Collection[str]) -> Mapping[str, int]:
        """See Clients."""
        return await self._database.read(lambda session: queries.count_clients(session, namespaces))

    async def room_totals(self, namespace: str, rooms: Collection[str]) -> Mapping[str, Totals]:
        """See Clients."""
        return await self._database.read(
            lambda session: members.room_totals(session, namespace, rooms)
        )

    async def near(
        self, namespace: str, client: str, *, radius: float, count: int
    ) -> Sequence[Neighbour] | None:
        """See Clients."""
        most = min(count, MAX_NEIGHBOURS)
        return await self._database.read(
            lambda session: queries.clients_near(session, namespace, client, radius, most)
        )

    async def legacy(
        self, namespace: str, *, before: int, after: str = "", limit: int
    ) -> Sequence[str]:
        """See Clients."""
        return await self._database.read(
            lambda session: queries.legacy_clients(session, namespace, before, after, limit)
        )

    async def forget(
        self, namespace: str, clients: Collection[str], *, before: int
    ) -> Sequence[str]:
        """See Clients."""
        gone: list[str] = []
        forget = partial(queries.forget_clients, namespace=namespace, before=before)
        for part in parts(sorted(clients)):
            gone += await self._database.write(partial(forget, clients=part))
        return gone

    async def clear(self, namespace: str) -> None:
        """See Clients."""
        while await self._database.write(
            lambda session: queries.clear_clients(session, namespace, BATCH)
        ):
            pass

    async def _write_in_parts(
        self, write: Callable[[Session, Sequence[T]], None], rows: Sequence[T]
    ) -> None:
        for part in parts(rows):
            await self._database.write(_with(write, part), may_leave=True)

    async def _step(self, step: Callable[[Session, str], str]) -> None:
        """`step(session, after)` until it is done: a transaction each."""
        after = await self._database.write(_with(step, ""))
        while after:
            after = await self._database.write(_with(step, after))


def _with(work: Callable[[Session, A], T], argument: A) -> Callable[[Session], T]:
    return lambda session: work(session, argument)


def parts(rows: Sequence[T], size: int = BATCH) -> Iterator[Sequence[T]]:
    """`rows` in transactions."""
    for at in range(0, len(rows), size):
        yield rows[at : at + size]
