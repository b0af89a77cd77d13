"""Other nodes that know the secret and talk nonsense: each call is refused, and nothing else happens."""

import math
import time
from typing import Any

import pytest

from appmodel.core.message import Push
from appmodel.core.names import parse_key
from appmodel.errors import BadInput
from appmodel.io.calls import Call, RemotePusher
from tests.appmodel.io.loopback import PATIENCE, over_rpc
from tests.comet.world import ALONE, World, open_comet

KEY, ID = ("", "k", ""), bytes(16)
NOW = int(time.time() * 1e6)
BEYOND = 2**53  # of all ids
HOLDER = {"role": "comet", "name": "node2", "incarnation": 1, "rpc": "127.0.0.1:1"}


def push(
    push_id: bytes = ID, keys: Any = (KEY,), body: bytes = b"1", expires_at: float = 0.0
) -> list[Any]:
    """The argument of a push; the default is a good one."""
    return [(push_id, keys, body, expires_at)]


def report(
    holder: Any = HOLDER, entries: Any = (), count: int = 0, digest: int = 0, clock: int = 0
) -> tuple[Any, ...]:
    """The argument of a report."""
    return (holder, entries, True, count, digest, clock, 0.0)


def item(
    message_id: int = NOW, body: bytes = b"1", keys: Any = (KEY,), prevs: Any = (0,)
) -> list[Any]:
    """The argument of a forward."""
    return [(message_id, True, body, keys, prevs)]


BAD_PUSHES = {
    "the id of a push too short": push(bytes(15)),
    "the id of a push too long": push(bytes(17)),
    "a key twice": push(keys=(KEY, KEY)),
    "a key too long": push(keys=(("", "k" * 256, ""),)),
    "a realm too long": push(keys=(("r" * 256, "k", ""),)),
    "a key with a zero": push(keys=(("", "k\0", ""),)),
    "a key of another realm in disguise": push(keys=(("", "realm\x1fk", ""),)),
    "no JSON": push(body=b"{"),
    "nothing": push(body=b""),
    "no UTF-8": push(body=b'"\xff"'),
    "too deep": push(body=b"[" * 200 + b"]" * 200),
    "no time": push(expires_at=math.nan),
    "eternity": push(expires_at=math.inf),
    "a time before all times": push(expires_at=-1.0),
    "a good one and a bad one": push() + push(body=b"{"),
}
BAD_REPORTS = {
    "fewer than nobody": report(entries=[(KEY, -2, 0)]),
    "more than all people": report(entries=[(KEY, 2**40, 0)]),
    "an acknowledged id beyond all": report(entries=[(KEY, 1, BEYOND)]),
    "a key too long": report(entries=[(("", "k" * 256, ""), 1, 0)]),
    "too many keys": report(entries=[(KEY, 1, 0)] * 20_000),
    "a digest below zero": report(digest=-1),
    "a negative clock": report(clock=-1),
    "a clock beyond all ids": report(clock=2**62),
}
BAD_FORWARDS = {
    "an id beyond all": item(BEYOND),
    "an id far in the future": item(NOW + 3600 * 10**6),
    "an id below zero": item(-1),
    "a predecessor that comes after": item(prevs=(NOW,)),
    "a predecessor below zero": item(prevs=(-1,)),
    "too few predecessors": item(prevs=()),
    "too many predecessors": item(prevs=(0, 0)),
    "no JSON": item(body=b"{"),
    "a good one and a bad one": item() + item(body=b"{"),
}
NONSENSE = [
    *(("pusher.push", *named) for named in BAD_PUSHES.items()),
    *(("pusher.pass_on", *named) for named in BAD_PUSHES.items()),
    *(("comet.attach", *named) for named in BAD_REPORTS.items()),
    *(("comet.forward", *named) for named in BAD_FORWARDS.items()),
    ("pusher.presence", "a key too long", [("", "k" * 256, "")]),
    ("node.shutdown", "a method that nobody has", None),
]


@pytest.mark.parametrize(
    ("method", "argument"),
    [(method, argument) for method, _, argument in NONSENSE],
    ids=[f"{method}: {name}" for method, name, _ in NONSENSE],
)
async def test_a_call_that_cannot_be_is_refused_and_nothing_else_happens(
    method: str, argument: Any
) -> None:
    """The subscribers of the key get what comes next, and only that."""
    async with open_comet() as world, over_rpc(world.comet.handlers) as client:
        subscribers = [await world.subscriber(version=version) for version in ("", "1", "2")]

        with pytest.raises(BadInput):
            await client.call(Call[Any, Any](method), argument, timeout=PATIENCE)

        after = [await pushed(world, client, ttl=ttl) for ttl in (0, 60)]
        for subscriber in subscribers:
            assert await subscriber.read_ids(2) == after
        assert list(world.comet.forwarding.holders) == []
        assert world.comet.live.clock.last < time.time() * 1e6 + 5_000_000


async def pushed(world: World, client: Any, *, ttl: float) -> int:
    """The id of a good push that came by a connection."""
    expires_at = time.time() + ttl if ttl else 0.0
    good = Push(bytes(15) + bytes([ttl > 0]), (parse_key("k"),), b"{}", expires_at)
    [delivery] = await RemotePusher(client, PATIENCE).push([good])
    assert not isinstance(delivery, Exception), delivery
    assert delivery.online == (3,), ALONE
    return delivery.ids[0]
