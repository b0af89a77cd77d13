"""The cluster's own keys over Socket.IO: a client joins what its tickets allow, and is sent what is pushed there.

    client                                     server
    join, "u1@user", {"token": T, "mid": 17}   acknowledged with {"ok": true, "key": "u1@user"}
                                               or {"ok": false, "error": "unauthorized", "message": "..."}
    leave, "u1@user"                           acknowledged with {"ok": true, "key": ...}
    ack, {"key": "u1@user", "mid": 18}         nothing: like `{"ack":18}` of version 2, all up to it is handled
                                               push, {"key": "u1@user", "mid": 18, "msg": <what was pushed>}
                                               left, {"key": "u1@user", "reason": "credential revoked"}

`mid`: first comes what is stored above that id, as for version 2 of the native protocol; without it the client
starts with what comes next. `live: true` in a `push` marks what was not stored: nobody resumes from it. A token
given with the connect (`auth: {token}`, or `?token=` of 2.x) counts for every join that brings none.

Ours: no original has it. docs/socketio.md shows it to developers of clients.
"""

from collections.abc import Awaitable, Sequence
from typing import Any, Protocol

from appmodel.core.clock import MAX_ID
from appmodel.core.credentials import Ticket
from appmodel.core.names import Key, parse_key
from appmodel.errors import BadInput, LimitReached, PushError
from comet.core.rules import Accept, Answer, Client, Effects, Event, Join, Leave

MAX_TOKEN = 8192  # characters


class Gatehouse(Protocol):
    """What the comet knows of credentials and channels: comet/io/gatehouse.py."""

    async def admit(self, key: Key, token: str, last_id: int) -> Ticket | None:
        """What allows to subscribe to `key`; None where nobody is asked. Raises PushError if nothing does."""

    def acknowledge(self, key: Key, message_id: int) -> None:
        """A subscriber of `key` has handled all up to this id."""


class AppmsgRules:
    """Implements `Rules` for the namespace of the native keys."""

    def __init__(self, gatehouse: Gatehouse, *, most_keys: int) -> None:
        """`most_keys`: that one client may join."""
        self._gatehouse, self._most_keys = gatehouse, most_keys

    async def connect(self, client: Client, asked: Any) -> Effects:
        """Everybody may come in: it is a join that needs a token."""
        token = asked.get("token") if isinstance(asked, dict) else None
        client.state = _text("token", token or client.handshake.query.get("token", ""))
        return (Accept(),)

    def event(self, client: Client, event: Event) -> Effects | Awaitable[Effects]:
        """See the module; an event of another name is answered, not punished."""
        try:
            match event.name:
                case "join":
                    return self._join(client, event.arguments)
                case "leave":
                    key = _key_of(event.arguments)
                    return (Leave(key), *_done(key))
                case "ack":
                    return self._acknowledge(client, event.arguments)
            raise BadInput("event", event.name, "join, leave or ack")
        except PushError as error:
            return _refused(error)

    def gone(self, client: Client, reason: str) -> Effects:
        """Nobody hears of it but presence."""
        return ()

    async def _join(self, client: Client, arguments: Sequence[Any]) -> Effects:
        try:
            key = _key_of(arguments)
            options = arguments[1] if len(arguments) > 1 else {}
            if not isinstance(options, dict):
                raise BadInput("options", options, "an object with token and mid, or nothing")
            after = _mid_of(options.get("mid"))
            if key in client.keys:
                return _done(key)
            if len(client.keys) >= self._most_keys:
                raise LimitReached(f"keys: expected at most {self._most_keys} of one client")
            token = _text("token", options.get("token") or client.state)
            ticket = await self._gatehouse.admit(key, token, after or 0)
        except PushError as error:
            return _refused(error)
        return (Join(key, after, ticket), *_done(key))

    def _acknowledge(self, client: Client, arguments: Sequence[Any]) -> Effects:
        asked = arguments[0] if arguments else None
        if not isinstance(asked, dict):
            raise BadInput("ack", asked, "an object with key and mid")
        key, message_id = _key_of([asked.get("key")]), _mid_of(asked.get("mid"))
        if message_id is None:
            raise BadInput("mid", None, f"a whole number between 0 and {MAX_ID}")
        if key in client.keys:
            self._gatehouse.acknowledge(key, message_id)
        return (Answer(({"ok": key in client.keys, "key": str(key)},)),)


def _done(key: Key) -> Effects:
    return (Answer(({"ok": True, "key": str(key)},)),)


def _refused(error: PushError) -> Effects:
    return (Answer(({"ok": False, "error": error.code, "message": str(error)},)),)


def _key_of(arguments: Sequence[Any]) -> Key:
    text = arguments[0] if arguments else None
    if not isinstance(text, str):
        raise BadInput("key", text, "a text")
    return parse_key(text)


def _mid_of(value: Any) -> int | None:
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_ID:
        raise BadInput("mid", value, f"a whole number between 0 and {MAX_ID}")
    return value


def _text(field: str, value: Any) -> str:
    if not isinstance(value, str) or len(value) > MAX_TOKEN:
        raise BadInput(field, type(value).__name__, f"a text of at most {MAX_TOKEN} characters")
    return value
