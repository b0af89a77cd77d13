"""What web answers without pushing: where a key's comet is, its messages, who is online."""

from collections.abc import AsyncGenerator, Callable, Sequence

import trio

from appmodel.core.clock import MAX_ID
from appmodel.core.cluster import Node
from appmodel.core.interfaces import OfflineStore, Registry
from appmodel.core.message import Page, Presence
from appmodel.core.names import Key
from appmodel.errors import BadInput, NoNode, PushError
from web.services.deadlines import answered_within
from web.services.pushing import Owners


class Reading:
    """Reads for callers and clients, each within `timeout` seconds."""

    def __init__(
        self,
        registry: Registry,
        owners: Owners,
        store: Callable[[], OfflineStore],
        *,
        timeout: float,
        page: int,
    ) -> None:
        """`page`: messages of one read of the store."""
        self._registry = registry
        self._owners = owners
        self._store = store
        self._timeout = timeout
        self._page = page

    def owner(self, key: Key) -> Node:
        """The comet that a client of `key` should connect to.

        Raises:
            NoNode: none is registered.
        """
        node = self._registry.view.owner(key)
        if node is None:
            raise NoNode("no comet is registered")
        return node

    async def page(self, key: Key, after: int, limit: int) -> Page:
        """At most `limit` messages of `key` with an id above `after`, ascending.

        Raises:
            BadInput: `after` cannot be an id.
            Unavailable, OutcomeUnknown: no message node answers.
        """
        if not 0 <= after <= MAX_ID:
            raise BadInput("after", after, f"0 to {MAX_ID}")
        with answered_within(self._timeout):
            return await self._store().fetch(key, after, limit=limit)

    async def first_page(self, key: Key, after: int) -> Page:
        """What `pages` begins with."""
        return await self.page(key, after, self._page)

    async def pages(self, key: Key, after: int) -> AsyncGenerator[Page, None]:
        """All messages of `key` above `after`, page by page: no answer is too long to hold."""
        while True:
            page = await self.first_page(key, after)
            yield page
            if not page.more or not page.messages:
                return
            after = page.messages[-1].id

    async def delete(self, key: Key, ids: Sequence[int] | None) -> int:
        """Remove these messages of `key`, or all; how many there were."""
        with answered_within(self._timeout):
            return await self._store().delete(key, ids)

    async def presence(self, keys: Sequence[Key]) -> dict[Key, Presence | PushError]:
        """Who is online, asked of each owner once. An owner that does not answer spoils only its keys."""
        view = self._registry.view
        found: dict[Key, Presence | PushError] = {}
        async with trio.open_nursery() as nursery:
            for owner, mine in view.by_owner(keys).items():
                if owner is None:
                    found.update(dict.fromkeys(mine, NoNode("no comet is registered")))
                else:
                    nursery.start_soon(self._ask, view.comets[owner], mine, found)
        return found

    async def _ask(
        self, node: Node, keys: list[Key], found: dict[Key, Presence | PushError]
    ) -> None:
        try:
            with answered_within(self._timeout):
                answers = await self._owners.pusher(node).presence(keys)
        except PushError as error:
            found.update(dict.fromkeys(keys, error))
        else:
            found.update(zip(keys, answers, strict=True))
