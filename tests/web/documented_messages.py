"""Calls of messages, presence, tickets and pushes; see documented.py."""

from tests.web.documented import Call
from tests.web.world import World


async def prepare(world: World) -> None:
    """A message."""
    await world.keep("u1", b'{"any":1}')


CALLS = [
    Call("POST", "/v2/push", b'{"to":["u1","u2"],"msg":{},"ttl":"1m","idempotency_key":"k"}'),
    Call("POST", "/v2/push", b'{"to":"u1","msg":2,"idempotency_key":"k"}'),
    Call("POST", "/v2/push", b'{"to":"","msg":1}'),
    Call("POST", "/v2/push", b'{"to":"a","msg":"' + b"x" * 70_000 + b'"}'),
    Call("POST", "/v2/push/stream", b'{"to":"u1","msg":1}\nx\n'),
    Call("GET", "/v2/messages?key=u1"),
    Call("GET", "/v2/messages?key="),
    Call("DELETE", "/v2/messages?key=u1"),
    Call("DELETE", "/v2/messages"),
    Call("GET", "/v2/presence?key=u1&key=u2"),
    Call("GET", "/v2/presence"),
    Call("POST", "/v2/presence", b'{"keys":["u1"]}'),
    Call("POST", "/v2/presence"),
    Call("POST", "/v2/tickets", b'{"key":"u1"}'),
    Call("POST", "/v2/tickets", b"{}"),
    Call("DELETE", "/v2/tickets?key=u1"),
    Call("DELETE", "/v2/tickets"),
    Call("GET", "/v2/openapi.json"),
]
