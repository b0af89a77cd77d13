"""The breadth of /v2, in Quart: messages, presence, tickets, and the document that describes it all.

    GET    /v2/messages?key=K&after=M&limit=N     {"messages":[{"id","msg","expires_at"},...],"next":M or null}
    DELETE /v2/messages?key=K[&ids=1,2]           {"deleted":2}
    GET    /v2/presence?key=K1&key=K2             {"results":[{"key","online","acknowledged"},...]}
    POST   /v2/presence   {"keys":[...]}          the same, for lists too long for a query
    POST   /v2/tickets    {"key":K,"ttl":"1h"}    201 {"ticket","key","expires_at"}
    DELETE /v2/tickets?key=K  or  ?id=ID          204: all tickets of a key, or the one credential, are void
    GET    /v2/openapi.json

Status codes mean what they say; refusals are problem documents (web/core/problems.py). The hot routes,
/v2/push and /v2/push/stream, are in push.py.
"""

import time
from collections.abc import Sequence

import msgspec
from quart import Response as QuartResponse
from quart import has_request_context, request
from quart_trio import QuartTrio
from werkzeug.exceptions import HTTPException

from appmodel.core.clock import MAX_ID
from appmodel.core.message import Presence
from appmodel.core.names import Key, parse_key
from appmodel.core.origins import Origins
from appmodel.errors import BadInput, PushError, TooLarge
from appmodel.protocol.http import Headers
from web.api.internal import Limits
from web.api.openapi import document
from web.core.access import Access
from web.core.decoding import decode
from web.core.numbers import unsigned
from web.core.orders import parse_targets
from web.core.payloads import (
    DeletedAnswer,
    KeyPresence,
    MessagesAnswer,
    PresenceAnswer,
    PresenceRequest,
    StoredMessage,
    TicketAnswer,
    TicketRequest,
    parse_ttl,
)
from web.core.problems import MEDIA_TYPE, Problem, problem, problem_headers
from web.services.reading import Reading
from web.services.tickets import Tickets

DEFAULT_LIMIT = 100  # messages of one page
BODY_TIMEOUT = 30  # seconds for a client to send a body
SECURITY = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}

_PRESENCE = msgspec.json.Decoder(PresenceRequest)
_TICKET = msgspec.json.Decoder(TicketRequest)
_ENCODER = msgspec.json.Encoder()


