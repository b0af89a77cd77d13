"""How a device logs in: its owner hears of it, the newest connection wins, and what it has acknowledged is read.

    0  a device that logs in again and again waits for its turn
    1  open its channel, tell the owner of its key       from now on nothing that is pushed is missed
    2  take its claim                                    whoever had it is ousted, wherever it is
    3  join the channel                                  at once, so that nobody sees it offline between the two
    4  let the owner see that it is online, register     whoever pushes after LOGIN is not told `offline`; what is
       it, and read what it has acknowledged             pushed meanwhile waits in the store
    5  LOGIN or AUTH 200, then the messages              so no message comes before it

Whatever fails, or is cancelled, leaves nothing behind: the connection is hung up on, and with it goes its claim.

Source: spec/mpush.md sections 5 and 11.4; section 12: 9, 10 (which connection is meant is told by its identity).
"""

from collections.abc import Callable

import structlog
import trio

from appmodel.core.mpush import device_key
from appmodel.core.mpush_stores import AckState, Devices
from appmodel.core.names import Key
from appmodel.core.revocations import Revocations
from appmodel.core.throttle import Throttle
from comet.core.hub import Hub
from comet.io.claims import ClusterClaims
from comet.io.entrance import Entrance
from comet.io.mpush_acks import AckWriter
from comet.io.mpush_session import MpushSession

log = structlog.get_logger("comet")


class Login:
    """One a comet."""

    def __init__(
        self,
        *,
        hub: Hub,
        entrance: Entrance,
        claims: ClusterClaims,
        devices: Devices,
        acks: AckWriter,
        turns: Throttle,
        revocations: Revocations,
        now: Callable[[], float],
    ) -> None:
        """`turns`: how often a device may log in. `now`: Unix seconds."""
        self._hub, self._entrance, self._claims = hub, entrance, claims
        self._devices, self._acks, self._turns, self._now = devices, acks, turns, now
        self._revocations = revocations
        self.here: dict[Key, MpushSession] = {}  # who is logged in, or about to be

    async def begin(self, session: MpushSession, name: str, group: str | None) -> AckState | None:
        """Make `session` the device's only connection; None: it has gone, or a newer one has come.

        Args:
            name: checked.
            group: see `Devices.register`.

        Raises:
            PushError: it cannot be registered; the caller hangs up.
        """
        if not await self._turn(session, name):
            return None
        key = device_key(name)
        channels = self._entrance.open([key])
        try:
            await self._entrance.make_ready(channels)
            if not self._may_enter(session, key):
                return None
            if not await self._claims.take(key, session):
                session.leave("another connection has its device")
                return None
            if not self._may_enter(session, key):  # while its claim was granted
                self._claims.release(key, session)
                return None
            channel = channels.pop()
            session.channel, session.device = channel, name
            self.here[key] = session
            self._hub.join(channel, session)
        finally:
            self._entrance.abandon(channels)
        await self._entrance.announce(channel)
        state = await self._devices.register(name, group=group, now=round(self._now() * 1000))
        return None if _has_gone(session) else self._acks.merged(name, state)

    async def _turn(self, session: MpushSession, name: str) -> bool:
        """Two that have one name oust each other for ever: at a pace. False: it has gone meanwhile."""
        while pause := self._turns.pause(name, trio.current_time()):
            await trio.sleep(pause)
            if _has_gone(session):
                return False
        self._turns.take(name, trio.current_time(), what="login")
        return True

    def _may_enter(self, session: MpushSession, key: Key) -> bool:
        """Whether it is still there, and its token good: who revokes one looks for those who have come in."""
        assert session.grant is not None, "it has shown a token"
        session.ticket = session.grant.ticket(key)
        if session.ticket is not None and self._revocations.voids(session.ticket):
            session.leave("token revoked")
        return not _has_gone(session)

    def end(self, session: MpushSession) -> None:
        """It is the device's connection no more. Nothing happens if it was none."""
        if not session.device:
            return
        key = session.channel.key
        self._hub.leave(session.channel, session)
        self._claims.release(key, session)
        if self.here.get(key) is session:
            del self.here[key]
        session.device, session.delivery = "", None


def _has_gone(session: MpushSession) -> bool:
    """Asked again after each wait."""
    return not session.is_open
