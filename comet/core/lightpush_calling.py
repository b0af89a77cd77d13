"""What a namespace's own back end is asked when a client comes, and told when it has gone.

    GET  <connect_callback>?EIO=3&transport=websocket&uuid=u1&userid=a&platform=web
         cookie, authorization, namespace: /demo, accept: application/json
    200  {"userid": "bob", "rooms": ["r1"]}     both may be missing, and the body may be anything else
    other                                       44/demo,"handshake fail statusCode: 403"

    POST <disconnect_callback>                  {"query": {...the same parameters...}}

Source: spec/liutian-push.md 3.4. Differences: an address that has a query keeps it; redirects are answers, so
refusals; a `callback_auth` that is not set is no header; a failed call is told without its addresses (W29).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

import msgspec

from comet.core.rules import Refused

OK = 200  # the only status that lets a client in
MAX_USER = 1000  # characters of a user id that are looked at; a good one is shorter

Headers = tuple[tuple[str, str], ...]

_JSON = ("content-type", "application/json")


@dataclass(frozen=True, slots=True)
class Call:
    """One request to a back end."""

    namespace: str
    method: str
    url: str
    headers: Headers
    content: bytes = b""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a back end answered."""

    status: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a back end wants of a client that it lets in."""

    userid: str = ""  # instead of the one that the client gave; "" = that one
    rooms: tuple[str, ...] = ()  # to join at once; not looked at yet


@dataclass(frozen=True, slots=True)
class Visit:
    """A client's handshake, as back ends are told of it."""

    namespace: str
    query: Mapping[str, str]  # with the defaults filled in
    cookie: str


def question(address: str, authorization: str | None, visit: Visit) -> Call:
    """Whether the client of `visit` may come in."""
    url = address + ("&" if "?" in address else "?") + urlencode(visit.query)
    return Call(visit.namespace, "GET", url, _headers(authorization, visit))


def farewell(address: str, authorization: str | None, visit: Visit) -> Call:
    """The client of `visit` has gone."""
    headers = (*_headers(authorization, visit), _JSON)
    content = msgspec.json.encode({"query": visit.query})
    return Call(visit.namespace, "POST", address, headers, content)


def verdict(reply: Reply) -> Verdict:
    """What the answer to a question means.

    Raises:
        Refused: the client may not come in.
    """
    if reply.status != OK:
        raise Refused(f"handshake fail statusCode: {reply.status}", closes=True)
    try:
        wishes = msgspec.json.decode(reply.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Verdict()
    if not isinstance(wishes, dict):
        return Verdict()
    rooms = wishes.get("rooms")
    return Verdict(
        userid=_text(wishes.get("userid")),
        rooms=tuple(map(_text, rooms)) if isinstance(rooms, list) else (),
    )


def _headers(authorization: str | None, visit: Visit) -> Headers:
    headers = [("accept", "application/json"), ("namespace", visit.namespace)]
    if visit.cookie:
        headers.append(("cookie", visit.cookie))
    if authorization:
        headers.append(("authorization", authorization))
    return tuple(headers)


def _text(value: object) -> str:
    """As JavaScript would write it into a name; "" for what can be none."""
    if isinstance(value, str):
        return value[:MAX_USER]
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return str(value) if is_number and value else ""
