"""Receivers of Mpush on a web node, wired: who hears of pushes to devices, and who brings copies.

any push of this node ─> Pushing.on_queued ─> Wants ─> Receivers (SQL) ─> Errands ─> Bringing ─> a Way to each kind
                                           └> Tail (open streams)
"""

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

import structlog
import trio

from appmodel.core.lightpush_records import Hidden
from appmodel.core.mpush import name_of
from appmodel.core.mpush_stores import ReceiverKind
from appmodel.core.mpush_waits import MpushWaits
from appmodel.core.names import Key
from appmodel.errors import BadInput, ConfigError, PushError
from appmodel.io.mpush_known import KnownDevices
from appmodel.io.outbound import Outbound
from appmodel.runtime.mpush import MpushBooks
from appmodel.runtime.service import Context
from appmodel.runtime.settings import Settings
from web.config import WebConfig
from web.core.mpush_hooks import Hook
from web.gateways.mpush_hooks import HookWay
from web.gateways.mpush_way import Way
from web.services.mpush_bringing import Bringing, BringingLimits
from web.services.mpush_hooks import enter_hooks
from web.services.mpush_reading import Tail
from web.services.mpush_receivers import Errands
from web.services.mpush_wants import Wants
from web.services.pushing import Pushing
from web.services.reading import Reading

PAUSE = 5.0  # seconds before hooks of the configuration are tried to be made again

log = structlog.get_logger(__name__)


def hooks_of(settings: Settings) -> Mapping[str, Hook]:
    """[[mpush.hooks]], by name."""
    return {
        each.name: Hook(
            each.name, str(each.url), each.method, Hidden(each.authorization), each.group
        )
        for each in settings.mpush.hooks
    }


@asynccontextmanager
async def open_receivers(
    context: Context,
    books: MpushBooks,
    known: KnownDevices,
    waits: MpushWaits,
    pushing: Pushing,
    reading: Reading,
    tail: Tail,
    stop: trio.Event,
    *,
    ways: Mapping[ReceiverKind, Way],
) -> AsyncIterator[None]:
    """They are served until the block ends; nothing more is begun once `stop` is set.

    Args:
        ways: beside that to web hooks.

    Raises:
        ConfigError: a hook may not be called.
        OSError: web.mpush.receivers.outbound.ca_file cannot be read.
    """
    config = context.settings.section(WebConfig).mpush.receivers
    hooks = hooks_of(context.settings)
    async with Outbound(config.outbound) as outbound, trio.open_nursery() as nursery:
        check_hooks(list(hooks.values()), outbound)
        mine = {ReceiverKind.WEBHOOK: HookWay(hooks, outbound)} if hooks else {}
        limits = BringingLimits(
            lease=config.lease,
            retry=config.retry,
            max_retry=config.max_retry,
            hold=config.hold,
        )
        all_ways = {**ways, **mine}
        bringing = Bringing(
            all_ways, books.receivers, books.acks, waits, reading, limits, now=time.time
        )
        errands = Errands(
            books.receivers,
            bringing,
            frozenset(all_ways),
            at_once=config.at_once,
            poll=config.poll,
            lease=config.lease,
            now=time.time,
        )
        wants = Wants(known, books.receivers, wanted=errands.wake, now=time.time)
        _observe(context, bringing, errands, wants)

        async def queued(ids: Mapping[Key, int]) -> None:
            named = {name: ids[key] for key in ids if (name := name_of(key))}
            tail.note_all(named)
            await wants.note(named)

        async def let_go() -> None:
            await stop.wait()
            errands.stop()

        pushing.on_queued = queued
        nursery.start_soon(wants.run)
        nursery.start_soon(errands.run)
        nursery.start_soon(let_go)
        if hooks:
            nursery.start_soon(_enter, context, books, list(hooks.values()), errands)
        yield
        pushing.on_queued = None
        nursery.cancel_scope.cancel()


def check_hooks(hooks: Sequence[Hook], outbound: Outbound) -> None:
    """Whether they may be called, as they are written. Raises ConfigError."""
    for index, hook in enumerate(hooks):
        path = f"mpush.hooks[{index}].url"
        try:
            outbound.check(hook.url, path)
        except BadInput as error:
            expected = f"{error.expected}, or an entry in web.mpush.receivers.outbound.allowed"
            raise ConfigError(path, error.value, expected) from None


async def _enter(
    context: Context, books: MpushBooks, hooks: Sequence[Hook], errands: Errands
) -> None:
    """Until it is done: a database that is away now does not keep the node from starting."""
    within = context.settings.section(WebConfig).read_timeout
    while True:
        try:
            await enter_hooks(
                hooks,
                books.devices,
                books.receivers,
                context.peers.store,
                within=within,
                now=round(time.time() * 1000),
            )
        except PushError as error:
            log.warning("web hooks are not there yet", setting="mpush.hooks", error=str(error))
            await trio.sleep(PAUSE)
        else:
            errands.wake()
            return


def _observe(context: Context, bringing: Bringing, errands: Errands, wants: Wants) -> None:
    context.metrics.counter(
        "web_mpush_copies",
        "Copies for receivers of Mpush, by kind and what became of them.",
        lambda: bringing.outcomes,
        labels=("kind", "outcome"),
    )
    context.metrics.gauge("web_mpush_errands", "Receivers in hand.", lambda: errands.busy)
    context.metrics.counter(
        "web_mpush_wants_dropped", "Devices whose receivers were not told.", lambda: wants.dropped
    )
