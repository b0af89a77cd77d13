"""What a comet and a web node do alike for Mpush, as [mpush] says: its books (core/mpush_stores.py), its token, its devices."""

import time
from dataclasses import dataclass

import structlog
import trio

from appmodel.core.mpush_keys import PublicKeys
from appmodel.core.mpush_registering import Registering
from appmodel.core.mpush_tokens import WELL_KNOWN, MpushGate
from appmodel.core.mpush_tries import TokenTries
from appmodel.core.outward import Outward
from appmodel.core.throttle import Throttle
from appmodel.errors import ConfigError, PushError
from appmodel.io.database import Database
from appmodel.io.mpush_books import MpushBounds, SqlAckBook, SqlDelays, SqlDevices, SqlReceivers
from appmodel.io.mpush_keys import SqlKeys
from appmodel.runtime.config import is_loopback
from appmodel.runtime.lightpush import open_sealing
from appmodel.runtime.settings import Settings

PAUSE = 2.0  # seconds before devices of the configuration are tried to be made again

log = structlog.get_logger(__name__)


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


def require_own_token(listener: str, host: str, token: str) -> None:
    """Design law 10: the well-known token opens nothing but loopback.

    Args:
        listener: its path in the configuration, such as "comet.mpush".

    Raises:
        ConfigError: with the keys to set.
    """
    if token == WELL_KNOWN and not is_loopback(host):
        expected = (
            "the well-known token is for loopback only: set mpush.token, "
            f'keep {listener}.host "127.0.0.1", or set {listener}.enabled = false'
        )
        raise ConfigError("mpush.token", token, expected)


async def preregister(
    settings: Settings,
    books: MpushBooks,
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Make the devices that exist by configuration; started after the first try.

    A database that is away keeps no node from starting: it is tried again until they are there. Cancelling is safe.
    """
    names, is_first = settings.mpush.registers, True
    while True:
        try:
            await books.devices.preregister(names, now=round(time.time() * 1000))
            return
        except PushError as error:
            log.warning("devices are not there yet", setting="mpush.registers", error=str(error))
        finally:
            if is_first:
                task_status.started()
            is_first = False
        await trio.sleep(PAUSE)
