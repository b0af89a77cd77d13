"""Admin REST (8091): how business systems of gopush-cluster push and delete.

    POST /1/admin/push/private?key=K&expire=S     body: the message, JSON           {"ret":0}
    POST /admin/push?key=K&expire=S               the same (old; `gid` is ignored)
    POST /1/admin/push/mprivate?expire=S          body: {"m":"<JSON text>","k":"K1,K2"}
                                                  {"ret":0} or {"data":{"fk":["K2"]},"ret":0}: failed keys
    POST /1/admin/msg/del                         body: key=K, as a form            {"ret":0}
    POST /admin/msg/clean                         the same (old)

Source: gopush-cluster web/admin.go; spec/gopush.md 2.4. Differences: an access token is needed (S1), and
a web page's request is refused; a body that is no JSON is 65534 and changes nothing (L10); an empty
key or body is 65534 (the original: 65535). `k` may also be a JSON list, so that a key can have a comma
(L25); empty keys in it are skipped, ones that nobody can have are in `fk`.
"""

import time
from dataclasses import dataclass

import msgspec

from appmodel.core.message import Push
from appmodel.core.names import Key, parse_key
from appmodel.core.origins import Origins
from appmodel.errors import BadInput, NoNode, PushError, TooLarge
from appmodel.protocol.envelope import checked_json, reply
from appmodel.protocol.http import Request, Response, Route, first_values
from web.api.replies import OK, answer, refusal
from web.core.access import Access
from web.core.numbers import unsigned
from web.core.orders import MAX_TTL
from web.services.push_ids import fresh_push_id
from web.services.pushing import Pushing
from web.services.reading import Reading

_MANY = msgspec.json.Decoder(dict[str, str | list[str]])


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one request may ask for."""

    message: int  # bytes of the pushed JSON text
    body: int  # bytes of a request
    names: int


class Internal:
    """The handlers, and how their listener says no."""

    def __init__(
        self,
        access: Access,
        origins: Origins,
        pushing: Pushing,
        reading: Reading,
        limits: Limits,
    ) -> None:
        self._access = access
        self._origins = origins
        self._pushing = pushing
        self._reading = reading
        self._limits = limits

    def routes(self) -> list[Route]:
        """All of 8091."""
        message, body = self._limits.message, self._limits.body
        posts = {
            "/1/admin/push/private": (self._push, message),
            "/admin/push": (self._push, message),
            "/1/admin/push/mprivate": (self._push_many, body),
            "/1/admin/msg/del": (self._delete, message),
            "/admin/msg/clean": (self._delete, message),
        }
        return [
            Route(method="POST", path=path, handler=handler, max_body=limit)
            for path, (handler, limit) in posts.items()
        ]

    def render_error(self, error: PushError, request: Request) -> Response:
        """The `render_error` of the listener: status 200 and a `ret`."""
        return refusal(error)

    async def _push(self, request: Request) -> Response:
        now = time.time()
        headers, query = request.headers, request.query
        self._origins.check(headers)
        caller = self._access.caller(headers, "push", now)
        key = parse_key(query.get("key", ""), caller.realm)
        expires_at = _expires_at(query.get("expire", ""), now)
        body = checked_json(request.body, "body")
        push = Push(fresh_push_id(), (key,), body, expires_at)
        (outcome,) = await self._pushing.push((push,))
        if outcome.failed:
            outcome.check()
        return answer(OK)

    async def _push_many(self, request: Request) -> Response:
        now = time.time()
        self._origins.check(request.headers)
        caller = self._access.caller(request.headers, "push", now)
        message, names = self._parse_many(request.body)
        expires_at = _expires_at(request.query.get("expire", ""), now)
        keys, failed = _addressable(names, caller.realm)
        if keys:
            push = Push(fresh_push_id(), tuple(keys), message, expires_at)
            (outcome,) = await self._pushing.push((push,))
            if any(isinstance(error, NoNode) for error in outcome.failed.values()):
                outcome.check()
            failed += [str(key) for key in outcome.failed]
        return answer(reply(data={"fk": failed} if failed else None))

    async def _delete(self, request: Request) -> Response:
        self._origins.check(request.headers)
        caller = self._access.caller(request.headers, "admin", time.time())
        try:
            form = request.body.decode()
        except UnicodeDecodeError:
            raise BadInput("body", request.body[:80], "a form: key=K") from None
        key = parse_key(first_values(form, "body").get("key", ""), caller.realm)
        await self._reading.delete(key, None)
        return answer(OK)

    def _parse_many(self, body: bytes) -> tuple[bytes, list[str]]:
        """The message and the keys of a multi push, in the original's order of checks."""
        try:
            members = _MANY.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            expected = f"an object whose members are texts ({error})"
            raise BadInput("body", body[:80].decode(errors="replace"), expected) from None
        message, keys = members.get("m", ""), members.get("k", "")
        if any(isinstance(value, list) for name, value in members.items() if name != "k"):
            raise BadInput("m", message, "the message's JSON as a text")
        if not message or not isinstance(message, str):
            raise BadInput("m", message, "the message's JSON as a text")
        if not keys:
            raise BadInput("k", keys, "keys, joined by commas or as a list")
        text = message.encode()
        if len(text) > self._limits.message:
            raise TooLarge(f"m: over {self._limits.message} bytes")
        names = keys.split(",") if isinstance(keys, str) else keys
        if len(names) > self._limits.names:
            raise TooLarge(f"k: more than {self._limits.names} keys in one call")
        return checked_json(text, "m"), names


def _expires_at(expire: str, now: float) -> float:
    seconds = unsigned("expire", expire, most=MAX_TTL)
    return now + seconds if seconds else 0.0


def _addressable(names: list[str], realm: str) -> tuple[dict[Key, None], list[str]]:
    """Each key once, and the names that are no key. Nobody can subscribe to the empty one."""
    keys: dict[Key, None] = {}
    failed: list[str] = []
    for name in names:
        try:
            keys[parse_key(name, realm, field="k")] = None
        except BadInput:
            if name:
                failed.append(name)
    return keys, failed
