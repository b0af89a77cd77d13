"""The JSON commands of version 2.2 over HTTP: what they do.

    AUTH                        the token is checked, the device is there from now on; `auth` proves its next calls
    MESSAGE                     a push, answered as `name.send` is; `auth` says from whom it is
    MESSAGE_CALLBACK            acknowledged: the caller that waits hears it, the socket gets it no more
    MESSAGE_WEBPUSH_CALLBACK    the browser got its copy: the caller that waits hears `webpush-ok`
    REGISTER_FCM                copies by FCM of what is pushed from now on; a new token is one more, dead ones go by themselves
    TEST_HTTP                   nothing

Source: spec/mpush.md 11.5. Differences: an acknowledgement counts for the socket, too (11.7); `auth` is a signed text that
ends; it says who calls, and does not allow to push: a token does.
"""

import time

from appmodel.core.mpush import Sender, check_name, device_key
from appmodel.core.mpush_auth import Bearer, MpushAuth
from appmodel.core.mpush_commands import (
    Acknowledge,
    Auth,
    Complaint,
    RegisterFcm,
    Send,
    read,
)
from appmodel.core.mpush_steps import Step, step
from appmodel.core.mpush_stores import AckNews
from appmodel.core.mpush_tokens import Right, as_group
from appmodel.core.mpush_waits import Awaited, MpushWaits
from appmodel.errors import Forbidden, Unauthorized
from appmodel.protocol.http import Response
from appmodel.runtime.mpush import MpushBooks
from web.api.mpush_frame import JSON, Call, confirm
from web.api.mpush_pushes import ANONYMOUS, MpushPushes, token_name
from web.core.mpush_frames import REFUSED, admitted, info
from web.core.mpush_paths import Aim, Target, Wanted
from web.core.mpush_reading import Edge
from web.services.mpush_access import MpushAccess
from web.services.mpush_pushing import MpushPushing
from web.services.mpush_reading import MpushReading

TEST = "TEST_HTTP"


class MpushCommands:
    """The part that obeys."""

    def __init__(
        self,
        pushes: MpushPushes,
        pushing: MpushPushing,
        reading: MpushReading,
        access: MpushAccess,
        auth: MpushAuth,
        books: MpushBooks,
        waits: MpushWaits,
    ) -> None:
        self._pushes, self._pushing, self._reading = pushes, pushing, reading
        self._access, self._auth = access, auth
        self._books, self._waits = books, waits

    async def obey(self, call: Call) -> Response:
        """Whatever it is. Raises PushError."""
        if call.fields.get("cmd") == TEST:
            return Response(headers=[JSON])
        command = read(call.fields)
        match command:
            case Auth():
                return await self._log_in(call, command)
            case Send():
                return await self._push(call, command)
            case Acknowledge():
                return await self._acknowledge(self._bearer(call), command)
            case RegisterFcm():
                return await self._register(self._bearer(call), command)
        raise Complaint(f"Unknow cmd: {call.fields['cmd']}: over a WebSocket only")

    async def _log_in(self, call: Call, asked: Auth) -> Response:
        name, group = check_name(asked.name), asked.group
        names = [name, *([as_group(check_name(group, field="group"))] if group else [])]
        try:
            grant = self._access.grant(call.request, asked.token)
            confirm(grant, Right.CONNECT, names)
        except (Unauthorized, Forbidden):
            return Response(headers=[JSON], body=REFUSED)
        now = time.time()
        await self._books.devices.register(name, group=group, now=round(now * 1000))
        auth = self._auth.issue(name, group, now=now, grant=grant)
        return Response(headers=[JSON], body=admitted(auth, await self._books.keys.public()))

    async def _register(self, device: Bearer, asked: RegisterFcm) -> Response:
        newest = await self._reading.cursor(
            device.name, Edge.END
        )  # its ids may be ahead of any clock
        await self._books.registering.register(device.name, asked, cursor=newest, now=time.time())
        return _info("ok")

    async def _push(self, call: Call, send: Send) -> Response:
        grant = call.grant(Right.PUBLISH)
        sender = grant.subject or ANONYMOUS
        if call.fields.get("auth"):
            sender = self._bearer(call).name
        target = Target(send.target, send.is_group)
        targets = await self._pushing.meant(Aim(Wanted.PUSH, send.target, (target,)))
        confirm(grant, Right.PUBLISH, map(token_name, targets))
        return await self._pushes.push_2(targets, send.body(Sender("http", sender)))

    async def _acknowledge(self, device: Bearer, done: Acknowledge) -> Response:
        if not done.id:
            raise Complaint("mid property must be 13 digits, as MESSAGE has them")
        if done.by_webpush:
            await self._waits.note([step(device.name, Step.WEBPUSH_SHOWN, done.id)])
        else:
            await self._books.acks.acknowledge([AckNews(device.name, done=(done.id,))])
            await self._waits.note([Awaited(device_key(device.name), done.id)])
        return _info("ok")

    def _bearer(self, call: Call) -> Bearer:
        auth = call.fields.get("auth")
        if not isinstance(auth, str) or not auth:
            raise Unauthorized("must need auth: the text that AUTH gave")
        bearer = self._auth.check(auth, now=time.time())
        self._access.confirm_bearer(bearer)
        return bearer


def _info(text: str) -> Response:
    return Response(headers=[JSON], body=info(text))
