"""Public REST (8090): what a client asks before and beside its connection.

    GET /1/server/get?k=K&p=1|2[&cb=F]      {"data":{"server":"host:port"},"ret":0}
    GET /2/server/get?k=K&p=1|2[&cb=F]      {"data":{"server":["host:port",...]},"ret":0}
    GET /server/get?key=K&proto=..          the first, with "msg":"ok"
    GET /1/msg/get?k=K&m=M[&token=T]        {"data":{"msgs":[{"msg":..,"mid":N,"gid":0},...]},"ret":0}
    GET /msg/get?key=K&mid=M                {"data":{"msgs":["<old envelope>",..],"pmsgs":[]},"msg":"ok","ret":0}
    GET /1/time/get[?cb=F]                  {"data":{"timeid":<µs>},"ret":0}
    GET /time/get[?callback=F]              the same, with "msg":"ok"

Source: gopush-cluster web/handle.go, handle_1.0.go; spec/gopush.md 2.3. Differences: reading a key's
messages needs its ticket (S3: the key alone was enough); protocol 3 is 65534 and shows no internal
address (S10); the old time is in µs like every id (L18); a fetch returns all that is kept, however
much (L20), read page by page; `p` that is no number is refused before the node is looked up.
"""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial

import msgspec

from appmodel.core.message import Page
from appmodel.core.names import Key, parse_key
from appmodel.core.origins import Origins
from appmodel.errors import BadInput, NoNode, PushError, Unavailable
from appmodel.protocol.envelope import new_envelope, old_envelope, reply
from appmodel.protocol.http import Request, Response, Route
from web.api.replies import answer, callback_of, refusal
from web.core.numbers import signed
from web.services.callers import Callers
from web.services.reading import Reading

WEBSOCKET, TCP = 1, 2  # values of the protocol parameter


def _old_message(message_id: int, body: bytes) -> bytes:
    return msgspec.json.encode(old_envelope(message_id, body).decode())


@dataclass(frozen=True, slots=True)
class Form:
    """How one generation of paths spells its parameters and answers."""

    key: str
    protocol: str
    after: str
    callback: str
    msg: str | None  # a member of every answer, also of refusals
    message: Callable[[int, bytes], bytes]
    tail: bytes  # after a list of messages


NEW = Form("k", "p", "m", "cb", None, new_envelope, b']},"ret":0}')
OLD = Form(
    "key", "proto", "mid", "callback", "ok", _old_message, b'],"pmsgs":[]},"msg":"ok","ret":0}'
)
HEAD = b'{"data":{"msgs":['


class External:
    """The handlers, and how their listener says no."""

    def __init__(self, callers: Callers, origins: Origins, reading: Reading) -> None:
        self._callers = callers
        self._origins = origins
        self._reading = reading

    def routes(self) -> list[Route]:
        """All of 8090."""
        gets = {
            "/1/msg/get": partial(self._messages, NEW),
            "/msg/get": partial(self._messages, OLD),
            "/time/get": partial(self._time, OLD),
        }
        routes = [Route(method="GET", path=path, handler=handler) for path, handler in gets.items()]
        return self.lookup_routes() + routes + [self._preflight(path) for path in gets]

    def lookup_routes(self) -> list[Route]:
        """Where is my comet, and what time is it? Also for the demo page on its own listener."""
        gets = {
            "/1/server/get": partial(self._server, NEW, False),
            "/2/server/get": partial(self._server, NEW, True),
            "/server/get": partial(self._server, OLD, False),
            "/1/time/get": partial(self._time, NEW),
        }
        routes = [Route(method="GET", path=path, handler=handler) for path, handler in gets.items()]
        return routes + [self._preflight(path) for path in gets]

    def render_error(self, error: PushError, request: Request) -> Response:
        """The `render_error` of the listener: status 200 and a `ret`."""
        form = NEW if request.path[1:2].isdigit() else OLD
        try:
            callback = callback_of(request, form.callback)
        except BadInput:
            callback = ""
        response = refusal(error, callback=callback, msg=form.msg)
        response.headers += self._origins.cors(request.headers)
        return response

    async def _server(self, form: Form, every: bool, request: Request) -> Response:
        self._origins.check(request.headers)
        query = request.query
        callback = callback_of(request, form.callback)
        key = parse_key(query.get(form.key, ""), field=form.key)
        protocol = signed(form.protocol, query.get(form.protocol, ""))
        node = self._reading.owner(key)
        if protocol not in {WEBSOCKET, TCP}:
            raise BadInput(form.protocol, protocol, "1 for WebSocket or 2 for TCP")
        addresses = node.ws if protocol == WEBSOCKET else node.tcp
        if not addresses:
            kind = "WebSocket" if protocol == WEBSOCKET else "TCP"
            raise NoNode(f"comet {node.name!r} has no {kind} address")
        server = list(addresses) if every else addresses[0]
        return self._answer(request, reply(data={"server": server}, msg=form.msg), callback)

    async def _messages(self, form: Form, request: Request) -> Response:
        self._origins.check(request.headers)
        query = request.query
        callback = callback_of(request, form.callback)
        name, after = query.get(form.key, ""), query.get(form.after, "")
        parse_key(name, field=form.key)  # bad parameters come before bad credentials
        last = signed(form.after, after)
        token = query.get("token", "")
        key = await self._callers.readable_key(name, request.headers, token, time.time())
        if last < 0:  # passes web and is refused by the message node of the original: 65535
            raise Unavailable(f"{form.after}: got {last}, expected an id of 0 or more")
        page = await self._reading.first_page(key, last)
        if not page.messages:
            return self._answer(request, reply(msg=form.msg), callback)
        if not page.more:
            text = HEAD + _joined(form, page) + form.tail
            return self._answer(request, text, callback)
        response = self._answer(request, b"", callback)
        response.body = self._all_pages(form, key, page, callback.encode())
        return response

    async def _all_pages(
        self, form: Form, key: Key, page: Page, callback: bytes
    ) -> AsyncIterator[bytes]:
        yield (b"%b(" % callback if callback else b"") + HEAD + _joined(form, page)
        async with aclosing(self._reading.pages(key, page.messages[-1].id)) as pages:
            async for page in pages:
                if page.messages:
                    yield b"," + _joined(form, page)
        yield form.tail + (b")" if callback else b"")

    async def _time(self, form: Form, request: Request) -> Response:
        self._origins.check(request.headers)
        callback = callback_of(request, form.callback)
        text = reply(data={"timeid": time.time_ns() // 1000}, msg=form.msg)
        return self._answer(request, text, callback)

    def _answer(self, request: Request, text: bytes, callback: str) -> Response:
        response = answer(text, callback=callback)
        response.headers += self._origins.cors(request.headers)
        return response

    def _preflight(self, path: str) -> Route:
        return Route(method="OPTIONS", path=path, handler=partial(preflight, self._origins))


async def preflight(origins: Origins, request: Request) -> Response:
    """A browser asks whether a page may send a credential: yes, if it may call at all."""
    origins.check(request.headers)
    return Response(status=204, headers=origins.cors_preflight(request.headers))


def _joined(form: Form, page: Page) -> bytes:
    return b",".join([form.message(stored.id, stored.body) for stored in page.messages])
