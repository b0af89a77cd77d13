"""The two doors through which native clients come in: a WebSocket handshake, and the TCP request."""

import functools

import trio

from appmodel.core.origins import Origins
from appmodel.errors import BadInput, RemoteProtocolError
from appmodel.io.wire import Wire
from appmodel.protocol.http import Request, Response, Route
from comet.io.reception import Asked, Reception
from comet.protocol.gopush_tcp import MAX_ARGUMENTS, RequestReader, TcpDialect
from comet.protocol.gopush_ws import WsDialect, upgrade

READ = 4096  # bytes a read of a request

# One dialect object for all connections that speak it, not one a connection.
_tcp_dialect = functools.lru_cache(maxsize=3)(lambda version: TcpDialect(version=version))


class WebSocketDoor:
    """`GET /sub`: the parameters are judged after the upgrade, as in the original."""

    def __init__(self, reception: Reception, *, origins: Origins, max_message: int) -> None:
        self._reception = reception
        self._origins = origins
        self._dialects = {
            version: WsDialect(version=version, limit=max_message) for version in ("", "1", "2")
        }

    @property
    def route(self) -> Route:
        """For the front door of the listener."""
        return Route(method="GET", path="/sub", handler=self.handle)

    async def handle(self, request: Request) -> Response:
        """101, and then the subscription; or what the original's library answers.

        Raises:
            Forbidden: a page of another site asks (S8); the front door makes it a 403.
        """
        response = upgrade(request)
        if response.status == 101:
            self._origins.check(request.headers)
            response.takeover = functools.partial(self._take, request)
        return response

    async def _take(self, request: Request, wire: Wire, rest: bytes) -> None:
        try:
            query = request.query
        except BadInput:
            query = {}  # the key is missing then: `-p`
        version = query.get("ver", "")
        asked = Asked(
            key=query.get("key", ""),
            heartbeat=query.get("heartbeat", ""),
            ticket=query.get("token", ""),
            version=version,
            last_id=query.get("mid", ""),
        )
        await self._reception.receive(wire, asked, self._dialects[_known(version)], rest)


class TcpDoor:
    """`*3\\r\\n$3\\r\\nsub...`: the whole request within its time, from accept or the end of TLS."""

    def __init__(self, reception: Reception, *, timeout: float) -> None:
        self._reception = reception
        self._timeout = timeout  # seconds

    async def handle(self, wire: Wire) -> None:
        """Serve one connection until it is a subscriber or refused."""
        try:
            with trio.fail_after(self._timeout):
                arguments, rest = await _read_request(wire)
        except (RemoteProtocolError, trio.TooSlowError):
            await wire.aclose()
            return
        command, key, heartbeat, ticket, version, last_id = _texts(arguments)
        if command != "sub":
            key = ""  # an unknown command is answered like a bad parameter
        asked = Asked(key=key, heartbeat=heartbeat, ticket=ticket, version=version, last_id=last_id)
        await self._reception.receive(wire, asked, _tcp_dialect(_known(version)), rest)


async def _read_request(wire: Wire) -> tuple[list[bytes], bytes]:
    reader = RequestReader()
    while True:
        data = await wire.receive_some(READ)
        if not data:
            raise RemoteProtocolError("closed before the request was complete")
        request = reader.receive_data(data)
        if request is not None:
            return request.arguments, request.rest


def _texts(arguments: list[bytes]) -> list[str]:
    """All six, as text; what is absent or not UTF-8 is empty."""
    try:
        texts = [argument.decode() for argument in arguments]
    except UnicodeDecodeError:
        texts = []
    return texts + [""] * (MAX_ARGUMENTS - len(texts))


def _known(version: str) -> str:
    """Only emptiness and 2 matter; any other version is the original's new envelope."""
    return version if version in {"", "2"} else "1"
