"""The door of Mpush: any path becomes a WebSocket, and the WebSocket a session.

Source: spec/mpush.md section 2. Ours: pages of origins that are not listed are refused (by default all are allowed, as
in the original), and so are connections above the limits of the comet.
"""

from functools import partial

import structlog
import trio

from appmodel.core.addresses import Addresses
from appmodel.core.origins import Origins
from appmodel.io.wire import Wire
from appmodel.protocol.http import Request, Response
from comet.io.line import set_buffers
from comet.io.mpush import Mpush
from comet.io.mpush_session import MpushSession
from comet.protocol.mpush_upgrade import upgrade
from comet.protocol.websocket import close_frame

log = structlog.get_logger("comet")


class MpushDoor:
    """For a front door that has no routes: `otherwise` is `handle`."""

    def __init__(self, mpush: Mpush, *, origins: Origins, addresses: Addresses) -> None:
        self._mpush, self._origins, self._addresses = mpush, origins, addresses

    async def handle(self, request: Request) -> Response:
        """Any request.

        Raises:
            Forbidden: a page of a site that may not call; the front door makes it a 403.
        """
        await trio.lowlevel.checkpoint()
        response = upgrade(request)
        if response.status == 101:
            self._origins.check(request.headers)
            origin = self._addresses.origin_of(request)
            response.takeover = partial(self._take, request.peer, origin)
        return response

    async def _take(self, address: str, origin: str, wire: Wire, rest: bytes) -> None:
        """Begin a session, or hang up if there is no place for it."""
        gate = self._mpush.live.gate
        if self._mpush.is_draining or gate.enter(address, trio.current_time()) is not None:
            patience = self._mpush.live.config.goodbye_timeout
            with trio.move_on_after(patience):
                await wire.send_all(close_frame(None))
            await wire.aclose(linger=patience)
            return
        session = MpushSession(wire.detach(), address, origin, self._mpush)
        try:
            set_buffers(session.socket, self._mpush.live.config)
            self._mpush.sessions.add(session)
            session.start(rest)
        except OSError as error:
            log.warning("not watched", error=str(error))
            session.socket.close()
            self._mpush.closed(session)
