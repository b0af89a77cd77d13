"""One comet, wired together: the live path, the pusher, the reception, and their loops.

The composition root (comet/app.py) adds listeners; tests start one of these on their own sockets.
"""

import time
from collections.abc import Awaitable, Callable

import structlog
import trio

from appmodel.core.clock import MessageClock
from appmodel.core.cluster import ClusterView
from appmodel.core.credentials import Credentials
from appmodel.core.interfaces import Ledger, OfflineStore
from appmodel.core.message import Revocation
from appmodel.core.names import Key
from appmodel.core.origins import Origins
from appmodel.core.revocations import Revocations
from appmodel.io.contain import contain_bugs
from appmodel.io.revoking import poll_revocations
from comet.config import CometConfig
from comet.core.admission import Gate, Limits
from comet.core.channel import MAX_ASIDE, Channel
from comet.core.hub import Hub
from comet.core.wheel import Wheel
from comet.io.doors import TcpDoor, WebSocketDoor
from comet.io.live import Live
from comet.io.poller import Poller
from comet.io.pushing import CometPusher
from comet.io.reception import Reception
from comet.io.replay import Reading
from comet.io.subscriber import Subscriber
from comet.io.sweeper import STEP, Sweeper
from comet.protocol.native import GOING_AWAY, SLOW, TICKET_REVOKED

log = structlog.get_logger("comet")

TICK = 0.25  # seconds between two looks at the wheel
FROZEN = 2.0  # seconds between two turns of the wheel: the process or the machine stood still
GOODBYES = 500  # clients hung up on between two pauses when the node stops


class Comet:
    """Everything of one comet that is not a listener."""

    def __init__(
        self,
        *,
        name: str,
        config: CometConfig,
        store: OfflineStore,
        ledger: Ledger,
        view: Callable[[], ClusterView],
        credentials: Credentials | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        """`credentials`: None = auth is off. `now`: Unix seconds. Needs a running trio loop."""
        self._ledger = ledger
        self._credentials = credentials
        self._revocations = Revocations()
        self._nursery: trio.Nursery | None = None
        clock = MessageClock()
        hub = Hub()
        self.live = Live(
            config=config.live,
            hub=hub,
            poller=Poller(),
            wheel=Wheel(now=trio.current_time(), tick=TICK),
            gate=Gate(_limits(config)),
            clock=clock,
        )
        counts = self.live.counts
        self._sweeper = Sweeper(hub, counts)
        self.reading = Reading(
            hub=hub,
            sweeper=self._sweeper,
            counts=counts,
            clock=clock,
            store=store,
            config=config.replay,
            on_hole=self._mend,
        )
        self.pusher = CometPusher(
            name=name,
            hub=hub,
            sweeper=self._sweeper,
            counts=counts,
            clock=clock,
            store=store,
            view=view,
            config=config.push,
            now=now,
            on_hole=self._mend,
        )
        self.reception = Reception(
            name=name,
            live=self.live,
            reading=self.reading,
            clock=clock,
            view=view,
            credentials=credentials,
            revocations=self._revocations,
            now=now,
            spawn=self._spawn,
        )
        self.websocket = WebSocketDoor(
            self.reception,
            origins=Origins(
                config.websocket.origins, config.websocket.hosts, home=credentials is None
            ),
            max_message=config.websocket.max_message,
        )
        self.tcp = TcpDoor(self.reception, timeout=config.tcp.first_request_timeout)
        self._position_check = config.replay.position_check

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve subscribers and pushes until cancelled; then whoever is left is dropped."""
        try:
            await self._run_loops(task_status)
        finally:
            self._nursery = None
            self.live.poller.close()

    async def _run_loops(self, task_status: trio.TaskStatus[None]) -> None:
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            for loop in (
                self.live.poller.run,
                self._sweeper.run,
                self.pusher.run,
                self.reading.run,
                self._turn_wheel,
            ):
                nursery.start_soon(loop)
            if self._position_check:
                nursery.start_soon(self.reading.check_positions)
            if self._credentials is not None:
                await nursery.start(self._hear_revocations)
            task_status.started()

    async def drain(self) -> None:
        """Tell every client that we go, in bounded steps, and wait until all have gone.

        The listeners are closed already, and no push comes any more. Clients that do not end by
        themselves are dropped after the time for goodbyes.
        """
        self.reception.draining = True
        for number, subscriber in enumerate(self._subscribers()):
            subscriber.hang_up(GOING_AWAY)
            if number % GOODBYES == GOODBYES - 1:
                await trio.sleep(TICK / 5)
        await self.live.poller.wait_empty()

    async def _turn_wheel(self) -> None:
        wheel, grace = self.live.wheel, self.live.config.heartbeat_grace
        turned = trio.current_time()
        while True:
            await trio.sleep(TICK)
            now = trio.current_time()
            if now - turned > FROZEN:  # beats may lie in our sockets: read them before we judge
                log.warning("was frozen", seconds=round(now - turned, 1))
                self.live.patient_until = now + grace
            turned = now
            for _ in wheel.advance(now, step=STEP):
                await trio.lowlevel.checkpoint()

    async def _hear_revocations(
        self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        await poll_revocations(
            self._ledger,
            self._revocations,
            on_revocation=lambda revocation: self._spawn(self._hang_up_revoked, revocation),
            task_status=task_status,
        )

    async def _hang_up_revoked(self, revocation: Revocation) -> None:
        """End the connections that a void ticket let in, in steps: it may be a look at everybody."""
        looked = 0
        if revocation.subject.startswith("key:"):
            channel = self.live.hub.get(Key.from_stored(revocation.subject.removeprefix("key:")))
            channels = [channel] if channel is not None else []
        else:
            channels = self.live.hub.channels()
        for channel in channels:
            for subscriber in tuple(channel.subscribers):
                assert isinstance(subscriber, Subscriber)
                if subscriber.ticket is not None and self._revocations.voids(subscriber.ticket):
                    subscriber.hang_up(TICKET_REVOKED)
            looked += len(channel.subscribers) + 1
            if looked > STEP:
                looked = 0
                await trio.lowlevel.checkpoint()

    def _mend(self, channel: Channel) -> None:
        """A hole was seen: fetch what it lacks; or too much waits for it already."""
        if channel.aside is not None and len(channel.aside) > MAX_ASIDE:
            self.reading.give_up(channel, SLOW)
        else:
            self._spawn(self.reading.fill, channel)

    def _spawn(self, function: Callable[..., Awaitable[None]], *arguments: object) -> None:
        """Run a task for as long as the comet lives. A bug in it ends that task alone."""

        async def run() -> None:
            with contain_bugs(function.__name__, self._count_bug):
                await function(*arguments)

        if self._nursery is not None:
            self._nursery.start_soon(run)

    def _count_bug(self, _bug: BaseException) -> None:
        self.live.poller.bugs += 1

    def _subscribers(self) -> list[Subscriber]:
        return [
            subscriber
            for channel in self.live.hub.channels()
            for subscriber in channel.subscribers
            if isinstance(subscriber, Subscriber)
        ]


def _limits(config: CometConfig) -> Limits:
    limits = config.limits
    return Limits(
        connections=limits.connections,
        per_address=limits.per_address,
        per_key=limits.per_key,
        handshakes_per_second=limits.handshakes_per_second,
    )
