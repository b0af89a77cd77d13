"""Devices of Mpush, their groups and receivers, as web knows them: nothing that it says is older than the bound
(database.staleness).

    a device that is there      remembered until a note says that it has changed
    one that is not there       asked for each time: `no` right after its first login would be a lie
    members of a group          asked for each time: who has just joined would never get what is pushed to it
    questions that wait         are one query
"""

from collections.abc import Mapping, Sequence

from appmodel.core.mpush import note_of, note_of_group, note_of_receivers
from appmodel.core.mpush_stores import Device, Receiver
from appmodel.io.caching import Cache, Changes
from appmodel.io.database import Database
from appmodel.io.mpush_books import SqlDevices, SqlReceivers


class KnownDevices:
    """Reads of the books, from memory where that is right. `changes` must be running.

    All raise `Unavailable`: the database is away, and it is not remembered. Cancelling is safe.
    """

    def __init__(
        self,
        devices: SqlDevices,
        receivers: SqlReceivers,
        database: Database,
        changes: Changes,
        *,
        limit: int = 10_000,
    ) -> None:
        """`limit`: devices, and devices with their receivers, each, that are remembered."""
        self._devices: Cache[str, Device] = Cache(
            database,
            changes,
            load=devices.load,
            subject_of=note_of,
            limit=limit,
            keeps_nothing=False,
        )
        self._groups: Cache[str, Sequence[str]] = Cache(
            database,
            changes,
            load=devices.load_members,
            subject_of=note_of_group,
            limit=0,  # nothing is remembered, and what waits together is one query all the same
            keeps_nothing=False,
        )
        self._receivers: Cache[str, Sequence[Receiver]] = Cache(
            database, changes, load=receivers.load, subject_of=note_of_receivers, limit=limit
        )

    async def exists(self, name: str) -> bool:
        """Whether there is such a device."""
        return await self._devices.get(name) is not None

    async def find(self, name: str) -> Device | None:
        """A device; when it logged in last may be long ago."""
        return await self._devices.get(name)

    async def members(self, group: str) -> Sequence[str]:
        """Devices in a group, sorted: at most as many as there are devices."""
        return await self._groups.get(group) or ()

    async def receivers_of(self, names: Sequence[str]) -> Mapping[str, Sequence[Receiver]]:
        """Who gets a copy of what is pushed to each device, oldest first; without those that have nobody."""
        return await self._receivers.get_all(names)
