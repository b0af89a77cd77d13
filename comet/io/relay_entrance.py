"""Where requests for our sessions come in that landed on other comets: a front door behind tunnels.

It serves the same door of Engine.IO as our listener, but for two things: the client's address and whether
it came over TLS are those that the other comet tells, and what is not here is relayed no further.
"""

from functools import partial
from typing import Protocol

import msgspec
import trio

from appmodel.core.units import Size
from appmodel.errors import PushError
from appmodel.io.http import FrontDoor
from appmodel.io.http_limits import HttpLimits
from appmodel.io.wire import Wire
from appmodel.protocol.http import Handler, Request, Response, Route
from comet.protocol.relaying import read_client

# beside what the other comet has let in already, what it adds must fit
LIMITS = HttpLimits(max_head=Size(34 * 1024), max_headers=110)


class Door(Protocol):
    """What answers the requests: `EngineDoor`."""

    @property
    def routes(self) -> list[Route]: ...

    def render(self, error: PushError, request: Request, /) -> Response: ...


class RelayEntrance:
    """One a comet; `run` must be running."""

    def __init__(self, door: Door) -> None:
        """`door`: one that relays nothing."""
        routes = [_believing(route) for route in door.routes]
        self._front = FrontDoor(routes, limits=LIMITS, render_error=door.render)

    async def run(self, stop: trio.Event) -> None:
        """Serve until `stop` is set and what had begun has ended."""
        await self._front.serve([], stop=stop)

    async def take(self, wire: Wire) -> None:
        """A tunnel of another comet, to its end, or until it carries a WebSocket."""
        await self._front.take(wire)


def _believing(route: Route) -> Route:
    return msgspec.structs.replace(route, handler=partial(_handle, route.handler))


async def _handle(handler: Handler, request: Request) -> Response:
    """With the client's address instead of the other comet's."""
    address, secure = read_client(request.headers)
    return await handler(msgspec.structs.replace(request, peer=address, secure=secure))
