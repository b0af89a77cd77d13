"""The JSON commands of version 2.2 over HTTP: what they do.

    AUTH                        the token is checked, the device is there from now on; `auth` proves its next calls
    MESSAGE                     a push, answered as `name.send` is; `auth` says from whom it is
    MESSAGE_CALLBACK            acknowledged: the caller that waits hears it, the socket gets it no more
    MESSAGE_WEBPUSH_CALLBACK    nothing is left to do: a copy was brought when its push service took it
    REGISTER_FCM                copies for this phone from now on
    TEST_HTTP                   nothing

Source: spec/mpush.md 11.5. Differences: an acknowledgement counts for the socket, too (11.7); `auth` is a signed text that
ends; it says who calls, and does not allow to push: a token does.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any

from appmodel.core.interfaces import OfflineStore
from appmodel.core.mpush import Sender, check_name, device_key, id_of
from appmodel.core.mpush_auth import Bearer, MpushAuth
from appmodel.core.mpush_stores import AckBook, AckNews, Devices, Receiver, ReceiverKind, Receivers
from appmodel.core.mpush_tokens import Grant, MpushGate, Right, as_group
from appmodel.core.mpush_waits import Awaited, MpushWaits
from appmodel.errors import BadInput, Forbidden, Unauthorized
from appmodel.protocol.http import Response
from web.api.mpush_frame import JSON, Call, confirm
from web.api.mpush_pushes import ANONYMOUS, MpushPushes, token_name
from web.core.mpush_commands import (
    Login,
    Told,
    login_answer,
    login_refused,
    read_login,
    read_message,
    read_mid,
    unknown,
)
from web.core.mpush_paths import Aim, Wanted
from web.core.mpush_states import info
from web.services.mpush_pushing import MpushPushing

NO_KEYS = {"fcmProjectId": "", "fcmApplicationId": "", "fcmApiKey": ""}

Data = Mapping[str, Any]


class MpushCommands:
    """The part that obeys."""

    def __init__(
        self,
        pushes: MpushPushes,
        pushing: MpushPushing,
        gate: MpushGate,
        auth: MpushAuth,
        devices: Devices,
        acks: AckBook,
        receivers: Receivers,
        waits: MpushWaits,
        store: Callable[[], OfflineStore],
        *,
        keys: Mapping[str, str],
        kinds: frozenset[ReceiverKind],
    ) -> None:
        """
        Args:
            keys: of push services, which a device needs to subscribe there.
            kinds: receivers that this node can bring copies to.
        """
        self._pushes, self._pushing = pushes, pushing
        self._gate, self._auth = gate, auth
        self._devices, self._acks, self._receivers = devices, acks, receivers
        self._waits, self._store = waits, store
        self._keys, self._kinds = {**NO_KEYS, **keys}, kinds

    async def obey(self, call: Call) -> Response:
        """Whatever it is. Raises PushError."""
        command, data = call.fields.get("cmd"), call.fields.get("data")
        told: Data = data if isinstance(data, dict) else {}
        match command:
            case "AUTH":
                return await self._log_in(told)
            case "MESSAGE":
                return await self._push(call, told)
            case "MESSAGE_CALLBACK":
                return await self._acknowledge(self._bearer(call), told)
            case "MESSAGE_WEBPUSH_CALLBACK":
                self._bearer(call)
                read_mid(told)
                return _info("ok")
            case "REGISTER_FCM":
                return await self._register(self._bearer(call), told)
            case "TEST_HTTP":
                return Response(headers=[JSON])
        raise unknown(command)

    async def _log_in(self, data: Data) -> Response:
        login = read_login(data)
        name, group = check_name(login.name), login.group
        if group:
            check_name(group, field="group")
        try:
            _check_login(self._gate.grant(login.token), login)
        except (Unauthorized, Forbidden):
            return Response(headers=[JSON], body=login_refused())
        now = time.time()
        await self._devices.register(name, group=group, now=round(now * 1000))
        auth = self._auth.issue(name, group, now=now)
        return Response(headers=[JSON], body=login_answer(auth, self._keys))

    async def _push(self, call: Call, data: Data) -> Response:
        grant = call.grant(Right.PUBLISH)
        sender = grant.subject or ANONYMOUS
        if call.fields.get("auth"):
            sender = self._bearer(call).name
        message = read_message(data)
        target = message.target
        targets = await self._pushing.meant(Aim(Wanted.PUSH, target.name, (target,)))
        confirm(grant, Right.PUBLISH, map(token_name, targets))
        return await self._pushes.push_2(targets, message.body, Sender("http", sender))

    async def _acknowledge(self, device: Bearer, data: Data) -> Response:
        mid = read_mid(data)
        message_id = id_of(mid)
        if not message_id:
            raise BadInput("mid", mid, "13 digits, as MESSAGE has them")
        await self._acks.acknowledge([AckNews(device.name, done=(message_id,))])
        await self._waits.note([Awaited(device_key(device.name), message_id)])
        return _info("ok")

    async def _register(self, device: Bearer, data: Data) -> Response:
        address = data.get("token")
        if not isinstance(address, str) or not address:
            raise Told("token property is required")
        if ReceiverKind.FCM not in self._kinds:
            raise Told("fcm: not configured on this server")
        now = round(time.time() * 1000)
        [newest] = await self._store().marks([device_key(device.name)])
        receiver = Receiver(device.name, ReceiverKind.FCM, address, created_at=now)
        await self._receivers.add(receiver, cursor=newest, now=now)
        return _info("ok")

    def _bearer(self, call: Call) -> Bearer:
        auth = call.fields.get("auth")
        if not isinstance(auth, str) or not auth:
            raise Unauthorized("must need auth: the text that AUTH gave")
        return self._auth.check(auth, now=time.time())


def _check_login(grant: Grant, login: Login) -> None:
    """Raises Forbidden."""
    confirm(grant, Right.CONNECT, [login.name, *([as_group(login.group)] if login.group else [])])


def _info(text: str) -> Response:
    return Response(headers=[JSON], body=info(text))
