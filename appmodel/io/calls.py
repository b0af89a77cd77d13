"""What nodes ask of one another over RPC: a table of calls, and both ends of it.

    SAVE = Call[Sequence[Save], list[Saved]]("store.save")        the name and the types, once

    RemoteStore(client).save(saves)     asks         client.call(SAVE, saves)
    store_handlers(store)               answers      SAVE.answered_by(store.save)

A stub implements the same interface (appmodel/core/interfaces.py) as the object at the other end,
so nobody sees where a pusher or a store lives. A method with several arguments sends them as one
tuple. Changing the types of a call breaks nodes of another version: give it a new name instead.
"""

from collections.abc import Awaitable, Callable, Sequence
from functools import cached_property
from typing import Any, Generic, Protocol, TypeVar, get_args

import msgspec

from appmodel.core.clock import MAX_ID
from appmodel.core.cluster import Status
from appmodel.core.interfaces import Ledger, OfflineStore, Pusher
from appmodel.core.message import (
    Delivery,
    Feed,
    Page,
    Presence,
    Push,
    Revocation,
    Save,
    Saved,
)
from appmodel.core.names import Key
from appmodel.errors import BadInput, PushError, RemoteProtocolError
from appmodel.io.rpc_server import Handler, Handlers

Argument = TypeVar("Argument")
Result = TypeVar("Result")

_encode = msgspec.msgpack.Encoder().encode


class Call(Generic[Argument, Result]):
    """A method that another node answers: `Call[Argument, Result]("its.name")`."""

    __orig_class__: Any  # Call[Argument, Result]: typing sets it; our only source of the types

    def __init__(self, method: str) -> None:
        self.method = method

    def encode(self, argument: Argument) -> bytes:
        """The argument in msgpack.

        Raises:
            BadInput: a number beyond 64 bits, or text that is not Unicode.
        """
        try:
            return _encode(argument)
        except (OverflowError, UnicodeEncodeError) as error:
            raise BadInput(self.method, argument, f"what msgpack can carry ({error})") from None

    def decode(self, result: msgspec.Raw) -> Result:
        """The result from msgpack.

        Raises:
            RemoteProtocolError: something else came.
        """
        try:
            value: Result = self._decoders[1].decode(result)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise RemoteProtocolError(f"the answer of {self.method}: {error}") from None
        return value

    def answered_by(self, function: Callable[[Argument], Awaitable[Result]]) -> tuple[str, Handler]:
        """An entry of a server's table. An argument of another type is a `BadInput`."""

        async def handle(argument: msgspec.Raw) -> bytes:
            try:
                value: Argument = self._decoders[0].decode(argument)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                raise BadInput(self.method, bytes(argument)[:40], str(error)) from None
            return _encode(await function(value))

        return self.method, handle

    @cached_property
    def _decoders(self) -> tuple[msgspec.msgpack.Decoder[Any], msgspec.msgpack.Decoder[Any]]:
        argument, result = get_args(self.__orig_class__)
        return msgspec.msgpack.Decoder(argument), msgspec.msgpack.Decoder(result)


class Caller(Protocol):
    """Whoever carries calls to one node: `RpcClient`."""

    async def call(
        self,
        call: Call[Argument, Result],
        argument: Argument,
        *,
        timeout: float,  # noqa: ASYNC109  it travels with the call, and decides its error
    ) -> Result:
        """The result, or the PushError that the node refused with."""


class Outcome(msgspec.Struct, frozen=True, array_like=True):
    """A delivery, or the error instead of it."""

    delivery: Delivery | None
    code: str = ""
    message: str = ""


PUSH = Call[Sequence[Push], list[Outcome]]("pusher.push")
PASS_ON = Call[Sequence[Push], list[Outcome]]("pusher.pass_on")
PRESENCE = Call[Sequence[Key], list[Presence]]("pusher.presence")

STATUS = Call[None, Status]("node.status")

SAVE = Call[Sequence[Save], list[Saved]]("store.save")
FETCH = Call[tuple[Key, int, int, int | None], Page]("store.fetch")  # key, after, limit, until
MARKS = Call[Sequence[Key], list[int]]("store.marks")
DELETE = Call[tuple[Key, Sequence[int] | None], int]("store.delete")  # key, ids
FEED = Call[tuple[int, int], Feed]("store.feed")  # position, limit
SWEEP = Call[int, int]("store.sweep")  # limit

REMEMBER = Call[tuple[bytes, bytes, float], bytes]("ledger.remember")  # name, value, kept_until
RECALL = Call[bytes, bytes | None]("ledger.recall")
REVOKE = Call[tuple[str, float, float], None]("ledger.revoke")  # subject, before, kept_until
REVOCATIONS = Call[int, list[Revocation]]("ledger.revocations")


