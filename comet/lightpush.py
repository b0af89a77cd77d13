"""light-push of a comet node: opened as the configuration says, and shown to operators."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Protocol

import trio

from appmodel.runtime.lightpush import open_books, push_limits
from appmodel.runtime.service import Context
from comet.io.comet import Comet
from comet.io.lightpush import LightPush


class Leaving(Protocol):
    """What a comet has to do with it in the end."""

    async def leave(self) -> None:
        """All clients have gone: write that, and tell back ends. Cancelling is safe: then some is left."""


class _Nothing:
    """A comet without light-push."""

    async def leave(self) -> None:
        """There is nobody."""
        await trio.lowlevel.checkpoint()


@asynccontextmanager
async def opened_lightpush(
    context: Context, comet: Comet, port: Callable[[], int], now: Callable[[], float]
) -> AsyncIterator[Leaving]:
    """It serves until the block ends, if this comet is to have light-push.

    Args:
        port: that clients are told.
        now: Unix seconds, steady.

    Raises:
        ConfigError: [lightpush] names a store that is none.
    """
    settings = context.settings
    if not (comet.config.lightpush.enabled and comet.config.socketio.enabled):
        yield _Nothing()
        return
    with open_books(settings, context.database) as books:
        lightpush = LightPush(
            comet=comet,
            registry=context.registry,
            database=context.database,
            books=books,
            limits=push_limits(settings),
            offline_after=settings.lightpush.offline_after,
            staleness=settings.database.staleness,
            port=port,
            now=now,
            are_expected="web" in context.parts or not settings.database.url.startswith("sqlite"),
        )
        _observe(context, lightpush)
        async with trio.open_nursery() as nursery:
            await nursery.start(lightpush.run)
            yield lightpush
            nursery.cancel_scope.cancel()


def _observe(context: Context, lightpush: LightPush) -> None:
    metrics, roll, receipts = context.metrics, lightpush.roll, lightpush.receipts
    back_ends, pushing = lightpush.callbacks, lightpush.pushing
    metrics.gauge("comet_lightpush_clients", "Clients of light-push.", lambda: roll.clients_here)
    metrics.gauge("comet_lightpush_pending", "Of them with news to write.", lambda: roll.pending)
    metrics.counter("comet_lightpush_written", "News written, by client.", lambda: roll.written)
    metrics.counter("comet_lightpush_failures", "Batches not written.", lambda: roll.failures)
    metrics.counter(
        "comet_lightpush_rewritten", "Times that all was written anew.", lambda: roll.rewritten
    )
    metrics.counter(
        "comet_lightpush_released", "Of comets that are gone.", lambda: lightpush.absent.released
    )
    metrics.counter(
        "comet_lightpush_dismissed",
        "Of namespaces that went offline.",
        lambda: lightpush.watching.dismissed,
    )
    metrics.counter("comet_lightpush_acks", "New acknowledgements.", lambda: receipts.acknowledged)
    metrics.gauge(
        "comet_lightpush_receipts_pending", "Acks and tallies to write.", lambda: receipts.pending
    )
    metrics.counter(
        "comet_lightpush_receipts_failures", "Batches not written.", lambda: receipts.failures
    )
    metrics.counter(
        "comet_lightpush_receipts_dropped", "Acks and frames lost.", lambda: receipts.dropped
    )
    metrics.counter("comet_lightpush_pushes", "Pushes of clients.", lambda: pushing.made)
    metrics.counter("comet_lightpush_unsent", "Of them kept only.", lambda: pushing.unsent)
    metrics.counter("comet_lightpush_asked", "Connect callbacks.", lambda: back_ends.asked)
    metrics.counter(
        "comet_lightpush_unanswered", "Of them without answer.", lambda: back_ends.failures
    )
    metrics.counter("comet_lightpush_told", "Disconnect callbacks.", lambda: back_ends.told)
    metrics.gauge("comet_lightpush_telling", "Of them that wait.", lambda: back_ends.waiting)
    metrics.counter("comet_lightpush_untold", "Of them given up.", lambda: back_ends.dropped)
