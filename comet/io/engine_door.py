"""The door of Engine.IO: handshakes, polls, posts and upgrades, and who may not come in.

    GET  /socket.io/?EIO=4&transport=polling              a session, its open packet is the answer
    GET  ...&transport=websocket    with Upgrade          the same on a WebSocket
    GET  ...&transport=polling&sid=S                      a poll
    POST ...&transport=polling&sid=S                      packets: `ok`
    GET  ...&transport=websocket&sid=S   with Upgrade     an upgrade: 101, then the probe

Pages: an allowed Origin is echoed, with credentials; by default any, as the originals do: who may come in
is decided by what the client says, not by where its page is from. Where a back end trusts the cookie that it
is shown, list the origins. A WebSocket for a session that is upgraded, or is being so, is closed behind
its 101.

Source: engine.io 6 lib/server.ts and 3.4 lib/server.js, lib/transports/polling-xhr.js; `EIO` that is
missing means 3 there, and so here, but any other text than 3 and 4 is refused.
"""

import re
from collections.abc import Awaitable, Callable
from functools import partial

import structlog
import trio

from appmodel.core.origins import Origins
from appmodel.errors import BadInput, Forbidden, PushError, TooLarge
from appmodel.io.wire import Wire
from appmodel.protocol.http import Request, Response, Route
from comet.core.transport import Handshake
from comet.io.engine import Engine
from comet.io.engine_polls import Asked, Polls
from comet.io.engine_refusals import (
    BAD_METHOD,
    BAD_REQUEST,
    BAD_REVISION,
    FORBIDDEN,
    UNKNOWN_SID,
    UNKNOWN_TRANSPORT,
    Refusal,
    refuse,
)
from comet.io.engine_session import CLOSE, Session
from comet.io.engine_socket import EngineSocket
from comet.io.line import set_buffers
from comet.protocol.engineio import Packet, decode_payload, form_payload
from comet.protocol.gopush_ws import upgrade
from comet.protocol.native import TRY_LATER
from comet.protocol.websocket import NORMAL, close_frame

log = structlog.get_logger("comet")

_HEADER_NAMES = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~, -]{1,500}")
_NUMBER = re.compile("[0-9]{1,10}")

Elsewhere = Callable[[Request, str], Awaitable[Response | None]]


