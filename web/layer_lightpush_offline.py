"""light-push for the absent, wired: a web node's share of the durable queue, and its own ways to Apple.

OfflineQueue ─> Offline ─> Recipients ─> Clients, PushBook
                       └─> Apple ─> Ways ─> ApnsGateway (web/gateways)
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import trio

from appmodel.errors import ConfigError
from appmodel.io.lightpush_sweeping import now_ms
from appmodel.runtime.lightpush import Books
from appmodel.runtime.metrics import Metrics
from appmodel.runtime.service import Context
from web.config import WebConfig
from web.core.texts import Text, Texts
from web.gateways.island import Island
from web.gateways.lightpush_apns import Ways
from web.gateways.opening import Factory
from web.services.lightpush_apple import Apple, AppleLimits
from web.services.lightpush_offline import Offline
from web.services.lightpush_offline_loop import OfflineQueue, QueueLimits
from web.services.lightpush_recipients import Recipients
from web.services.lightpush_telling import Telling

PARTS = 3  # of a lease: notifications are begun in the first, answered in the second, the rest is for the books


@asynccontextmanager
async def open_offline(context: Context, books: Books) -> AsyncIterator[OfflineQueue]:
    """Works on the queue until the block ends, and a moment longer, also if it is cancelled.

    Raises:
        ConfigError: the lease is too short, or the authorities to trust cannot be read.
    """
    config = context.settings.section(WebConfig)
    require_long_lease(config)
    island = Island()
    factory = Factory(config.notifications, island, None)
    pause = config.notifications.misconfigured_pause
    ways = Ways(books.namespaces, partial(factory.open, "apns"), pause=pause)
    queue = _queue(context.metrics, config, books, ways)
    drain = config.lightpush.offline.drain_timeout
    at_work, ended = trio.CancelScope(), trio.Event()
    async with trio.open_nursery() as nursery:
        await nursery.start(_work, at_work, island, queue, ended)
        at_work.shield = True  # a node ends by cancelling us: what was begun is finished
        try:
            yield queue
        finally:
            queue.stop()
            with trio.move_on_after(drain, shield=True):
                await ended.wait()
            with trio.move_on_after(drain, shield=True):
                await ways.aclose()
            at_work.cancel()


def require_long_lease(config: WebConfig) -> None:
    """A step must end before its lease. Raises ConfigError."""
    lease, timeout = config.lightpush.offline.lease, config.notifications.outbound.timeout
    if lease < PARTS * timeout:
        expected = f"at least {PARTS} times web.notifications.outbound.timeout ({timeout} s)"
        raise ConfigError("web.lightpush.offline.lease", lease, expected)


async def _work(
    until: trio.CancelScope,
    island: Island,
    queue: OfflineQueue,
    ended: trio.Event,
    *,
    task_status: trio.TaskStatus[None],
) -> None:
    with until:
        async with trio.open_nursery() as nursery:
            await nursery.start(island.run)
            task_status.started()
            await queue.run()
            ended.set()
            await trio.sleep_forever()  # connections are closed inside of the island


def _queue(metrics: Metrics, config: WebConfig, books: Books, ways: Ways) -> OfflineQueue:
    offline = config.lightpush.offline
    recipients = Recipients(books.clients, books.pushes, offline.page)
    telling = Telling(books.clients)
    apple = Apple(
        recipients,
        ways,
        telling,
        AppleLimits(
            concurrency=offline.concurrency,
            begin=offline.lease / PARTS,
            first_pause=offline.first_pause,
            max_pause=offline.max_pause,
        ),
        alert=offline.apns_aps_alert or Texts(config.app.language).say(Text.LIGHTPUSH_ALERT),
        now=now_ms,
    )
    absent = Offline(books.pushes, recipients, apple, lease=offline.lease, now=now_ms)
    limits = QueueLimits(
        jobs=offline.jobs, poll=offline.poll, lease=offline.lease, pause=offline.first_pause
    )
    queue = OfflineQueue(books.pushes, absent, limits, now=now_ms)
    _observe(metrics, queue, absent, telling)
    return queue


def _observe(metrics: Metrics, queue: OfflineQueue, offline: Offline, telling: Telling) -> None:
    metrics.counter(
        "web_lightpush_offline_jobs",
        "Pushes that were in hand for their absent clients, by what became of that.",
        lambda: queue.outcomes,
        labels=("outcome",),
    )
    metrics.gauge("web_lightpush_offline_busy", "Pushes in hand.", lambda: queue.busy)
    metrics.counter(
        "web_lightpush_inboxes", "Pushes that were put into an inbox.", lambda: offline.kept
    )
    metrics.counter(
        "web_lightpush_notifications",
        "Tries to tell Apple of a push for one client, by outcome.",
        lambda: telling.outcomes,
        labels=("outcome",),
    )
    metrics.counter(
        "web_lightpush_tokens_forgotten", "Dead tokens of clients.", lambda: telling.forgotten
    )
