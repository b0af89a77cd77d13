"""What is pushed, what is stored, and what the caller hears of it.

One accepted push travels as `Push` from web to the owner of its keys, from there as `Save` to the
store, and comes back as `Saved` and `Delivery`. All of them are msgpack arrays between nodes,
and what lies outside of the bounds given here is refused where it arrives.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

from appmodel.core.clock import MAX_ID
from appmodel.core.names import Key

PUSH_ID = 16  # bytes of a push id: 128 random bits, or a digest of the caller's idempotency key
DEDUPE_WINDOW = 24 * 3600.0  # seconds for which a store knows a push id again, or the ttl if longer

MAX_INSTANT = 1e11  # Unix seconds: the year 5138

MessageId = Annotated[int, Meta(ge=0, le=MAX_ID)]
ProposedId = Annotated[int, Meta(ge=0, le=2**63 - 1)]  # one above MAX_ID is the store's to refuse
Instant = Annotated[float, Meta(ge=0, le=MAX_INSTANT)]  # Unix seconds
PushId = Annotated[bytes, Meta(min_length=PUSH_ID, max_length=PUSH_ID)]
Online = Annotated[int, Meta(ge=0, lt=2**32)]  # subscribers


class Push(msgspec.Struct, frozen=True, array_like=True):
    """One message for many keys of one owner."""

    push_id: PushId  # names this push on every retry
    keys: tuple[Key, ...]  # no key twice
    body: bytes  # valid JSON text, as the caller wrote it
    expires_at: Instant = 0.0  # 0 = not stored, for whoever is online


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
