"""Devices in the application's database: who is to be notified, since when, and which token is dead.

A dead token is forgotten only if nobody has registered it again since the provider saw it die: a phone that
was set up anew may have got the same one.

The queries are in appmodel/orm/notified_devices.py.
"""

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import cast, get_args

from sqlalchemy.orm import Session

from appmodel.io.database import Database
from appmodel.orm.notified_devices import NotifiedDevice, forget_device, last_seen, offline_devices
from web.core.notifications import Device, Provider

PROVIDERS = frozenset(get_args(Provider))


class Addressing:
    """A few statements for any number of users."""

    def __init__(self, database: Database, login_life: float) -> None:
        """`login_life`: seconds from the last use of a login that is written to its end."""
        self._database = database
        self._login_life = timedelta(seconds=login_life)

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

    async def last_seen(self, user_ids: Collection[str]) -> dict[str, float]:
        """When these users were here last, Unix seconds: then or later. Who is missing is unknown.

        Raises:
            Unavailable: the database is away.
        """

        def find(session: Session) -> dict[str, datetime]:
            return last_seen(session, user_ids, self._login_life)

        found = await self._database.read(find)
        return {user_id: moment.timestamp() for user_id, moment in found.items()}

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
