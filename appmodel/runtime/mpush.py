"""Opens the books of Mpush for a comet or a web node, as [mpush] says: see core/mpush_stores.py."""

import time
from dataclasses import dataclass

from appmodel.io.database import Database
from appmodel.io.mpush_books import MpushBounds, SqlAckBook, SqlDelays, SqlDevices, SqlReceivers
from appmodel.runtime.lightpush import open_sealing
from appmodel.runtime.settings import Settings


@dataclass(frozen=True, slots=True)
class MpushBooks:
    """All that Mpush keeps, beside the messages."""

    devices: SqlDevices
    acks: SqlAckBook
    receivers: SqlReceivers
    delays: SqlDelays


def open_mpush_books(settings: Settings, database: Database) -> MpushBooks:
    """The books, which live as long as `database`. It is connected to when they are first used."""
    config = settings.mpush
    bounds = MpushBounds(
        config.devices, config.receivers, config.delayed, config.delayed_per_target
    )
    return MpushBooks(
        SqlDevices(database, bounds),
        SqlAckBook(database),
        SqlReceivers(database, open_sealing(settings), bounds),
        SqlDelays(database, bounds),
    )


async def preregister(settings: Settings, books: MpushBooks) -> None:
    """Make the devices that exist by configuration. May be repeated; raises as Devices.preregister."""
    await books.devices.preregister(settings.mpush.registers, now=int(time.time() * 1000))
