"""REGISTER_WEBPUSH and REGISTER_FCM: a device wants copies beside its socket.

    not configured      Complaint: nobody could bring them
    leads inside        BadInput: the endpoint is written as an address that is not public (again judged at each call)
    as it was           its keys are replaced, what it has had stays had

Source: spec/mpush.md 11.2; appmodel/core/outward.py.
"""

import msgspec

from appmodel.core.lightpush_records import Hidden
from appmodel.core.mpush_commands import Complaint, RegisterFcm, RegisterWebPush
from appmodel.core.mpush_keys import MpushKeys
from appmodel.core.mpush_stores import Receiver, ReceiverKind, Receivers
from appmodel.core.outward import Outward, parse_url

_json = msgspec.json.Encoder().encode


class Registering:
    """Keeps receivers that devices name themselves."""

    def __init__(self, receivers: Receivers, keys: MpushKeys, outward: Outward) -> None:
        """`outward`: where push services may be."""
        self._receivers, self._keys, self._outward = receivers, keys, outward

    async def register(
        self, name: str, command: RegisterWebPush | RegisterFcm, *, cursor: int, now: float
    ) -> None:
        """Copies of what is pushed to the device `name` after `cursor`.

        Args:
            now: Unix seconds.

        Raises:
            Complaint: not configured.
            BadInput: the endpoint may not be called.
            LimitReached, NotFound, Unavailable, OutcomeUnknown: see Receivers.add.
        """
        kind, address, secrets = self._read(command)
        if not (await self._keys.public()).serve(kind):
            raise Complaint(f"{kind.value}: not configured on this server")
        at = round(now * 1000)
        receiver = Receiver(name, kind, address, Hidden(secrets), at)
        await self._receivers.add(receiver, cursor=cursor, now=at)

    def _read(self, command: RegisterWebPush | RegisterFcm) -> tuple[ReceiverKind, str, str]:
        if isinstance(command, RegisterFcm):
            return ReceiverKind.FCM, command.token, ""
        self._outward.check(parse_url(command.endpoint, "endpoint"), "endpoint")
        return ReceiverKind.WEBPUSH, command.endpoint, _json(command.keys).decode()
