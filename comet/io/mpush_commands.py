"""What the commands of version 2.2 do.

    at once      MESSAGE_CALLBACK, PING, whatever is wrong (INFO), whatever comes before AUTH (401)
    in order     AUTH, REGISTER_*, UNREGISTER: what comes behind waits for their end
    beside it    MESSAGE: its answer comes when it is known; a few of one device at the same time

An acknowledgement counts only for the message at the head: one that is late or double changes nothing. A second AUTH
makes the connection that of the device which it names. Errors are INFO, and the connection stays open.

Source: spec/mpush.md 11.2 to 11.4 and 11.7.
"""

from collections.abc import Callable
from functools import partial

import structlog
import trio

from appmodel.core.interfaces import OfflineStore
from appmodel.core.mpush import check_name, device_key
from appmodel.core.mpush_auth import MpushAuth
from appmodel.core.mpush_commands import (
    Acknowledge,
    Auth,
    Complaint,
    Ping,
    RegisterFcm,
    RegisterWebPush,
    Send,
    parse,
)
from appmodel.core.mpush_keys import MpushKeys
from appmodel.core.mpush_registering import Registering
from appmodel.core.mpush_stores import Devices
from appmodel.core.mpush_tokens import Grant, Right, as_group
from appmodel.core.mpush_tries import TokenTries
from appmodel.errors import PushError, Unauthorized
from comet.io.mpush_delivery import Delivery
from comet.io.mpush_login import Login
from comet.io.mpush_pushing import Pushing
from comet.io.mpush_session import Job, MpushSession
from comet.protocol.mpush import TOKEN_INVALID
from comet.protocol.mpush_v2 import (
    PONG,
    UNAUTHENTICATED,
    V2Dialect,
    auth_frame,
    info_frame,
    reply_frame,
)

log = structlog.get_logger("comet")


class Commands:
    """Of one comet."""

    def __init__(
        self,
        *,
        tries: TokenTries,
        auth: MpushAuth,
        keys: MpushKeys,
        login: Login,
        pushing: Pushing,
        devices: Devices,
        registering: Registering,
        store: OfflineStore,
        pushes_at_once: int,
        now: Callable[[], float],
    ) -> None:
        """`pushes_at_once`: of one connection. `now`: Unix seconds."""
        self._tries, self._auth, self._keys = tries, auth, keys
        self._login, self._pushing = login, pushing
        self._devices, self._registering, self._store = devices, registering, store
        self._pushes_at_once, self._now = pushes_at_once, now

    def begin(self, session: MpushSession, text: str | None) -> Job | None:
        """Carry out what needs nothing to be waited for; else what is to be awaited. `text`: None = binary."""
        try:
            command = parse("{}" if text is None else text)
        except Complaint as complaint:
            session.offer(info_frame(str(complaint)))
            return None
        match command:
            case Auth():
                return partial(self._admit, session, command)
            case _ if not session.device:
                session.offer(UNAUTHENTICATED)
            case Acknowledge(message_id, by_webpush):
                if message_id is not None and by_webpush:
                    session.mpush.note_shown(session, message_id)
                elif message_id is not None:
                    session.acknowledge([message_id])
            case Ping():
                session.offer(PONG)
            case Send():
                self._begin_push(session, command)
            case RegisterWebPush() | RegisterFcm():
                return partial(self._register, session, command)
            case _:
                return partial(self._unregister, session)
        return None

    # AUTH

    async def _admit(self, session: MpushSession, asked: Auth) -> None:
        """In, or 403, and then it may try again."""
        if not await session.turn_for(asked.token):
            return
        try:
            grant = self._check(asked, session.origin)
        except Unauthorized:
            session.offer(TOKEN_INVALID)
            return
        except PushError as error:
            session.offer(info_frame(str(error)))
            return
        name, group = asked.name, asked.group
        session.log_out()
        session.let_in(grant)
        try:
            keys = await self._keys.public()
            state = await self._login.begin(session, name, group)
        except PushError as error:
            log.warning("mpush login failed", device=name, error=str(error))
            session.offer(info_frame(str(error)))
            session.leave("login failed")
            return
        if state is None:
            return
        session.dialect = V2Dialect(name)
        auth = self._auth.issue(name, group, now=self._now(), grant=grant)
        session.enter(Delivery(session, state, session.dialect, 1), auth_frame(auth, keys))

    def _check(self, asked: Auth, origin: str) -> Grant:
        """What its token allows: at least to be this device of this group. Raises Unauthorized, BadInput."""
        check_name(asked.name)
        grant = self._tries.grant(asked.token, origin, trio.current_time())
        if not grant.covers(Right.CONNECT, asked.name):
            raise Unauthorized("token: not for this device")
        if asked.group and not grant.covers(
            Right.CONNECT, as_group(check_name(asked.group, field="group"))
        ):
            raise Unauthorized("token: not for this group")
        return grant

    # MESSAGE

    def _begin_push(self, session: MpushSession, send: Send) -> None:
        if session.pushes >= self._pushes_at_once:
            session.offer(
                info_frame(f"MESSAGE: expected at most {self._pushes_at_once} at the same time")
            )
            return
        assert session.grant is not None, "a device is logged in"
        session.pushes += 1
        # who it is now: by the time that the task begins it may be another device, or none
        session.mpush.spawn(self._push, session, send, session.device, session.grant)

    async def _push(self, session: MpushSession, send: Send, sender: str, grant: Grant) -> None:
        try:
            mid, status = await self._pushing.push(send, sender, grant)
            session.offer(reply_frame(mid, status))
        except PushError as error:
            session.offer(info_frame(str(error)))
        finally:
            session.pushes -= 1

    # Receivers beside the socket, and the end of all

    async def _register(
        self, session: MpushSession, command: RegisterWebPush | RegisterFcm
    ) -> None:
        cursor = session.channel.cursor or 0  # copies are of what is pushed from now on
        try:
            await self._registering.register(
                session.device, command, cursor=cursor, now=self._now()
            )
        except PushError as error:
            session.offer(info_frame(str(error)))

    async def _unregister(self, session: MpushSession) -> None:
        name = session.device
        try:
            await self._store.delete(device_key(name))
            await self._devices.forget(name)
        except PushError as error:
            session.offer(info_frame(str(error)))
            return
        session.leave("unregistered")
