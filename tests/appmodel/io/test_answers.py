"""Nodes that answer nonsense: whoever asked hears that the outcome is unknown, and nothing else."""

import math
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec
import pytest
import trio

from appmodel.core.message import Push, Save
from appmodel.core.names import parse_key
from appmodel.errors import OutcomeUnknown
from appmodel.io.calls import RemotePusher, RemoteStore
from tests.appmodel.io.loopback import PATIENCE, over_rpc

KEYS = (parse_key("a"), parse_key("b"))
PUSHES = [Push(bytes(16), KEYS, b"1", 4e9)]
SAVES = [Save(bytes(16), 1, KEYS, b"1", 4e9)]
BEYOND = 2**53  # of all ids
FOUND = (5, b"1", 4e9)

Ask = Callable[[Any], Awaitable[Any]]


def push(caller: Any) -> Awaitable[Any]:
    return RemotePusher(caller, PATIENCE).push(PUSHES)


def presence(caller: Any) -> Awaitable[Any]:
    return RemotePusher(caller, PATIENCE).presence(KEYS)


def save(caller: Any) -> Awaitable[Any]:
    return RemoteStore(caller, PATIENCE).save(SAVES)


def marks(caller: Any) -> Awaitable[Any]:
    return RemoteStore(caller, PATIENCE).marks(KEYS)


def fetch(caller: Any) -> Awaitable[Any]:
    return RemoteStore(caller, PATIENCE).fetch(KEYS[0], 4, limit=10, until=8)


def feed(caller: Any) -> Awaitable[Any]:
    return RemoteStore(caller, PATIENCE).feed(0, limit=10)


NONSENSE: list[tuple[str, Ask, Any]] = [
    ("pusher.push", push, None),
    ("pusher.push", push, []),
    ("pusher.push", push, [(((1,), (0,), True),)]),
    ("pusher.push", push, [(((1, 1), (0,), True),)]),
    ("pusher.push", push, [(((1, BEYOND), (0, 0), True),)]),
    ("pusher.push", push, [(((1, 1), (0, -1), True),)]),
    ("pusher.presence", presence, [(0, 0)]),
    ("pusher.presence", presence, [(0, 0), (-1, 0)]),
    ("store.save", save, []),
    ("store.save", save, [((1, 1), (0,))]),
    ("store.save", save, [((1, 1, 1), (0, 0, 0))]),
    ("store.save", save, [((1, BEYOND), (0, 0))]),
    ("store.save", save, [((1, 1), (0, 1))]),
    ("store.marks", marks, [1]),
    ("store.marks", marks, [1, BEYOND]),
    ("store.marks", marks, [1, math.nan]),
    ("store.fetch", fetch, ((), True)),
    ("store.fetch", fetch, ((FOUND, FOUND), False)),
    ("store.fetch", fetch, (((4, b"1", 4e9),), False)),
    ("store.fetch", fetch, (((9, b"1", 4e9),), False)),
    ("store.feed", feed, (1, [(KEYS[0], BEYOND)])),
]


@pytest.mark.parametrize(("method", "ask", "answer"), NONSENSE)
async def test_an_answer_that_does_not_fit_is_a_doubt(method: str, ask: Ask, answer: Any) -> None:
    """Never a refusal, for it may have happened; and never a crash."""

    async def answer_it(_: msgspec.Raw) -> bytes:
        await trio.lowlevel.checkpoint()
        return msgspec.msgpack.encode(answer)

    async with over_rpc({method: answer_it}) as client:
        with pytest.raises(OutcomeUnknown, match=f"the answer of {method}"):
            await ask(client)


async def test_what_fits_is_believed() -> None:
    """A page within what was asked for."""

    async def answer_it(_: msgspec.Raw) -> bytes:
        await trio.lowlevel.checkpoint()
        return msgspec.msgpack.encode(((FOUND, (8, b"1", 4e9)), True))

    async with over_rpc({"store.fetch": answer_it}) as client:
        page = await RemoteStore(client, PATIENCE).fetch(KEYS[0], 4, limit=10, until=8)

    assert _ids(page.messages) == [5, 8]


def _ids(messages: Sequence[Any]) -> list[int]:
    return [message.id for message in messages]
