"""What a node sends to another that cannot be right: refused before anybody acts on it."""

from collections.abc import Sequence
from typing import Any

import pytest

from appmodel.core.message import Delivery, Presence, Push, Save
from appmodel.core.names import parse_key
from appmodel.errors import BadInput, PushError
from appmodel.io.calls import Call, RemotePusher, pusher_handlers
from tests.appmodel.io.loopback import PATIENCE, over_rpc

KEYS = (parse_key("a@user"), parse_key("b@user"))
GOOD = (b'"t":1', b'"t":[{}]')
RAW_PUSH = Call[Any, Any]("pusher.push")

NOT_MEMBERS = [
    b" ",
    b"1",
    b'"t"',
    b'"t":',
    b'"t":1,',
    b',"t":1',
    b'"t":1}',
    b'"t":1},{"u":2',
    b'"t":"',
    b'"t":"\xff"',
    b'"t":' + b"[" * 200 + b"]" * 200,
]


class Listening:
    """A comet that remembers what it was asked to push."""

    def __init__(self) -> None:
        self.heard: list[Push] = []

    async def push(
        self, pushes: Sequence[Push], *, passed_on: bool = False
    ) -> list[Delivery | PushError]:
        self.heard += pushes
        none = (0,) * len(KEYS)
        return [Delivery(none, none, stored=False)] * len(pushes)

    async def presence(self, keys: Sequence[object]) -> list[Presence]:
        return [Presence(0, 0)] * len(keys)


async def test_tails_arrive_as_they_were_sent() -> None:
    """Good ones travel with their push."""
    comet, push = Listening(), Push(bytes(16), KEYS, b'{"n":1}', tails=GOOD)

    async with over_rpc(pusher_handlers(comet)) as client:
        await RemotePusher(client, PATIENCE).push([push])

    assert comet.heard == [push]


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("passed_on", [False, True])
@pytest.mark.parametrize("tail", NOT_MEMBERS)
async def test_a_tail_that_is_not_members_is_refused(
    tail: bytes, passed_on: bool, place: int
) -> None:
    """Whoever got such a copy could not read it; also if it is not the first key's."""
    comet, tails = Listening(), [*GOOD]
    tails[place] = tail
    bad = Push(bytes(16), KEYS, b'{"n":1}', tails=tuple(tails))

    async with over_rpc(pusher_handlers(comet)) as client:
        with pytest.raises(BadInput, match="tails"):
            await RemotePusher(client, PATIENCE).push([bad], passed_on=passed_on)

    assert comet.heard == []


@pytest.mark.parametrize(
    ("body", "tails"),
    [
        (b'{"n":1}', GOOD[:1]),
        (b'{"n":1}', (b"", b"")),
        (b'["n",1]', GOOD),
        (b"{     }", GOOD),
        (b'[1,{"n":1}', GOOD),
    ],
)
async def test_tails_that_do_not_fit_are_refused(body: bytes, tails: tuple[bytes, ...]) -> None:
    """Not one for each key, or nothing that they could be members of."""
    comet = Listening()

    async with over_rpc(pusher_handlers(comet)) as client:
        with pytest.raises(BadInput):
            await client.call(RAW_PUSH, [(bytes(16), KEYS, body, 0.0, tails)], timeout=PATIENCE)

    assert comet.heard == []


def test_what_is_made_here_is_checked_too() -> None:
    """A push or save with tails that do not fit cannot be made."""
    with pytest.raises(ValueError, match="tails"):
        Push(bytes(16), KEYS, b'{"n":1}', tails=GOOD[:1])
    with pytest.raises(ValueError, match="tails"):
        Save(bytes(16), 1, KEYS, b"1", 4e9, GOOD)
