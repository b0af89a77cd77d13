"""The books of Mpush in the application's database: see core/mpush_stores.py.

Logins that wait together are one transaction. A batch of acknowledgements is cut into transactions of BATCH
devices; cancelling between two of them is safe, as all of it may be repeated.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from sqlalchemy.orm import Session

from appmodel.core.mpush_stores import (
    AckNews,
    AckState,
    Delayed,
    Device,
    Errand,
    Receiver,
    ReceiverKind,
)
from appmodel.core.sealing import Sealing
from appmodel.io.database import Database
from appmodel.io.group_commit import GroupCommit
from appmodel.orm import mpush_delay_queries as delays
from appmodel.orm import mpush_device_queries as devices
from appmodel.orm import mpush_receiver_queries as receivers

BATCH = 500  # devices of one transaction


@dataclass(frozen=True, slots=True)
class MpushBounds:
    """How much the books keep; [mpush] of the configuration."""

    devices: int = 100_000
    receivers: int = 10  # of one device
    delayed: int = 100_000
    delayed_per_target: int = 1000


USUAL = MpushBounds()


class SqlDevices:
    """See Devices."""

    def __init__(self, database: Database, bounds: MpushBounds = USUAL) -> None:
        self._database, self._most = database, bounds.devices
        self._logins = GroupCommit(self._log_in)

    def load(self, session: Session, names: Sequence[str]) -> dict[str, Device]:
        """What a Cache loads; `mpush.note_of` names what a change is noted under."""
        return devices.find_devices(session, names)

    def load_members(self, session: Session, groups: Sequence[str]) -> dict[str, list[str]]:
        """What a Cache loads of groups; `mpush.note_of_group` names what a change is noted under."""
        return devices.members_of(session, groups)

    async def register(self, name: str, *, group: str | None = None, now: int) -> AckState:
        """See Devices."""
        return await self._logins.write((name, group, now))

    async def _log_in(self, logins: Sequence[tuple[str, str | None, int]]) -> list[AckState]:
        return await self._database.write(
            lambda session: devices.log_in(session, logins, self._most)
        )

    async def preregister(self, names: Collection[str], *, now: int) -> None:
        """See Devices."""
        if names:
            await self._database.write(
                lambda session: devices.preregister(session, names, now, self._most)
            )

    async def find(self, names: Collection[str]) -> Mapping[str, Device]:
        """See Devices."""
        return await self._database.read(lambda session: devices.find_devices(session, names))

    async def members(self, group: str, *, after: str = "", limit: int) -> Sequence[str]:
        """See Devices."""
        return await self._database.read(
            lambda session: devices.members(session, group, after, limit)
        )

    async def page(self, *, after: str = "", limit: int) -> Sequence[Device]:
        """See Devices."""
        return await self._database.read(
            lambda session: devices.devices_page(session, after, limit)
        )

    async def forget(self, name: str) -> bool:
        """See Devices."""
        return await self._database.write(lambda session: devices.forget_device(session, name))


class SqlAckBook:
    """See AckBook."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def acknowledge(self, news: Sequence[AckNews]) -> None:
        """See AckBook."""
        for at in range(0, len(news), BATCH):
            part = news[at : at + BATCH]
            await self._database.write(partial(devices.acknowledge, news=part), may_leave=True)

    async def states(self, names: Collection[str]) -> Mapping[str, AckState]:
        """See AckBook."""
        return await self._database.read(lambda session: devices.ack_states(session, names))


class SqlReceivers:
    """See Receivers."""

    def __init__(self, database: Database, sealing: Sealing, bounds: MpushBounds = USUAL) -> None:
        self._database, self._sealing, self._most = database, sealing, bounds.receivers

    def load(self, session: Session, names: Sequence[str]) -> dict[str, list[Receiver]]:
        """What a Cache loads; `mpush.note_of_receivers` names what a change is noted under."""
        return receivers.receivers_of(session, names, self._sealing)

    async def add(self, receiver: Receiver, *, cursor: int, now: int) -> None:
        """See Receivers."""
        await self._database.write(
            lambda session: receivers.add_receiver(
                session, receiver, cursor, now, self._most, self._sealing
            )
        )

    async def of(self, names: Collection[str]) -> Mapping[str, Sequence[Receiver]]:
        """See Receivers."""
        return await self._database.read(lambda session: self.load(session, list(names)))

    async def remove(self, name: str, kind: ReceiverKind, address: str) -> bool:
        """See Receivers."""
        return await self._database.write(
            lambda session: receivers.remove_receiver(session, name, kind, address)
        )

    async def want(self, pushed: Mapping[str, int], *, now: int) -> None:
        """See Receivers."""
        if pushed:
            await self._database.write(lambda session: receivers.want(session, pushed, now))

    async def claim(
        self,
        *,
        now: int,
        lease: int,
        limit: int,
        kinds: Collection[ReceiverKind] = tuple(ReceiverKind),
    ) -> Sequence[Errand]:
        """See Receivers."""
        return await self._database.write(
            lambda session: receivers.claim_errands(
                session, now, lease, limit, kinds, self._sealing
            )
        )

    async def advance(self, errand: Errand, cursor: int, *, until: int) -> bool:
        """See Receivers."""
        return await self._database.write(
            lambda session: receivers.advance(session, errand, cursor, until)
        )

    async def postpone(self, errand: Errand, *, until: int) -> bool:
        """See Receivers."""
        return await self._database.write(
            lambda session: receivers.postpone(session, errand, until)
        )

    async def finish(self, errand: Errand, cursor: int, *, now: int) -> bool:
        """See Receivers."""
        return await self._database.write(
            lambda session: receivers.finish(session, errand, cursor, now)
        )


class SqlDelays:
    """See Delays."""

    def __init__(self, database: Database, bounds: MpushBounds = USUAL) -> None:
        self._database, self._bounds = database, bounds

    async def put(self, pushes: Sequence[Delayed]) -> None:
        """See Delays."""
        most, of_one = self._bounds.delayed, self._bounds.delayed_per_target
        if pushes:
            await self._database.write(lambda session: delays.put(session, pushes, most, of_one))

    async def of(
        self, target: str, *, is_group: bool = False, since: int = 0, limit: int
    ) -> Sequence[Delayed]:
        """See Delays."""
        return await self._database.read(
            lambda session: delays.waiting_for(session, target, is_group, since, limit)
        )

    async def find(self, delayed_id: str) -> Sequence[Delayed]:
        """See Delays."""
        return await self._database.read(lambda session: delays.find_delayed(session, delayed_id))

    async def cancel(
        self, delayed_id: str, *, target: str | None = None, is_group: bool = False
    ) -> int:
        """See Delays."""
        return await self._database.write(
            lambda session: delays.cancel(session, delayed_id, target, is_group)
        )

    async def claim(self, *, now: int, lease: int, limit: int) -> Sequence[Delayed]:
        """See Delays."""
        return await self._database.write(
            lambda session: delays.claim_delayed(session, now, lease, limit)
        )

    async def postpone(self, delayed: Delayed, *, until: int) -> bool:
        """See Delays."""
        return await self._database.write(lambda session: delays.postpone(session, delayed, until))

    async def done(self, delayed: Delayed) -> bool:
        """See Delays."""
        return await self._database.write(lambda session: delays.done(session, delayed))
