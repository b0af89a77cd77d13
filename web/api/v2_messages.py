"""Messages, presence and tickets of /v2.

    GET    /v2/messages?key=K&after=M&limit=N     {"messages":[{"id","msg","expires_at"},...],"next":M or null}
    DELETE /v2/messages?key=K[&ids=1,2]           {"deleted":2}
    GET    /v2/presence?key=K1&key=K2             {"results":[{"key","online","acknowledged"},...]}
    POST   /v2/presence   {"keys":[...]}          the same, for lists too long for a query
    POST   /v2/tickets    {"key":K,"ttl":"1h"}    201 {"ticket","key","expires_at"}
    DELETE /v2/tickets?key=K  or  ?id=ID          204: all tickets of a key, or the one credential, are void

The hot routes, /v2/push and /v2/push/stream, are in push.py; the document describes them from here.
"""

import time
from collections.abc import Sequence

import msgspec
from quart import Response as QuartResponse
from quart import request

from appmodel.core.clock import MAX_ID
from appmodel.core.message import Presence
from appmodel.core.names import Key, parse_key
from appmodel.errors import BadInput, PushError
from web.api import openapi_messages as described
from web.api.internal import Limits
from web.api.openapi import Described
from web.api.v2_frame import Rule, body, headers, json_answer, no_content, query
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
    PushAnswer,
    PushRequest,
    StoredMessage,
    StreamError,
    TicketAnswer,
    TicketRequest,
    parse_ttl,
)
from web.core.principals import Operator
from web.core.problems import problem
from web.services.callers import Callers, check_own
from web.services.reading import Reading
from web.services.tickets import Tickets

DEFAULT_LIMIT = 100  # messages of one page

HOT = (
    Described("POST", "/v2/push", described.push()),
    Described("POST", "/v2/push/stream", described.stream()),
)
HOT_STRUCTS = (PushRequest, PushAnswer, StreamError)

_PRESENCE = msgspec.json.Decoder(PresenceRequest)
_TICKET = msgspec.json.Decoder(TicketRequest)


class MessagesPart:
    """The handlers."""

    structs = (
        MessagesAnswer,
        DeletedAnswer,
        PresenceRequest,
        PresenceAnswer,
        TicketRequest,
        TicketAnswer,
    )

    def __init__(
        self,
        access: Access,
        callers: Callers,
        reading: Reading,
        tickets: Tickets,
        limits: Limits,
        *,
        page: int,
    ) -> None:
        """`page`: the most messages of one answer."""
        self._access = access
        self._callers = callers
        self._reading = reading
        self._tickets = tickets
        self._limits = limits
        self._page = page
        self.rules = (
            Rule("GET", "/v2/messages", self.get_messages, described.get_messages()),
            Rule("DELETE", "/v2/messages", self.delete_messages, described.delete_messages()),
            Rule("GET", "/v2/presence", self.get_presence, described.get_presence()),
            Rule("POST", "/v2/presence", self.post_presence, described.post_presence()),
            Rule("POST", "/v2/tickets", self.issue_ticket, described.issue_ticket()),
            Rule("DELETE", "/v2/tickets", self.revoke_tickets, described.revoke_tickets()),
        )

    async def get_messages(self) -> QuartResponse:
        """A page of what is kept for a key, for whom it is, or with scope read."""
        asked = query("key", "after", "limit", "token")
        name, token = asked.get("key", ""), asked.get("token", "")
        key = await self._callers.readable_key(name, headers(), token, time.time())
        after = unsigned("after", asked.get("after", "0"), most=MAX_ID)
        limit = unsigned("limit", asked.get("limit", str(DEFAULT_LIMIT)), most=self._page)
        if not limit:
            raise BadInput("limit", limit, f"1 to {self._page}")
        page = await self._reading.page(key, after, limit)
        messages = [StoredMessage(m.id, msgspec.Raw(m.body), m.expires_at) for m in page.messages]
        return json_answer(
            MessagesAnswer(messages, messages[-1].id if messages and page.more else None)
        )

    async def delete_messages(self) -> QuartResponse:
        """Remove some messages of a key, or all. Needs scope admin."""
        caller = self._access.caller(headers(), "admin", time.time())
        asked = query("key", "ids")
        key = parse_key(asked.get("key", ""), caller.realm)
        ids = None
        if "ids" in asked:
            ids = [unsigned("ids", text, most=MAX_ID) for text in asked["ids"].split(",")]
        return json_answer(DeletedAnswer(await self._reading.delete(key, ids)))

    async def get_presence(self) -> QuartResponse:
        """Who is online. Needs scope push or read."""
        query("key")
        return await self._presence(request.args.getlist("key"), "key")

    async def post_presence(self) -> QuartResponse:
        """The same for a list in the body."""
        query()
        wanted = decode(_PRESENCE, await body())
        return await self._presence(wanted.keys, "keys")

    async def _presence(self, names: Sequence[str], field: str) -> QuartResponse:
        caller = self._access.caller(headers(), "read", time.time(), or_scope="push")
        keys = parse_targets(names, caller.realm, field=field, limit=self._limits.names)
        found = await self._reading.presence(keys)
        errors = [one for one in found.values() if isinstance(one, PushError)]
        if len(errors) == len(keys):
            raise errors[0]
        return json_answer(PresenceAnswer([_presence_of(key, found[key]) for key in keys]))

    async def issue_ticket(self) -> QuartResponse:
        """A ticket for a key: one's own, or any with scope ticket."""
        query()
        principal = await self._callers.principal(headers(), "ticket")
        wanted = decode(_TICKET, await body())
        ttl = None if wanted.ttl is None else parse_ttl(wanted.ttl)
        if isinstance(principal, Operator):
            text, ticket = self._tickets.issue(parse_key(wanted.key, principal.caller.realm), ttl)
        else:
            key = parse_key(wanted.key)
            check_own(principal, key)
            text, ticket = self._tickets.issue_own(principal, key, ttl)
        return json_answer(
            TicketAnswer(text, ticket.id, str(ticket.key), ticket.expires_at), status=201
        )

    async def revoke_tickets(self) -> QuartResponse:
        """Void the tickets of a key (scope ticket), or one credential by its id (scope admin)."""
        asked = query("key", "id")
        now = time.time()
        if ("key" in asked) == ("id" in asked):
            raise BadInput("key", asked.get("key"), "either key or id")
        if "key" in asked:
            caller = self._access.caller(headers(), "ticket", now)
            await self._tickets.revoke_key(parse_key(asked["key"], caller.realm))
        else:
            self._access.caller(headers(), "admin", now)
            if not 0 < len(asked["id"]) <= 64:
                raise BadInput("id", asked["id"], "the id of a ticket or access token")
            await self._tickets.revoke_credential(asked["id"])
        return no_content()


def _presence_of(key: Key, found: Presence | PushError) -> KeyPresence:
    if isinstance(found, PushError):
        return KeyPresence(str(key), error=problem(found))
    return KeyPresence(str(key), found.online, found.acknowledged)