class V2:
    """The handlers. `app` is the ASGI application."""

    def __init__(
        self,
        access: Access,
        origins: Origins,
        reading: Reading,
        tickets: Tickets,
        limits: Limits,
        *,
        page: int,
    ) -> None:
        """`page`: the most messages of one answer."""
        self._access = access
        self._origins = origins
        self._reading = reading
        self._tickets = tickets
        self._limits = limits
        self._page = page
        self._document = _ENCODER.encode(document())
        self.app = self._make_app()

    def _make_app(self) -> QuartTrio:
        app = QuartTrio("web", static_folder=None)
        app.config["MAX_CONTENT_LENGTH"] = self._limits.body
        app.config["BODY_TIMEOUT"] = BODY_TIMEOUT
        rules = [
            ("GET", "/v2/messages", self.get_messages),
            ("DELETE", "/v2/messages", self.delete_messages),
            ("GET", "/v2/presence", self.get_presence),
            ("POST", "/v2/presence", self.post_presence),
            ("POST", "/v2/tickets", self.issue_ticket),
            ("DELETE", "/v2/tickets", self.revoke_tickets),
            ("GET", "/v2/openapi.json", self.get_document),
        ]
        for method, path, view in rules:
            app.add_url_rule(path, view.__name__, view, methods=[method])
        app.before_request(self._check_origin)
        app.after_request(self._finish)
        app.register_error_handler(PushError, _refuse)
        app.register_error_handler(HTTPException, _refuse_http)
        return app

    async def get_messages(self) -> QuartResponse:
        """A page of what is kept for a key. Needs the key's ticket, or scope read."""
        query = _query("key", "after", "limit", "token")
        ticket = query.get("token", "")
        key = self._access.readable_key(query.get("key", ""), _headers(), ticket, time.time())
        after = unsigned("after", query.get("after", "0"), most=MAX_ID)
        limit = unsigned("limit", query.get("limit", str(DEFAULT_LIMIT)), most=self._page)
        if not limit:
            raise BadInput("limit", limit, f"1 to {self._page}")
        page = await self._reading.page(key, after, limit)
        messages = [StoredMessage(m.id, msgspec.Raw(m.body), m.expires_at) for m in page.messages]
        return _json(MessagesAnswer(messages, messages[-1].id if messages and page.more else None))

    async def delete_messages(self) -> QuartResponse:
        """Remove some messages of a key, or all. Needs scope admin."""
        caller = self._access.caller(_headers(), "admin", time.time())
        query = _query("key", "ids")
        key = parse_key(query.get("key", ""), caller.realm)
        ids = None
        if "ids" in query:
            ids = [unsigned("ids", text, most=MAX_ID) for text in query["ids"].split(",")]
        return _json(DeletedAnswer(await self._reading.delete(key, ids)))

    async def get_presence(self) -> QuartResponse:
        """Who is online. Needs scope push or read."""
        _query("key")
        return await self._presence(request.args.getlist("key"), "key")

    async def post_presence(self) -> QuartResponse:
        """The same for a list in the body."""
        _query()
        wanted = decode(_PRESENCE, await _body())
        return await self._presence(wanted.keys, "keys")

    async def _presence(self, names: Sequence[str], field: str) -> QuartResponse:
        caller = self._access.caller(_headers(), "read", time.time(), or_scope="push")
        keys = parse_targets(names, caller.realm, field=field, limit=self._limits.names)
        found = await self._reading.presence(keys)
        errors = [one for one in found.values() if isinstance(one, PushError)]
        if len(errors) == len(keys):
            raise errors[0]
        return _json(PresenceAnswer([_presence_of(key, found[key]) for key in keys]))

    async def issue_ticket(self) -> QuartResponse:
        """A ticket for a key. Needs scope ticket."""
        _query()
        caller = self._access.caller(_headers(), "ticket", time.time())
        wanted = decode(_TICKET, await _body())
        key = parse_key(wanted.key, caller.realm)
        ttl = None if wanted.ttl is None else parse_ttl(wanted.ttl)
        text, ticket = self._tickets.issue(key, ttl)
        return _json(TicketAnswer(text, ticket.id, str(key), ticket.expires_at), status=201)

    async def revoke_tickets(self) -> QuartResponse:
        """Void the tickets of a key (scope ticket), or one credential by its id (scope admin)."""
        query = _query("key", "id")
        now = time.time()
        if ("key" in query) == ("id" in query):
            raise BadInput("key", query.get("key"), "either key or id")
        if "key" in query:
            caller = self._access.caller(_headers(), "ticket", now)
            await self._tickets.revoke_key(parse_key(query["key"], caller.realm))
        else:
            self._access.caller(_headers(), "admin", now)
            if not 0 < len(query["id"]) <= 64:
                raise BadInput("id", query["id"], "the id of a ticket or access token")
            await self._tickets.revoke_credential(query["id"])
        return QuartResponse(b"", status=204)

    async def get_document(self) -> QuartResponse:
        """This API, as OpenAPI 3.1."""
        return QuartResponse(self._document, content_type="application/json")

    async def _check_origin(self) -> QuartResponse | None:
        headers = _headers()
        self._origins.check(headers)
        if request.method == "OPTIONS" and request.routing_exception is None:
            preflight = QuartResponse(b"", status=204)
            preflight.headers.extend(self._origins.cors_preflight(headers))
            return preflight
        return None

    async def _finish(self, response: QuartResponse) -> QuartResponse:
        response.headers.update(SECURITY)
        response.headers.setdefault("Cache-Control", "no-store")
        if request.method != "OPTIONS":
            response.headers.extend(self._origins.cors(_headers()))
        return response


def _headers() -> Headers:
    return {name.lower(): value for name, value in request.headers.items()}


def _query(*allowed: str) -> dict[str, str]:
    """The query's parameters, the first of a repeated one.

    Raises:
        BadInput: one that does not exist: a mistyped name must not mean a default.
    """
    query: dict[str, str] = request.args.to_dict()
    for name, value in query.items():
        if name not in allowed:
            expected = f"one of {', '.join(allowed)}" if allowed else "no parameters"
            raise BadInput(name, value, expected)
    return query


async def _body() -> bytes:
    body = await request.get_data()
    assert isinstance(body, bytes)  # it is text only if asked for
    return body


def _json(answer: msgspec.Struct, status: int = 200) -> QuartResponse:
    return QuartResponse(_ENCODER.encode(answer), status=status, content_type="application/json")


def _presence_of(key: Key, found: Presence | PushError) -> KeyPresence:
    if isinstance(found, PushError):
        return KeyPresence(str(key), error=problem(found))
    return KeyPresence(str(key), found.online, found.acknowledged)


async def _refuse(error: PushError) -> QuartResponse:
    body = _ENCODER.encode(problem(error))
    response = QuartResponse(body, status=error.status)
    response.headers.update(problem_headers(error))
    return response


async def _refuse_http(error: HTTPException) -> QuartResponse:
    """What Quart itself refuses: 404, 405, 413 and so on."""
    status = error.code or 500
    if status == TooLarge.status:
        return await _refuse(TooLarge("body: over the limit"))
    said = Problem(
        type="about:blank",
        title=error.name,
        status=status,
        code=f"http_{status}",
        detail=_what(error),
    )
    response = QuartResponse(_ENCODER.encode(said), status=status, content_type=MEDIA_TYPE)
    allow = getattr(error, "valid_methods", None)
    if allow:
        response.headers["Allow"] = ", ".join(sorted(allow))
    return response


def _what(error: HTTPException) -> str:
    """The call that was refused, and how. A WebSocket handshake on this port has no request."""
    said = error.name.lower()
    return f"{request.method} {request.path}: {said}" if has_request_context() else said
