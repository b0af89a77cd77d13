"""What a caller orders, and what became of it at each key.

    names     "u1@user", "g7@qun", ...       as the caller writes them
    keys      Key("", "u1", "user"), ...     what comets own; no key twice

An order with an idempotency key gets its push id from it, so that the same order is the same push
wherever and whenever it is repeated: SHA-256 over realm, caller and key. Its fingerprint tells
whether the repetition is of the same order.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import NamedTuple

import msgspec

from appmodel.core.message import PUSH_ID, Delivery, Push
from appmodel.core.names import Key, parse_key
from appmodel.errors import BadInput, OutcomeUnknown, PushError, TooLarge

MAX_TTL = 2**32 - 1  # seconds; the original's `expire` is an unsigned 32-bit number
MAX_IDEMPOTENCY_KEY = 255  # bytes of UTF-8


class Claim(NamedTuple):
    """The name under which the first answer to an order is remembered, and what the order was."""

    name: bytes
    fingerprint: bytes


@dataclass(frozen=True, slots=True)
class Order:
    """A push as a caller wants it, with the claim of its idempotency key if it has one.

    `names`: as the caller wrote them, with the keys that each stands for; None = the keys themselves.
    """

    push: Push
    claim: Claim | None = None
    names: Mapping[str, tuple[Key, ...]] | None = None


class Sent(NamedTuple):
    """A push at one key."""

    id: int  # of the message there
    stored: bool
    online: int  # subscribers that were offered it


@dataclass(slots=True)
class Outcome:
    """What became of a push. In the end each of its keys is in exactly one of the two."""

    push: Push
    sent: dict[Key, Sent] = field(default_factory=dict)
    failed: dict[Key, PushError] = field(default_factory=dict)

    @classmethod
    def refused(cls, push: Push, error: PushError) -> "Outcome":
        """Nothing was done at any key."""
        return cls(push, {}, dict.fromkeys(push.keys, error))

    def add(self, keys: Sequence[Key], delivery: Delivery) -> None:
        """Note what an owner did for `keys`."""
        stored = delivery.stored
        for key, message_id, online in zip(keys, delivery.ids, delivery.online, strict=True):
            self.sent[key] = Sent(message_id, stored, online)

    @property
    def error(self) -> PushError | None:
        """The one to answer if the push reached no key at all: a doubt about any key outweighs refusals."""
        if self.sent or not self.failed:
            return None
        errors = list(self.failed.values())
        return next((error for error in errors if isinstance(error, OutcomeUnknown)), errors[0])

    def check(self) -> None:
        """Raise `error` if there is one."""
        if (error := self.error) is not None:
            raise error


def parse_targets(names: Iterable[str], realm: str, *, field: str, limit: int) -> tuple[Key, ...]:
    """The keys that `names` are, each once, in their order.

    A name that stands for many (a group, a department) is looked up in the directory: see
    web/services/addressing.py.

    Raises:
        BadInput: no name, or a bad one, with its place.
        TooLarge: more than `limit`.
    """
    keys: dict[Key, None] = {}
    for index, name in enumerate(names):
        if index >= limit:
            raise TooLarge(f"{field}: more than {limit} names in one call")
        try:
            keys[parse_key(name, realm)] = None
        except BadInput as error:
            raise BadInput(f"{field}[{index}]", name, error.expected) from None
    if not keys:
        raise BadInput(field, [], "at least one name")
    return tuple(keys)


def claim_of(
    idempotency_key: str, who: str, realm: str, names: Sequence[str], body: bytes, ttl: float
) -> Claim:
    """The claim of an order with this idempotency key, of the caller `who`.

    Raises:
        BadInput: the key is too long or cannot be printed.
    """
    if (
        not idempotency_key
        or not idempotency_key.isprintable()
        or len(idempotency_key.encode()) > MAX_IDEMPOTENCY_KEY
    ):
        expected = f"1 to {MAX_IDEMPOTENCY_KEY} bytes of printable characters"
        raise BadInput("idempotency_key", idempotency_key, expected)
    whose = ("appmsg/order", realm, who, idempotency_key)
    what = (tuple(names), body, ttl)
    return Claim(_digest(whose), _digest(what))


def push_id_of(claim: Claim) -> bytes:
    """The push id of every attempt at the order, at any node."""
    return claim.name[:PUSH_ID]


def _digest(value: object) -> bytes:
    return sha256(msgspec.msgpack.encode(value)).digest()
