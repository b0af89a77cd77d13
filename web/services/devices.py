"""Devices of users that can be notified while they are away. Users keep their own."""

from collections.abc import Callable

from sqlalchemy.orm import Session

from appmodel.errors import NotFound
from appmodel.io.database import Database
from appmodel.orm import device_queries as queries
from appmodel.orm.device_queries import DeviceRow
from web.core.devices import Device, NewDevice, apns_token
from web.core.fields import known_id, text_of
from web.core.principals import UserCaller


class Devices:
    """The use cases."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def register(self, caller: UserCaller, wanted: NewDevice) -> Device:
        """A device is this user's now; it may be registered again and again.

        Raises:
            BadInput: a field.
        """
        address = wanted.address()
        keep = _keep(wanted, address, caller.uid)

        def register(session: Session) -> DeviceRow:
            keep(session)
            session.flush()
            mine = queries.devices_of(session, caller.uid)
            return next(one for one in mine if one.address == address)

        return _shown(await self._database.write(register))

    async def register_apns(self, caller: UserCaller, token: str, device_id: str) -> None:
        """An iOS device is this user's now. Without a device id it goes by its token, as in the original.

        Raises:
            BadInput: a field.
        """
        apns_token("apnsToken", token)
        device = text_of("baseRequest.deviceID", device_id, 255) or token
        await self._database.write(
            lambda session: queries.keep_apns_token(session, caller.uid, device, token)
        )

    async def forget_apns(self, caller: UserCaller, token: str) -> None:
        """This token is not the user's any more. It need not have been.

        Raises:
            BadInput: it can be none.
        """
        apns_token("apnsToken", token)
        await self._database.write(
            lambda session: queries.drop_apns_token(session, caller.uid, token)
        )

    async def of_user(self, caller: UserCaller) -> list[Device]:
        """All of the caller's."""
        rows = await self._database.read(lambda session: queries.devices_of(session, caller.uid))
        return [_shown(row) for row in rows]

    async def forget(self, caller: UserCaller, device: str) -> None:
        """Remove one. Raises NotFound."""
        known_id("device", device)
        drop = queries.drop_device
        if not await self._database.write(lambda session: drop(session, caller.uid, device)):
            raise NotFound(f"device: there is no {device!r}, or not for this caller")


def _keep(wanted: NewDevice, address: str, uid: str) -> Callable[[Session], None]:
    if wanted.provider == "apns":
        device = wanted.device_id or address
        return lambda session: queries.keep_apns_token(session, uid, device, address)
    provider, device = wanted.provider, wanted.device_id
    return lambda session: queries.keep_push_device(session, uid, provider, device, address)


def _shown(row: DeviceRow) -> Device:
    assert row.provider in {"apns", "fcm", "webpush"}
    return Device(row.id, row.provider, row.device_id)  # type: ignore[arg-type]  # as asserted