class RemotePusher:
    """A `Pusher` at the other end. Each call ends within `timeout` seconds."""

    def __init__(self, caller: Caller, timeout: float) -> None:
        self._caller = caller
        self._timeout = timeout

    async def push(
        self, pushes: Sequence[Push], *, passed_on: bool = False
    ) -> list[Delivery | PushError]:
        call = PASS_ON if passed_on else PUSH
        outcomes = await self._caller.call(call, pushes, timeout=self._timeout)
        return [o.delivery or PushError.from_wire(o.code, o.message) for o in outcomes]

    async def presence(self, keys: Sequence[Key]) -> list[Presence]:
        return await self._caller.call(PRESENCE, keys, timeout=self._timeout)


def pusher_handlers(pusher: Pusher) -> Handlers:
    """The table of a server that answers for `pusher`."""

    async def push(pushes: Sequence[Push]) -> list[Outcome]:
        return [_outcome(one) for one in await pusher.push(pushes)]

    async def pass_on(pushes: Sequence[Push]) -> list[Outcome]:
        return [_outcome(one) for one in await pusher.push(pushes, passed_on=True)]

    return dict(
        [
            PUSH.answered_by(push),
            PASS_ON.answered_by(pass_on),
            PRESENCE.answered_by(pusher.presence),
        ]
    )


def _outcome(one: Delivery | PushError) -> Outcome:
    if isinstance(one, PushError):
        return Outcome(None, one.code, str(one))
    return Outcome(one)


class RemoteStore:
    """An `OfflineStore` at the other end. Each call ends within `timeout` seconds."""

    def __init__(self, caller: Caller, timeout: float) -> None:
        self._caller = caller
        self._timeout = timeout

    async def save(self, saves: Sequence[Save]) -> list[Saved]:
        return await self._caller.call(SAVE, saves, timeout=self._timeout)

    async def fetch(self, key: Key, after: int, *, limit: int, until: int | None = None) -> Page:
        # a client's cursor may be any number; beyond the ids that there can be they are all alike
        after = min(max(after, -1), MAX_ID)
        until = None if until is None else min(max(until, -1), MAX_ID)
        return await self._caller.call(FETCH, (key, after, limit, until), timeout=self._timeout)

    async def marks(self, keys: Sequence[Key]) -> list[int]:
        return await self._caller.call(MARKS, keys, timeout=self._timeout)

    async def delete(self, key: Key, ids: Sequence[int] | None = None) -> int:
        return await self._caller.call(DELETE, (key, ids), timeout=self._timeout)

    async def feed(self, position: int, *, limit: int) -> Feed:
        return await self._caller.call(FEED, (position, limit), timeout=self._timeout)

    async def sweep(self, *, limit: int) -> int:
        return await self._caller.call(SWEEP, limit, timeout=self._timeout)


def store_handlers(store: OfflineStore) -> Handlers:
    """The table of a server that answers for `store`."""
    return dict(
        [
            SAVE.answered_by(store.save),
            FETCH.answered_by(lambda a: store.fetch(a[0], a[1], limit=a[2], until=a[3])),
            MARKS.answered_by(store.marks),
            DELETE.answered_by(lambda a: store.delete(*a)),
            FEED.answered_by(lambda a: store.feed(a[0], limit=a[1])),
            SWEEP.answered_by(lambda limit: store.sweep(limit=limit)),
        ]
    )


class RemoteLedger:
    """A `Ledger` at the other end. Each call ends within `timeout` seconds."""

    def __init__(self, caller: Caller, timeout: float) -> None:
        self._caller = caller
        self._timeout = timeout

    async def remember(self, name: bytes, value: bytes, *, kept_until: float) -> bytes:
        return await self._caller.call(REMEMBER, (name, value, kept_until), timeout=self._timeout)

    async def recall(self, name: bytes) -> bytes | None:
        return await self._caller.call(RECALL, name, timeout=self._timeout)

    async def revoke(self, subject: str, *, issued_before: float, kept_until: float) -> None:
        asked = (subject, issued_before, kept_until)
        await self._caller.call(REVOKE, asked, timeout=self._timeout)

    async def revocations(self, position: int) -> list[Revocation]:
        return await self._caller.call(REVOCATIONS, position, timeout=self._timeout)


def ledger_handlers(ledger: Ledger) -> Handlers:
    """The table of a server that answers for `ledger`."""
    return dict(
        [
            REMEMBER.answered_by(lambda a: ledger.remember(a[0], a[1], kept_until=a[2])),
            RECALL.answered_by(ledger.recall),
            REVOKE.answered_by(lambda a: ledger.revoke(a[0], issued_before=a[1], kept_until=a[2])),
            REVOCATIONS.answered_by(ledger.revocations),
        ]
    )
