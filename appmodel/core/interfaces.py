"""What the nodes ask of one another, with the guarantees that every implementation keeps.

Each protocol has one contract suite in tests/contract/, passed by all its implementations.
Calls to another node end at their deadline: then they raise `OutcomeUnknown`, and a retry with the
same push id is safe. Errors are `PushError`s; nothing else crosses a node border.
"""

from collections.abc import Sequence
from typing import Protocol

from appmodel.core.cluster import ClusterView, Node
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
from appmodel.errors import PushError


class Registry(Protocol):
    """Who is alive. ZooKeeper in a cluster, in-process by default."""

    @property
    def view(self) -> ClusterView:
        """The last known view. Never blocks; versions only grow."""

    @property
    def trouble(self) -> str | None:
        """Why the view may be old, or others may not see us; None = all is well."""

    async def register(self, node: Node) -> None:
        """Announce `node`, or change what is known of the node of that role and name."""

    async def withdraw(self, node: Node) -> None:
        """Take back an announcement. Nothing happens if it is gone or of a newer incarnation."""

    async def wait_newer(self, version: int) -> ClusterView:
        """The first view with a version above `version`. Cancelling is safe."""


class Pusher(Protocol):
    """A comet, as web and other comets see it."""

    async def push(
        self, pushes: Sequence[Push], *, passed_on: bool = False
    ) -> list[Delivery | PushError]:
        """Store, then send, then answer: one outcome per push, in their order.

        A comet that does not own a key passes its push on to the owner, once: with `passed_on` it
        answers NotOwner instead.

        A push with `expires_at` is durable before any client sees it. Per key, ids increase in the
        order of delivery. Pushes of one call are saved as one batch and stay in their order.
        A push id seen before for a key is the same message again: same id, not delivered twice.
        """

    async def presence(self, keys: Sequence[Key]) -> list[Presence]:
        """Who is online now, in the order of `keys`. Unknown keys have nobody."""


class OfflineStore(Protocol):
    """Messages kept until they expire, and the mark of each key.

    The mark is the highest id ever stored for a key: it survives expiry and deletion, and only
    grows. The store is the arbiter of ids, whatever the clocks of two owners say.
    """

    async def save(self, saves: Sequence[Save]) -> list[Saved]:
        """Keep each push until it expires; durable once this returns. All of the batch or nothing.

        Per key, atomically: a push id known within the window (24 h, or the ttl if longer) answers
        its first (id, prev) again, also after its message has expired or was deleted. Otherwise
        id = max(proposed, mark + 1), prev = the old mark, mark = id; of a queue (`Key.is_queue`)
        id = max(proposed, mark + 1000), the proposed one rounded up to 1000, so that no two of its
        ids are of one millisecond. So every caller may retry, and ids rise in commit order. The same body under two push ids is two messages. A body is
        kept once, however many keys it goes to, and beside it the tail of each key; whoever fetches
        gets whole copies (`personal`). A push id may bring another body for further keys: each key
        has what it was first saved with. Above the per-key depth (queues have their own) the oldest go.

        Raises:
            NotStored: nothing was kept: the store is away or full, or a proposed id is more than
                5 min ahead of both the store's time and every mark (a clock that ran away).
        """

    async def fetch(self, key: Key, after: int, *, limit: int, until: int | None = None) -> Page:
        """Unexpired messages with after < id (<= until), ids ascending, at most `limit`.

        A page is bounded in bytes too, in which whole copies count.
        """

    async def marks(self, keys: Sequence[Key]) -> list[int]:
        """The mark of each key, 0 if nothing was ever stored for it."""

    async def delete(self, key: Key, ids: Sequence[int] | None = None) -> int:
        """Remove these messages of the key, or all; how many there were. The mark stays."""

    async def feed(self, position: int, *, limit: int) -> Feed:
        """Keys whose mark rose since `position`, oldest first; -1 asks for the end only."""

    async def sweep(self, *, limit: int) -> int:
        """Free up to `limit` messages, receipts and facts whose time has passed; how many were.

        Nobody can see a difference. Call again while it returns `limit`.
        """


class Ledger(Protocol):
    """Small facts on which all nodes must agree: first answers, and revoked credentials."""

    async def remember(self, name: bytes, value: bytes, *, kept_until: float) -> bytes:
        """Keep `value` under `name` unless there is one; the one that is kept. Durable."""

    async def recall(self, name: bytes) -> bytes | None:
        """What was remembered, until its time has passed."""

    async def revoke(self, subject: str, *, issued_before: float, kept_until: float) -> None:
        """Void the credentials of `subject` issued before that instant. Durable."""

    async def revocations(self, position: int) -> list[Revocation]:
        """Those above `position` still to be kept, positions ascending; 0 asks for all."""
