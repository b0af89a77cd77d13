"""Namespaces as a comet knows them: remembered, and watched while clients are in them.

    current    of a namespace with clients: read anew whenever a note says that it has changed
    find       of anybody who connects: that, or what is remembered, not older than database.staleness
               the database is away, or slow: what was last known of it, also if it is old

    offline: on, or removed     after a random time of 0 to 5 s + 0.1 s x clients, at most 5 min, all its clients
                                read `41/ns,`; their transports stay open. Back on in that time: they stay

Source: spec/liutian-push.md 3.6.
"""

import random
from collections.abc import Callable, Collection, Iterable
from itertools import islice

import structlog
import trio

from appmodel.core.lightpush import NOTED
from appmodel.core.lightpush_records import Namespace
from appmodel.errors import PushError, Unavailable
from appmodel.io.caching import Cache, Changes
from comet.config import LightPushConfig
from comet.core.rules import Client, Dismiss

log = structlog.get_logger("comet")

REFRESH = 20.0  # seconds: notes are read only while somebody asks
JITTER, PER_CLIENT, LONGEST = 5.0, 0.1, 300.0  # seconds
STEP = 256  # namespaces that are read, and clients that are dismissed, at a time
OFFLINE = "namespace offline"  # why, for logs and rules


class Watching:
    """Implements `Records` of the rules. `run` must be running."""

    def __init__(
        self,
        cache: Cache[str, Namespace],
        changes: Changes,
        config: LightPushConfig,
        *,
        here: Callable[[str], Collection[Client]],
    ) -> None:
        """`here(namespace)`: its clients on this comet, as they are now."""
        self._cache, self._config, self._here = cache, config, here
        self._last: dict[str, Namespace] = {}  # as last read, of namespaces that were asked for
        self._current: dict[str, Namespace | None] = {}  # of those with clients
        self._stale: set[str] = set()  # of those, what is to be read anew
        self._wanted = trio.Event()
        self._closing: set[str] = set()  # their clients are about to be dismissed
        self.dismissed = 0  # clients
        changes.listen(self._hear)

    # What the rules ask

    async def find(self, namespace: str) -> Namespace | None:
        """See `Records`. Cancelling is safe."""
        if namespace in self._current and namespace not in self._stale:
            return self._current[namespace]
        try:
            with trio.fail_after(self._config.lookup_timeout):
                record = await self._cache.get(namespace)
        except (PushError, trio.TooSlowError):
            record = self._last.get(namespace)
            if record is None:
                raise Unavailable("this namespace cannot be looked up now") from None
            return record
        self._note(namespace, record)
        return record

    def entered(self, record: Namespace) -> None:
        """See `Records`."""
        self._current.setdefault(record.key, record)

    def emptied(self, namespace: str) -> None:
        """See `Records`."""
        self._current.pop(namespace, None)
        self._stale.discard(namespace)

    def current(self, namespace: str) -> Namespace | None:
        """See `Records`."""
        return self._current.get(namespace)

    # What changes

    async def run(self) -> None:
        """Follow the namespaces with clients, until cancelled."""
        async with trio.open_nursery() as nursery:
            while True:
                with trio.move_on_after(REFRESH) as waiting:
                    await self._wanted.wait()
                self._wanted = trio.Event()
                if waiting.cancelled_caught:
                    self._stale.update(self._current)  # remembered, mostly: that keeps them fresh
                while self._stale:
                    await self._read_some(nursery)

    def _hear(self, subjects: Iterable[str] | None) -> None:
        if subjects is None:
            self._stale.update(self._current)
        else:
            keys = {each.removeprefix(NOTED) for each in subjects if each.startswith(NOTED)}
            self._stale.update(keys.intersection(self._current))
        if self._stale:
            self._wanted.set()

    async def _read_some(self, nursery: trio.Nursery) -> None:
        """Those that wait together are one query."""
        namespaces = list(islice(self._stale, STEP))
        self._stale.difference_update(namespaces)
        async with trio.open_nursery() as reads:
            for namespace in namespaces:
                reads.start_soon(self._read, namespace, nursery)

    async def _read(self, namespace: str, nursery: trio.Nursery) -> None:
        try:
            record = await self._cache.get(namespace)
        except PushError:  # the next refresh tries again
            return
        self._note(namespace, record)
        if namespace not in self._current:
            return
        self._current[namespace] = record
        if (record is None or record.is_offline) and namespace not in self._closing:
            self._closing.add(namespace)
            nursery.start_soon(self._close, namespace)

    def _note(self, namespace: str, record: Namespace | None) -> None:
        """For times when the database is away."""
        self._last.pop(namespace, None)
        if record is not None:
            self._last[namespace] = record
            if len(self._last) > self._config.namespaces:
                del self._last[next(iter(self._last))]

    async def _close(self, namespace: str) -> None:
        """Dismiss its clients after a while, unless it comes back meanwhile."""
        try:
            longest = min(JITTER + PER_CLIENT * len(self._here(namespace)), LONGEST)
            await trio.sleep(random.uniform(0, longest))  # noqa: S311  jitter is no secret
            record = self._current.get(namespace)
            if record is not None and not record.is_offline:
                return
            clients = list(self._here(namespace))
            log.info("namespace is offline", namespace=namespace, clients=len(clients))
            for at in range(0, len(clients), STEP):
                for client in clients[at : at + STEP]:
                    client.do((Dismiss(OFFLINE),))
                self.dismissed += len(clients[at : at + STEP])
                await trio.lowlevel.checkpoint()
        finally:
            self._closing.discard(namespace)
