"""Devices in the application's database: who is to be notified, and which token is dead.

A dead token is forgotten only if nobody has registered it again since the provider saw it die: a phone that
was set up anew may have got the same one.

The queries are in appmodel/orm/notified_devices.py.
"""

from collections.abc import Collection
from datetime import UTC, datetime
from typing import cast, get_args

from sqlalchemy.orm import Session

from appmodel.io.database import Database
from appmodel.orm.notified_devices import NotifiedDevice, forget_device, offline_devices
from web.core.notifications import Device, Provider

PROVIDERS = frozenset(get_args(Provider))


class Addressing:
    """Two statements for any number of users."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def offline_devices(self, user_ids: Collection[str]) -> list[Device]:
        """Devices of these users that are not online, each once.

        Raises:
            Unavailable: the database is away.
        """

        def find(session: Session) -> list[NotifiedDevice]:
            return offline_devices(session, user_ids)

        return [
            _device(row) for row in await self._database.read(find) if row.provider in PROVIDERS
        ]

    async def forget(self, device: Device, since: float | None) -> bool:
        """Remove a dead token, unless it was registered again since; whether it was removed.

        Args:
            since: Unix seconds when the provider saw it die; None = it does not say: then any registration
                that is newer than `device` counts.

        Raises:
            Unavailable, OutcomeUnknown: the database is away.
        """
        known = datetime.fromtimestamp(device.registered_at if since is None else since, UTC)

        def remove(session: Session) -> bool:
            return forget_device(session, device.provider, device.token, known)

        return await self._database.write(remove)


def _device(row: NotifiedDevice) -> Device:
    return Device(
        provider=cast("Provider", row.provider),
        token=row.token,
        user_id=row.user_id,
        device_id=row.device_id,
        registered_at=row.registered.timestamp(),
    )
