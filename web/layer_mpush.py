"""Mpush on a web node, wired: who pushes by HTTP (2246), and who reads by it.

senders, readers ─> 2246 ─> MpushFrame ─> parts ─> MpushPushing ─> Pushing ─> comets, store
                                                               └> MpushWaits (acknowledgements)
                                                 Pushing ─> layer_mpush_receivers (copies)
                                      └> MpushReading ─> store, AckBook
"""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from appmodel.core.addresses import Addresses
from appmodel.core.mpush_auth import AUTH_TTL, MpushAuth, auth_key
from appmodel.core.mpush_tokens import MpushGate, Right
from appmodel.core.origins import Origins
from appmodel.io.caching import Changes
from appmodel.io.mpush_known import KnownDevices
from appmodel.io.mpush_waits import ClusterWaits
from appmodel.runtime.config import is_loopback
from appmodel.runtime.mpush import (
    open_mpush_books,
    open_tries,
    preregister,
    require_own_token,
)
from appmodel.runtime.service import Context
from web.api.mpush_commands import MpushCommands
from web.api.mpush_frame import MpushFrame
from web.api.mpush_pushes import MpushPushes
from web.api.mpush_reads import MpushReads
from web.config import MpushConfig, WebConfig
from web.core.mpush_paths import Wanted
from web.gateways.mpush_ways import open_mpush_ways
from web.layer_mpush_receivers import open_receivers
from web.services.mpush_access import MpushAccess
from web.services.mpush_delays import DelayedPushes
from web.services.mpush_pushing import MpushPushing, MpushRules
from web.services.mpush_reading import MpushReading, Tail
from web.services.pushing import Pushing
from web.services.reading import Reading


@asynccontextmanager
async def open_mpush(
    context: Context, pushing: Pushing, reading: Reading, changes: Changes, stop: trio.Event
) -> AsyncIterator[MpushFrame | None]:
    """Everything that the listener answers; None: this node has none. Streams end when `stop` is set.

    Raises:
        ConfigError: the token of all is the well-known one, away from home.
    """
    config = context.settings.section(WebConfig).mpush
    if not config.enabled:
        yield None
        return
    require_own_token("web.mpush", config.host, context.settings.mpush.token)
    tail = Tail(
        context.peers.store,
        every=config.poll,
        timeout=context.settings.section(WebConfig).read_timeout,
        limit=config.readers,
        limit_of_one=config.readers_of_one,
        revoked=lambda: context.revocations.position,
    )
    wiring = _Wiring(context, pushing, reading, changes, tail)
    _observe(context, wiring, tail)
    async with wiring.receivers(stop), trio.open_nursery() as nursery:
        if context.settings.mpush.registers:
            await nursery.start(preregister, context.settings, wiring.books)
        nursery.start_soon(tail.run)
        nursery.start_soon(wiring.delayed.run)
        nursery.start_soon(_let_go, tail, stop)
        yield wiring.frame()
        nursery.cancel_scope.cancel()


def open_rights(config: MpushConfig, auth_mode: str) -> frozenset[Right]:
    """What needs no token."""
    at_home = auth_mode == "off" and is_loopback(config.host)
    rights = {Right.READ} if at_home else set()
    if config.open == "yes" or (config.open == "auto" and at_home):
        rights.add(Right.PUBLISH)
    return frozenset(rights)


class _Wiring:
    """What the parts share."""

    def __init__(
        self, context: Context, pushing: Pushing, reading: Reading, changes: Changes, tail: Tail
    ) -> None:
        self.context, self.tail, self.reading = context, tail, reading
        self.whole = context.settings.section(WebConfig)
        self.config, settings = self.whole.mpush, context.settings
        self.books = books = open_mpush_books(settings, context.database)
        self.rights = open_rights(self.config, settings.auth.mode)
        gate = MpushGate(
            settings.mpush.token,
            None if settings.auth.mode == "off" else context.credentials,
            context.revocations,
            now=time.time,
            open=self.rights,
        )
        self.tries = open_tries(settings, gate)
        self.access = MpushAccess(self.tries, Addresses(self.whole.proxies))
        self.hooks = frozenset(hook.name for hook in settings.mpush.hooks)
        self.pushing = pushing
        self.known = KnownDevices(books.devices, books.receivers, context.database, changes)
        self.waits = ClusterWaits(context.registry, context.peers.waits)
        self.making = MpushPushing(
            pushing,
            self.known,
            self.waits,
            books.delays,
            MpushRules(self.config.targets, settings.mpush.ttl, self.hooks),
            now=time.time,
        )
        self.kept = MpushReading(
            reading,
            context.peers.store,
            books.acks,
            self.waits,
            tail,
            timeout=self.whole.read_timeout,
            beat=self.config.beat,
            hooks=self.hooks,
        )
        self.delayed = DelayedPushes(books.delays, self.making, now=time.time)
        self.pushes = MpushPushes(self.making, self.config, max_message=self.whole.max_message)

    def frame(self) -> MpushFrame:
        """All of it."""
        config = self.config
        reads = MpushReads(self.making, self.kept, self.books.delays, line_feed=config.line_feed)
        parts = {
            Wanted.PUSH: self.pushes.push,
            Wanted.JSON: reads.lines,
            Wanted.SSE: reads.events,
            Wanted.STATUS: reads.status,
            Wanted.DELAYED: reads.waiting,
            Wanted.CANCEL: reads.cancel,
        }
        home = Right.PUBLISH in self.rights and is_loopback(config.host)
        origins = Origins(config.origins, self.whole.hosts, home=home)
        commands = self._commands()
        return MpushFrame(self.access, origins, parts, commands.obey, line_feed=config.line_feed)

    @asynccontextmanager
    async def receivers(self, stop: trio.Event) -> AsyncIterator[None]:
        """Who gets copies is served until the block ends."""
        parts = (self.books, self.known, self.waits, self.pushing, self.reading, self.tail)
        async with (
            open_mpush_ways(self.context.settings, self.books.keys) as ways,
            open_receivers(self.context, *parts, stop, ways=ways),
        ):
            yield

    def _commands(self) -> MpushCommands:
        key = auth_key(self.context.credentials, self.context.settings.mpush.token)
        auth = MpushAuth(key, ttl=AUTH_TTL)
        parts = (self.pushes, self.making, self.kept, self.access, auth, self.books, self.waits)
        return MpushCommands(*parts)


def _observe(context: Context, wiring: _Wiring, tail: Tail) -> None:
    making, delayed = wiring.making, wiring.delayed
    context.metrics.counter(
        "web_mpush_pushes",
        "Pushes to devices of Mpush, by what their callers heard.",
        lambda: {(state.word,): count for state, count in making.answered.items()},
        labels=("answer",),
    )
    context.metrics.counter(
        "web_mpush_delayed",
        "Pushes whose time had come, by what became of them.",
        lambda: {(outcome,): count for outcome, count in delayed.outcomes.items()},
        labels=("outcome",),
    )
    context.metrics.gauge("web_mpush_readers", "Open streams.", lambda: tail.readers)
    tries = wiring.tries
    context.metrics.counter("web_mpush_wrong_tokens", "Weighed.", lambda: tries.wrong)
    context.metrics.counter("web_mpush_slowed", "Tokens that had to wait.", lambda: tries.slowed)


async def _let_go(tail: Tail, stop: trio.Event) -> None:
    await stop.wait()
    tail.close()
