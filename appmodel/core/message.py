"""What is pushed, what is stored, and what the caller hears of it.

One accepted push travels as `Push` from web to the owner of its keys, from there as `Save` to the
store, and comes back as `Saved` and `Delivery`. All of them are msgpack arrays between nodes,
and what lies outside of the bounds given here is refused where it arrives.

A message to many people is nearly the same for all of them. What differs is the tail of its key, so
that the body is kept and sent once:

    body    {"content":"hi","fromUserName":"g7@qun"}
    tail    "toUserName":"u1@user","activeSessions":[]                       of key u1@user
    copy    {"content":"hi","fromUserName":"g7@qun","toUserKey":"u1@user","toUserName":"u1@user","activeSessions":[]}

The inbox of a user is stored; copies for the user's sessions differ in `toUserKey` alone, have the id
of the inbox's message, and are not stored.
"""

from collections.abc import Sequence
from typing import Annotated, Self

import msgspec
from msgspec import Meta

from appmodel.core.clock import MAX_ID
from appmodel.core.names import MAX_KEY, MAX_REALM, Key

PUSH_ID = 16  # bytes of a push id: 128 random bits, or a digest of the caller's idempotency key
DEDUPE_WINDOW = 24 * 3600.0  # seconds for which a store knows a push id again, or the ttl if longer

MAX_INSTANT = 1e11  # Unix seconds: the year 5138

MessageId = Annotated[int, Meta(ge=0, le=MAX_ID)]
ProposedId = Annotated[int, Meta(ge=0, le=2**63 - 1)]  # one above MAX_ID is the store's to refuse
Instant = Annotated[float, Meta(ge=0, le=MAX_INSTANT)]  # Unix seconds
PushId = Annotated[bytes, Meta(min_length=PUSH_ID, max_length=PUSH_ID)]
ClientName = Annotated[str, Meta(max_length=MAX_KEY + MAX_REALM)]
Tally = Annotated[int, Meta(ge=0, lt=2**53)]
Online = Annotated[int, Meta(ge=0, lt=2**32)]  # subscribers

_encode = msgspec.json.Encoder().encode


class Sessions(msgspec.Struct, frozen=True, array_like=True):
    """Which sessions of an inbox get a copy, beside the inbox itself."""

    only: frozenset[str] | None = None  # these session ids; None = all
    without: Annotated[str, Meta(max_length=255)] = ""  # not those whose id ends so: who sent it
    but: frozenset[str] = frozenset()  # not these: they are keys of the push themselves

    def include(self, session: Key) -> bool:
        """Whether this session key gets a copy."""
        if self.without and session.id.endswith(self.without):
            return False
        if session.id in self.but:
            return False
        return self.only is None or session.id in self.only


ALL_SESSIONS = Sessions()


def other_sessions(keys: Sequence[Key]) -> Sessions:
    """All sessions of the inboxes among `keys`, but for those that are there by name: once is enough."""
    named = frozenset(key.id for key in keys if key.suffix == "user" and "_" in key.id)
    return Sessions(but=named) if named else ALL_SESSIONS


class Push(msgspec.Struct, frozen=True, array_like=True):
    """One message for many keys of one owner. Pushes of one call with one push id share their ids."""

    push_id: PushId  # names this push on every retry
    keys: tuple[Key, ...]  # no key twice
    body: bytes  # valid JSON text, as the caller wrote it
    expires_at: Instant = 0.0  # 0 = not stored, for whoever is online
    tails: tuple[bytes, ...] = ()  # of each key; () = all get the body as it is
    sessions: Sessions | None = None  # None = the keys alone
    without: ClientName = ""  # a client of Socket.IO that is not to get it: who sent it
    tally: Tally = 0  # comets count what they write of it under this number; 0 = they do not

    def __post_init__(self) -> None:
        check_tails(self.keys, self.body, self.tails)

    def part(self, keys: Sequence[Key]) -> Self:
        """The same for some of its keys, in their order."""
        if not self.tails:
            return msgspec.structs.replace(self, keys=tuple(keys))
        tail_of = dict(zip(self.keys, self.tails, strict=True))
        tails = tuple(tail_of[key] for key in keys)
        return msgspec.structs.replace(self, keys=tuple(keys), tails=tails)


class Delivery(msgspec.Struct, frozen=True, array_like=True):
    """What became of a push: three tuples in the order of its keys."""

    ids: tuple[MessageId, ...]  # per key; nearly always all the same
    online: tuple[Online, ...]  # subscribers that were offered it
    stored: bool


class Save(msgspec.Struct, frozen=True, array_like=True):
    """A push on its way into the store, with the id that the owner proposes for all its keys."""

    push_id: PushId
    proposed_id: ProposedId
    keys: tuple[Key, ...]
    body: bytes
    expires_at: Instant
    tails: tuple[bytes, ...] = ()  # of each key; () = none. Whoever fetches gets whole copies

    def __post_init__(self) -> None:
        check_tails(self.keys, self.body, self.tails)


class Saved(msgspec.Struct, frozen=True, array_like=True):
    """The store's verdict, in the order of the keys."""

    ids: tuple[MessageId, ...]
    prevs: tuple[MessageId, ...]  # the key's mark just before: what a holder must have seen already


class Stored(msgspec.Struct, frozen=True, array_like=True):
    """One message as the store gives it back."""

    id: MessageId
    body: bytes
    expires_at: float  # Unix seconds


class Page(msgspec.Struct, frozen=True, array_like=True):
    """A piece of a key's messages, ids ascending. `more`: ask again after the last id."""

    messages: tuple[Stored, ...]
    more: bool


class Feed(msgspec.Struct, frozen=True, array_like=True):
    """Keys whose mark rose since a position; ask again from `position`."""

    position: int
    marks: tuple[tuple[Key, MessageId], ...]


class Presence(msgspec.Struct, frozen=True, array_like=True):
    """A key as its owner sees it now."""

    online: Online
    acknowledged: MessageId  # the highest id that a subscriber of it has acknowledged; 0 = none


class Revocation(msgspec.Struct, frozen=True, array_like=True):
    """Credentials of `subject` issued before an instant are void."""

    position: int  # grows with each revocation
    subject: str  # "key:<stored key>" or "token:<id>"
    issued_before: float  # Unix seconds
    kept_until: float  # Unix seconds; by then every such credential has expired by itself


def check_tails(keys: Sequence[Key], body: bytes, tails: Sequence[bytes]) -> None:
    """Whether `personal` can make copies of these.

    Raises:
        ValueError: there are tails, and not one for each key, or the body is not an object with members.
    """
    if tails and not (
        len(tails) == len(keys) and all(tails) and len(body) > 4 and body[-1:] == b"}"
    ):
        raise ValueError("tails: expected one for each key, and a body that ends with a member")


def personal(body: bytes, tail: bytes, key: Key) -> bytes:
    """The copy of `body` for `key`: the same JSON object, with its key and the members of `tail`."""
    return b'%b,"toUserKey":%b,%b}' % (body[:-1], _encode(str(key)), tail)
