"""Mpush of a comet node: opened as the configuration says, and shown to operators.

2245 comet.mpush    any path    WebSocket: devices of the seed version and of 2.2
"""

import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial

import trio

from appmodel.core.addresses import Addresses
from appmodel.core.mpush_auth import AUTH_TTL, MpushAuth, auth_key
from appmodel.core.mpush_tokens import WELL_KNOWN, MpushGate
from appmodel.core.origins import Origins
from appmodel.core.units import Duration
from appmodel.io.http import FrontDoor, HttpLimits
from appmodel.io.mpush_waits import ClusterWaits
from appmodel.runtime.config import open_tls
from appmodel.runtime.mpush import (
    open_mpush_books,
    open_tries,
    preregister,
    require_own_token,
)
from appmodel.runtime.service import Context
from comet.config import CometConfig, MpushConfig
from comet.io.comet import Comet
from comet.io.mpush import Books, Mpush
from comet.io.mpush_door import MpushDoor

HANDSHAKE_GRACE = Duration(1.0)  # for who is in the middle of a handshake when the node stops


@asynccontextmanager
async def opened_mpush(
    context: Context, comet: Comet, now: Callable[[], float]
) -> AsyncIterator[Mpush | None]:
    """It serves until the block ends, if this comet is to have Mpush.

    Args:
        now: Unix seconds, steady.

    Raises:
        ConfigError: strangers would get in with the well-known token.
    """
    config, settings = comet.config.mpush, context.settings
    if not config.enabled:
        yield None
        return
    require_own_token("comet.mpush", config.host, settings.mpush.token)
    books = open_mpush_books(settings, context.database)
    with_auth = settings.auth.mode == "on"
    gate = MpushGate(
        settings.mpush.token,
        context.credentials if with_auth else None,
        comet.revocations,
        now=now,
    )
    mpush = Mpush(
        comet=comet,
        books=Books(books.devices, books.acks, books.receivers, books.keys, books.registering),
        tries=open_tries(settings, gate),
        auth=MpushAuth(auth_key(context.credentials, settings.mpush.token), ttl=AUTH_TTL),
        waits=ClusterWaits(context.registry, context.peers.waits),
        ttl=settings.mpush.ttl,
        now=now,
        hooks=frozenset(hook.name for hook in settings.mpush.hooks),
    )
    _observe(context, mpush)

    async with trio.open_nursery() as nursery:
        await nursery.start(mpush.run)
        if settings.mpush.registers:
            nursery.start_soon(preregister, settings, books)
        yield mpush
        nursery.cancel_scope.cancel()


def origins_of(config: MpushConfig, token: str) -> Origins:
    """Pages that may connect. What everybody knows proves nothing: with that token "*" is nobody."""
    home = token == WELL_KNOWN
    origins = [origin for origin in config.origins if not (home and origin == "*")]
    return Origins(origins, config.hosts, home=home)


async def serve_mpush(
    context: Context, mpush: Mpush, sockets: Sequence[socket.socket], stop: trio.Event
) -> None:
    """Its listener, until `stop` is set."""
    config = mpush.config
    addresses = Addresses(config.proxies, setting="comet.mpush.proxies")
    door = MpushDoor(
        mpush, origins=origins_of(config, context.settings.mpush.token), addresses=addresses
    )
    limits = HttpLimits(
        max_connections=context.settings.section(CometConfig).limits.handshakes_at_once,
        head_timeout=config.handshake_timeout,
        drain_timeout=HANDSHAKE_GRACE,
    )
    front = FrontDoor([], limits=limits, otherwise=door.handle, refuses=False)
    context.metrics.counter(
        "comet_mpush_refused",
        "Connections that ended early, by reason.",
        lambda: front.refused,
        labels=("reason",),
    )
    await partial(front.serve, sockets, stop=stop, tls=open_tls("comet.mpush.tls", config.tls))()


def _observe(context: Context, mpush: Mpush) -> None:
    metrics, counts, acks = context.metrics, mpush.counts, mpush.acks
    metrics.gauge("comet_mpush_devices", "Logged in here.", lambda: mpush.devices)
    metrics.gauge("comet_mpush_connections", "Of Mpush.", lambda: len(mpush.sessions))
    metrics.counter("comet_mpush_logins", "Of devices.", lambda: counts.logins)
    tries = mpush.tries
    metrics.counter("comet_mpush_wrong_tokens", "Weighed.", lambda: tries.wrong)
    metrics.counter("comet_mpush_slowed", "Tokens that had to wait.", lambda: tries.slowed)
    metrics.counter("comet_mpush_sent", "Messages, as often as they were.", lambda: counts.sent)
    metrics.counter("comet_mpush_acks", "Messages acknowledged.", lambda: counts.acknowledged)
    metrics.counter(
        "comet_mpush_ended", "Connections, by reason.", lambda: counts.ended, labels=("reason",)
    )
    metrics.gauge("comet_mpush_acks_pending", "Devices with acks to write.", lambda: acks.pending)
    metrics.counter("comet_mpush_acks_written", "By device.", lambda: acks.written)
    metrics.counter("comet_mpush_acks_failures", "Batches not written.", lambda: acks.failures)
    metrics.counter("comet_mpush_acks_dropped", "Devices, acks lost.", lambda: acks.dropped)
