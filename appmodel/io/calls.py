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
from operator import lt
from typing import Annotated, Any, Generic, Protocol, TypeVar, get_args

import msgspec
from msgspec import Meta

from appmodel.core.clock import MAX_ID
from appmodel.core.cluster import Status
from appmodel.core.interfaces import Ledger, OfflineStore, Pusher
from appmodel.core.message import (
    Delivery,
    Feed,
    Instant,
    MessageId,
    Page,
    Presence,
    Push,
    Revocation,
    Save,
    Saved,
    personal,
)
from appmodel.core.names import Key, check_keys
from appmodel.errors import BadInput, OutcomeUnknown, PushError
from appmodel.io.rpc_server import Handler, Handlers
from appmodel.protocol.envelope import checked_json

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
            OutcomeUnknown: something else came, so nobody knows what was done.
        """
        try:
            value: Result = self._decoders[1].decode(result)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise OutcomeUnknown(f"the answer of {self.method}: {error}") from None
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


Position = Annotated[int, Meta(ge=-1, le=2**63 - 1)]  # an id, or a place in a feed; -1: none
Limit = Annotated[int, Meta(ge=0, le=1_000_000)]
Name = Annotated[bytes, Meta(max_length=255)]  # of a fact: what a SQL store has room for
Subject = Annotated[str, Meta(max_length=1024, pattern=r"^[^\0]*$")]  # who is revoked

PUSH = Call[Sequence[Push], list[Outcome]]("pusher.push")
PASS_ON = Call[Sequence[Push], list[Outcome]]("pusher.pass_on")
PRESENCE = Call[Sequence[Key], list[Presence]]("pusher.presence")

STATUS = Call[None, Status]("node.status")

SAVE = Call[Sequence[Save], list[Saved]]("store.save")
FETCH = Call[tuple[Key, Position, Limit, Position | None], Page]("store.fetch")  # .. until
MARKS = Call[Sequence[Key], list[MessageId]]("store.marks")
DELETE = Call[tuple[Key, Sequence[Position] | None], int]("store.delete")  # key, ids
FEED = Call[tuple[Position, Limit], Feed]("store.feed")  # position, limit
SWEEP = Call[Limit, int]("store.sweep")  # limit

REMEMBER = Call[tuple[Name, bytes, Instant], bytes]("ledger.remember")  # name, value, kept_until
RECALL = Call[Name, bytes | None]("ledger.recall")
REVOKE = Call[tuple[Subject, Instant, Instant], None]("ledger.revoke")  # before, kept until
REVOCATIONS = Call[Position, list[Revocation]]("ledger.revocations")


def _check_fit(call: Call[Any, Any], fits: bool) -> None:
    """Whether an answer is one to what was asked: behind this line nobody counts again.

    Raises:
        OutcomeUnknown: it is not.
    """
    if not fits:
        raise OutcomeUnknown(f"the answer of {call.method} does not fit what was asked")


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
        _check_fit(
            call, len(outcomes) == len(pushes) and all(map(_is_outcome_of, outcomes, pushes))
        )
        return [o.delivery or PushError.from_wire(o.code, o.message) for o in outcomes]

    async def presence(self, keys: Sequence[Key]) -> list[Presence]:
        found = await self._caller.call(PRESENCE, keys, timeout=self._timeout)
        _check_fit(PRESENCE, len(found) == len(keys))
        return found


def _is_outcome_of(outcome: Outcome, push: Push) -> bool:
    delivery, keys = outcome.delivery, len(push.keys)
    return delivery is None or len(delivery.ids) == len(delivery.online) == keys


def pusher_handlers(pusher: Pusher) -> Handlers:
    """The table of a server that answers for `pusher`."""

    def check(pushes: Sequence[Push]) -> None:
        _check_addresses(pushes)
        for push in pushes:
            check_copies(push)

    async def push(pushes: Sequence[Push]) -> list[Outcome]:
        check(pushes)
        return [_outcome(one) for one in await pusher.push(pushes)]

    async def pass_on(pushes: Sequence[Push]) -> list[Outcome]:
        check(pushes)
        return [_outcome(one) for one in await pusher.push(pushes, passed_on=True)]

    return dict(
        [
            PUSH.answered_by(push),
            PASS_ON.answered_by(pass_on),
            PRESENCE.answered_by(lambda keys: pusher.presence(check_keys(keys))),
        ]
    )


def _outcome(one: Delivery | PushError) -> Outcome:
    if isinstance(one, PushError):
        return Outcome(None, one.code, str(one))
    return Outcome(one)


class Copied(Protocol):
    """A message for several keys: a push, or a part of one on its way to a holder."""

    @property
    def keys(self) -> tuple[Key, ...]:
        """Those that get it."""

    @property
    def body(self) -> bytes:
        """What all copies have."""

    @property
    def tails(self) -> tuple[bytes, ...]:
        """What each has beside it, or nothing."""


def check_copies(push: Copied) -> None:
    """Whether all copies are JSON, without making each: 10,000 of them would take 10 ms a kilobyte.

    Raises:
        BadInput: the body is not JSON text, or a tail is not members of an object.
    """
    checked_json(push.body, "body")
    if push.tails:
        checked_json(personal(push.body, push.tails[0], push.keys[0]), "tails")
    for tail in push.tails:
        if tail[:1] != b'"':  # white space alone would be an object too
            raise BadInput("tails", tail[:80].decode(errors="replace"), "members of a JSON object")
        checked_json(b"{%b}" % tail, "tails")


def _check_addresses(pushes: Sequence[Push | Save]) -> None:
    """Whether all of them can be saved: one that cannot would fail those beside it.

    Raises:
        BadInput: a key that is there twice, or that cannot be.
    """
    for push in pushes:
        check_keys(push.keys)
        if len(push.keys) > 1 and len(set(push.keys)) < len(push.keys):
            raise BadInput("keys", [key.stored for key in push.keys[:3]], "no key twice")


class RemoteStore:
    """An `OfflineStore` at the other end. Each call ends within `timeout` seconds."""

    def __init__(self, caller: Caller, timeout: float) -> None:
        self._caller = caller
        self._timeout = timeout

    async def save(self, saves: Sequence[Save]) -> list[Saved]:
        saved = await self._caller.call(SAVE, saves, timeout=self._timeout)
        _check_fit(SAVE, len(saved) == len(saves) and all(map(_is_verdict_on, saved, saves)))
        return saved

    async def fetch(self, key: Key, after: int, *, limit: int, until: int | None = None) -> Page:
        # a client's cursor may be any number; beyond the ids that there can be they are all alike
        after = min(max(after, -1), MAX_ID)
        until = None if until is None else min(max(until, -1), MAX_ID)
        asked = (key, after, limit, until)
        page = await self._caller.call(FETCH, asked, timeout=self._timeout)
        ids = [after, *(message.id for message in page.messages)]
        is_ascending = all(map(lt, ids, ids[1:])) and (
            until is None or max(ids[1:], default=0) <= until
        )
        _check_fit(FETCH, is_ascending and (len(ids) > 1 or not page.more))
        return page

    async def marks(self, keys: Sequence[Key]) -> list[int]:
        marks = await self._caller.call(MARKS, keys, timeout=self._timeout)
        _check_fit(MARKS, len(marks) == len(keys))
        return marks

    async def delete(self, key: Key, ids: Sequence[int] | None = None) -> int:
        return await self._caller.call(DELETE, (key, ids), timeout=self._timeout)

    async def feed(self, position: int, *, limit: int) -> Feed:
        return await self._caller.call(FEED, (position, limit), timeout=self._timeout)

    async def sweep(self, *, limit: int) -> int:
        return await self._caller.call(SWEEP, limit, timeout=self._timeout)


def _is_verdict_on(saved: Saved, save: Save) -> bool:
    ids, prevs = saved.ids, saved.prevs
    return len(ids) == len(prevs) == len(save.keys) and all(map(lt, prevs, ids))


def store_handlers(store: OfflineStore) -> Handlers:
    """The table of a server that answers for `store`."""

    async def save(saves: Sequence[Save]) -> list[Saved]:
        _check_addresses(saves)
        return await store.save(saves)

    async def fetch(asked: tuple[Key, int, int, int | None]) -> Page:
        key, after, limit, until = asked
        check_keys([key])
        return await store.fetch(key, after, limit=limit, until=until)

    async def delete(asked: tuple[Key, Sequence[int] | None]) -> int:
        key, ids = asked
        check_keys([key])
        return await store.delete(key, ids)

    return dict(
        [
            SAVE.answered_by(save),
            FETCH.answered_by(fetch),
            MARKS.answered_by(lambda keys: store.marks(check_keys(keys))),
            DELETE.answered_by(delete),
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
