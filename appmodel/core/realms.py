"""What the cluster does for a realm of Socket.IO as a whole: one connection for each client id, and orders.

    Claims         a comet asks before it accepts a client    comet/io/claims.py
    RealmOrders    web tells all comets                       appmodel/io/realm_orders.py

A realm is a namespace with its slash. Its addresses, as the ring and the hub know them:

    light-push                         key
    room r1 of /demo                   ("/demo", "r1", "qun")
    user_u1 of /demo, every device     ("/demo", "u1", "user")
    client /demo#u1#ios-d1             ("/demo", "u1#ios-d1", "")     260 characters would be too many for a key

Source: spec/liutian-push.md sections 3.3, 5.4, 5.5 and 14.
"""

import enum
from typing import Annotated, Protocol

import msgspec
from msgspec import Meta

from appmodel.core.names import MAX_REALM, Key

USER_ROOM = "user_"  # what the name of a user's room begins with
MAX_SOURCES = 1000  # rooms of one transfer; ours: the original has no limit
MAX_ROOM = 100  # characters

Realm = Annotated[str, Meta(pattern="^/", max_length=MAX_REALM)]
Room = Annotated[str, Meta(min_length=1, max_length=MAX_ROOM)]


def room_key(realm: str, room: str) -> Key:
    """What is subscribed to by who is in `room`; of a user's room that is the user's inbox."""
    user = room.removeprefix(USER_ROOM)
    if user and user != room:
        return Key(realm, user, "user")
    return Key(realm, room, "qun")


def client_key(realm: str, client_id: str) -> Key:
    """The key of one client alone. `client_id`: whole, as clients and REST know it."""
    return Key(realm, client_id.removeprefix(f"{realm}#"), "")


def is_client_key(key: Key) -> bool:
    """Whether it looks like one of `client_key`: somebody may have claimed it."""
    return key.is_of_namespace and not key.suffix and "#" in key.id


class Claimant(Protocol):
    """A connection that is to be the only one of its client id."""

    async def shows_life(self, within: float) -> bool:
        """Whether its client proves within so many seconds that it still reads and answers.

        A connection that has ended does not. Cancelling is safe.
        """

    def oust(self, reason: str) -> None:
        """End the transport that carries it, at once: another one has its place."""


class Claims(Protocol):
    """One client id, one connection, in the whole cluster. Embedded in each comet."""

    async def claim(self, key: Key, claimant: Claimant) -> bool:
        """Whether `claimant` may come in; then the id is its own until `release`.

        False: another connection has it, or is on its way, and shows life. One that does not is ousted
        before this returns. Of several at once exactly one gets True. Takes as long as a proof of life
        (comet.cluster.claim_timeout at most); a cluster that cannot be asked in that time does not keep
        clients out: who came twice is found later, and the younger one is ousted. Cancelling is safe:
        then nothing is claimed.
        """

    def release(self, key: Key, claimant: Claimant) -> None:
        """It has gone, or was refused after all. Nothing happens if the id is not its own (any more)."""


class Direction(enum.StrEnum):
    """What a transfer does to the members of its sources."""

    JOIN = "join"
    LEAVE = "leave"


class Transfer(msgspec.Struct, frozen=True, array_like=True):
    """Connected members of any of the source rooms join the target room, or leave it."""

    realm: Realm
    target: Room
    sources: Annotated[tuple[Room, ...], Meta(min_length=1, max_length=MAX_SOURCES)]
    direction: Direction


class Obeyed(msgspec.Struct, frozen=True, array_like=True):
    """What became of an order."""

    clients: (
        int  # that it was for; what changes for each is decided behind what is under way for it
    )
    away: tuple[str, ...] = ()  # comets that did not say in time that they have heard it


class RealmHost(Protocol):
    """One comet, as `RealmOrders` sees it. Repeating an order is harmless."""

    async def transfer(self, order: Transfer) -> int:
        """See `RealmOrders`; how many clients of the sources are here."""

    async def dismiss(self, realm: str, reason: str) -> int:
        """See `RealmOrders`; how many clients of the realm were here."""


class RealmOrders(Protocol):
    """Orders to all comets about the clients of a realm. No comet is waited for longer than a call takes.

    A comet that comes back from a silence has its old clients still: `away` says that they may not
    have been reached. Others answer when the books have what they know of these clients, if that is possible in a
    moment. Repeating an order is harmless.
    """

    async def transfer(self, order: Transfer) -> Obeyed:
        """Move connected clients; each whose membership changes is told by `joinRoom` or `leaveRoom`.

        Which effects that has, books included, is decided by the realm's rules on each comet. Two
        orders, one after the other has returned, are carried out in this order.
        """

    async def dismiss(self, realm: str, reason: str) -> Obeyed:
        """Close the namespace for all its clients, now; their transports stay open.

        `reason`: what their rules hear in `gone`.
        """
