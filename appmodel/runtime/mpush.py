"""Opens the books of Mpush for a comet or a web node, as [mpush] says: see core/mpush_stores.py."""

import time
from dataclasses import dataclass

from appmodel.core.mpush_keys import PublicKeys
from appmodel.core.mpush_registering import Registering
from appmodel.core.mpush_tokens import MpushGate
from appmodel.core.mpush_tries import TokenTries
from appmodel.core.outward import Outward
from appmodel.core.throttle import Throttle
from appmodel.io.database import Database
from appmodel.io.mpush_books import MpushBounds, SqlAckBook, SqlDelays, SqlDevices, SqlReceivers
from appmodel.io.mpush_keys import SqlKeys
from appmodel.runtime.lightpush import open_sealing
from appmodel.runtime.settings import Settings


@dataclass(frozen=True, slots=True)
class MpushBooks:
    """All that Mpush keeps, beside the messages."""

    devices: SqlDevices
    acks: SqlAckBook
    receivers: SqlReceivers
    delays: SqlDelays
    keys: SqlKeys
    registering: Registering


def open_mpush_books(settings: Settings, database: Database) -> MpushBooks:
    """The books, which live as long as `database`. It is connected to when they are first used."""
    config = settings.mpush
    bounds = MpushBounds(
        config.devices, config.receivers, config.delayed, config.delayed_per_target
    )
    sealing, fcm = open_sealing(settings), config.fcm
    told = PublicKeys("", fcm.project_id, fcm.application_id, fcm.api_key)
    keys = SqlKeys(database, sealing, told, webpush=config.webpush.enabled)
    receivers = SqlReceivers(database, sealing, bounds)
    return MpushBooks(
        SqlDevices(database, bounds),
        SqlAckBook(database),
        receivers,
        SqlDelays(database, bounds),
        keys,
        Registering(receivers, keys, Outward(config.webpush.allowed)),
    )


def open_tries(settings: Settings, gate: MpushGate) -> TokenTries:
    """How often tokens may be guessed at one listener."""
    config = settings.mpush.tries
    throttle = Throttle(config.limit, config.window, capacity=config.remembered)
    return TokenTries(gate, throttle, remembered=config.remembered)


async def preregister(settings: Settings, books: MpushBooks) -> None:
    """Make the devices that exist by configuration. May be repeated; raises as Devices.preregister."""
    await books.devices.preregister(settings.mpush.registers, now=int(time.time() * 1000))