class EngineDoor:
    """One a comet. Its routes are for a front door that renders errors with `render`."""

    def __init__(self, engine: Engine, *, origins: Origins) -> None:
        self._engine = engine
        self._origins = origins
        # asked for a sid that is not here: its answer, or None if it is nowhere
        self.elsewhere: Elsewhere | None = None

    @property
    def routes(self) -> list[Route]:
        """Every method at the path: a wrong one is told so as Engine.IO does."""
        path = self._engine.config.path
        others = ("GET", "OPTIONS", "PUT", "PATCH", "DELETE")
        return [
            Route(method="POST", path=path, handler=self.handle, streams=True),
            *(Route(method=name, path=path, handler=self.handle, max_body=0) for name in others),
        ]

    async def handle(self, request: Request) -> Response:
        """Any request at the path."""
        cors = _cors(request)
        try:
            self._check_page(request)
            if request.method == "OPTIONS":
                return _preflight(request, cors)
            return await self._serve(request, cors)
        except Refusal as refusal:
            return refuse(refusal, [] if refusal.number == FORBIDDEN else cors)

    def render(self, error: PushError, request: Request) -> Response:
        """Whatever else is refused, in the same form."""
        return refuse(Refusal(BAD_REQUEST, status=error.status), _cors(request))

    async def _serve(self, request: Request, cors: list[tuple[str, str]]) -> Response:
        try:
            query = request.query
        except BadInput:
            raise Refusal(BAD_REQUEST) from None
        if "j" in query:
            self._check_script(request)
        transport = query.get("transport", "")
        if transport not in self._engine.config.transports:
            raise Refusal(UNKNOWN_TRANSPORT)
        sid = query.get("sid", "")
        session = self._find(sid) if sid else None
        if sid and session is None:
            response = await self.elsewhere(request, sid) if self.elsewhere else None
            if response is None:
                raise Refusal(UNKNOWN_SID)
            return response
        if "upgrade" in request.headers or transport == "websocket":
            return self._upgrade(request, session)
        asked = Asked(cors, _callback(query))
        if session is None:
            return await self._begin_polling(request, asked)
        if not isinstance(session.carrier, Polls):
            raise Refusal(BAD_REQUEST)
        if request.method == "POST":
            return await self._post(request, session.carrier, asked)
        if request.method != "GET":
            raise Refusal(BAD_REQUEST)
        return await session.carrier.poll(asked)

    def _find(self, sid: str) -> Session | None:
        session = self._engine.sessions.get(sid)
        if session is not None:
            session.expire_if_overdue(trio.current_time())
        return self._engine.sessions.get(sid)

    # Polling

    async def _begin_polling(self, request: Request, asked: Asked) -> Response:
        handshake = self._handshake(request)
        if not self._enter(handshake.address):
            raise Refusal(BAD_REQUEST, "Try again later", status=503)
        session = Session(self._engine, handshake)
        polls = Polls(session)
        session.start(polls, polling=True)
        response = await polls.poll(asked)
        response.headers = [*response.headers, *self._cookie(session.sid, request)]
        return response

    async def _post(self, request: Request, polls: Polls, asked: Asked) -> Response:
        """Packets of the client. Whatever is wrong with them ends the session."""
        session = polls.session
        session.note_life()
        if polls.is_posting or not session.is_open:
            session.fail("protocol: two posts at once")
            raise Refusal(BAD_REQUEST)
        polls.is_posting = True
        try:
            self._check_length(request)
            async with self._engine.bodies.read(request) as body:
                packets = self._decode(body, request, session, asked)
        except PushError as error:
            session.fail(f"protocol: {error}")
            raise _refusal(error) from None
        except BaseException:
            session.fail("connection lost")  # in the middle of a post
            raise
        finally:
            polls.is_posting = False
        if session.carrier is not polls or not session.is_open:  # it changed while the post came
            raise Refusal(BAD_REQUEST)
        if CLOSE in packets:
            await polls.expect_poll()
        for packet in packets:
            session.take(packet)
        # text/html, as the originals: some browsers offer text/plain for download
        return Response(headers=[("Content-Type", "text/html"), *asked.headers], body=b"ok")

    def _check_length(self, request: Request) -> None:
        """What says that it is too long is not read."""
        limit = self._engine.config.max_payload
        if int(request.headers.get("content-length", 0)) > limit:
            raise TooLarge(f"post: over {limit} bytes")

    def _decode(
        self, body: bytes, request: Request, session: Session, asked: Asked
    ) -> list[Packet]:
        revision, most = session.handshake.revision, self._engine.config.max_payload
        if len(body) > most:
            raise TooLarge(f"post: over {most} bytes")
        if asked.jsonp and revision == 3:
            body = form_payload(body)
        binary = request.headers.get("content-type") == "application/octet-stream"
        limit = self._engine.config.packets_per_second
        return decode_payload(body, revision, limit=limit, binary=binary)

    # WebSocket

    def _upgrade(self, request: Request, session: Session | None) -> Response:
        if request.query.get("transport") != "websocket" or "upgrade" not in request.headers:
            raise Refusal(BAD_REQUEST)
        take = (
            partial(self._probe, session)
            if session
            else partial(self._carry, self._handshake(request))
        )
        response = upgrade(request)
        if response.status != 101:
            raise Refusal(BAD_REQUEST)
        response.takeover = take
        return response

    async def _carry(self, handshake: Handshake, wire: Wire, rest: bytes) -> None:
        """A session that begins on a WebSocket."""
        if not self._enter(handshake.address):
            await self._hang_up(wire, close_frame(*TRY_LATER))
            return
        session = Session(self._engine, handshake)
        if not self._start(EngineSocket(wire.detach(), session, polls=None), rest):
            self._engine.live.gate.leave(handshake.address)

    async def _probe(self, session: Session, wire: Wire, rest: bytes) -> None:
        """A WebSocket to which a session may move."""
        polls = session.carrier
        if isinstance(polls, Polls) and polls.probe is None and session.is_open:
            self._start(EngineSocket(wire.detach(), session, polls=polls), rest)
        else:
            await self._hang_up(wire, close_frame(NORMAL))

    def _start(self, line: EngineSocket, rest: bytes) -> bool:
        try:
            set_buffers(line.socket, self._engine.live.config)
            line.start(rest)
        except OSError as error:
            log.warning("not watched", error=str(error))
            line.socket.close()
            return False
        return True

    async def _hang_up(self, wire: Wire, goodbye: bytes) -> None:
        patience = self._engine.live.config.goodbye_timeout
        with trio.move_on_after(patience):
            await wire.send_all(goodbye)
        await wire.aclose(linger=patience)

    # Who may

    def _check_page(self, request: Request) -> None:
        try:
            self._origins.check(request.headers)
        except Forbidden:
            raise Refusal(FORBIDDEN) from None

    def _check_script(self, request: Request) -> None:
        """JSONP comes without an Origin: browsers tell otherwise where a page includes a script from."""
        foreign = request.headers.get("sec-fetch-site") == "cross-site"
        if foreign and "*" not in self._engine.config.origins:
            raise Refusal(FORBIDDEN)

    def _handshake(self, request: Request) -> Handshake:
        if request.method != "GET":
            raise Refusal(BAD_METHOD)
        return Handshake(
            revision=self._revision(request.query.get("EIO")),
            query_string=request.query_string,
            cookie=request.headers.get("cookie", ""),
            address=request.peer,
            origin=request.headers.get("origin", ""),
            secure=request.secure,
        )

    def _revision(self, said: str | None) -> int:
        config = self._engine.config
        revision = {"3": 3, "4": 4, None: 0 if config.revision_required else 3}.get(said, 0)
        if revision not in config.revisions:
            raise Refusal(BAD_REVISION)
        return revision

    def _enter(self, address: str) -> bool:
        """Take a place at the gate, which the session gives back."""
        gate = self._engine.live.gate
        if self._engine.is_draining():
            gate.refused["draining"] += 1
            return False
        return gate.enter(address, trio.current_time()) is None

    def _cookie(self, sid: str, request: Request) -> list[tuple[str, str]]:
        config = self._engine.config
        if not config.cookie:
            return []
        text = f"{config.cookie}={sid}; Path=/; HttpOnly; SameSite={config.same_site.title()}"
        if request.secure:
            text += "; Secure"
        return [("Set-Cookie", text)]


def _refusal(error: PushError) -> Refusal:
    """Of a post, by what was wrong with it."""
    return Refusal(BAD_REQUEST, status=error.status if error.status in {408, 413, 503} else 400)


def _cors(request: Request) -> list[tuple[str, str]]:
    """What lets the page read the answer."""
    origin = request.headers.get("origin")
    if origin is None:
        return [("Access-Control-Allow-Origin", "*")]
    return [
        ("Access-Control-Allow-Origin", origin),
        ("Access-Control-Allow-Credentials", "true"),
        ("Vary", "Origin"),
    ]


def _preflight(request: Request, cors: list[tuple[str, str]]) -> Response:
    headers = [*cors, ("Access-Control-Allow-Methods", "GET, POST")]
    wanted = request.headers.get("access-control-request-headers", "")
    if _HEADER_NAMES.fullmatch(wanted):
        headers.append(("Access-Control-Allow-Headers", wanted))
    headers.append(("Access-Control-Max-Age", "600"))
    return Response(status=204, headers=headers)


def _callback(query: dict[str, str]) -> str:
    """The number of a JSONP callback; empty: none is wanted."""
    number = query.get("j", "")
    if number and not _NUMBER.fullmatch(number):
        raise Refusal(BAD_REQUEST)
    return number
