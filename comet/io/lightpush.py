"""light-push on one comet, wired: its rules, what they ask of the comet, and the tasks behind them.

    Talk ─> LightPushRules ─┬─> Watching     namespaces, and the dismissal of those that go offline
                            ├─> Callbacks    the back ends of namespaces
                            ├─> StoredRoll   who is here            ─> Clients, Attendance
                            ├─> StoredReceipts   acks and frames    ─> PushBook
                            └─> LightPushing     pushes of clients  ─> PushBook, comets

The end: all clients have gone, and what is known of them is written; then back ends hear of them.
"""

import socket
from collections.abc import Callable, Sequence

import trio

from appmodel.core.interfaces import Pusher, Registry
from appmodel.core.lightpush import note_of
from appmodel.core.lightpush_push import PushLimits
from appmodel.core.lightpush_stores import Attendance
from appmodel.core.message import Delivery, Push
from appmodel.core.realms import room_key
from appmodel.errors import NoNode, NotOwner, PushError, Unavailable
from appmodel.io.caching import Cache, Changes
from appmodel.io.database import Database
from appmodel.io.lightpush_pushing import LightPushing
from appmodel.io.outbound import Outbound
from appmodel.runtime.lightpush import Books
from comet.core.lightpush_news import Name
from comet.core.lightpush_ports import Limits, Place, Ports
from comet.core.lightpush_rooms import room_of
from comet.core.lightpush_rules import LightPushRules
from comet.core.rules import Client
from comet.io.comet import Comet
from comet.io.lightpush_absent import Absent
from comet.io.lightpush_callbacks import Callbacks
from comet.io.lightpush_receipts import StoredReceipts
from comet.io.lightpush_roll import Here, StoredRoll
from comet.io.lightpush_watching import Watching

PAUSES = (0.05, 0.2, 0.5)  # seconds between tries of a client's push while owners change


class LightPush:
    """Serves every namespace of a comet that has no other rules. `run` must be running."""

    def __init__(
        self,
        *,
        comet: Comet,
        registry: Registry,
        database: Database,
        books: Books,
        limits: PushLimits,
        offline_after: float,
        staleness: float,
        port: Callable[[], int],
        now: Callable[[], float],
        are_expected: bool,
    ) -> None:
        """
        Args:
            limits: of pushes, as web has them.
            offline_after: seconds after a push when clients that did not acknowledge it are looked after.
            staleness: seconds that what is remembered of a namespace may be old.
            port: that clients are told.
            now: Unix seconds, steady.
            are_expected: look for clients of the gone from the start, not only once one has come here.
        """
        config = comet.config.lightpush
        self._comet, self._config, self._now = comet, config, now
        self._are_expected, self._port = are_expected, port
        self._changes = Changes(database, staleness=staleness)
        self.watching = Watching(
            Cache(
                database,
                self._changes,
                load=books.namespaces.load,
                subject_of=note_of,
                limit=config.namespaces,
            ),
            self._changes,
            config,
            here=lambda namespace: self.rules.here(namespace),
        )
        self._outbound = Outbound(config.callbacks.outbound)
        self.callbacks = Callbacks(self._outbound, config.callbacks)
        self._keep(registry, books)
        self.pushing = LightPushing(
            _Patient(comet.pusher),
            books.pushes,
            _Members(lambda name: self.rules.find(name), books.attendance),
            limits=limits,
            offline_after=round(offline_after * 1000),
            now=lambda: round(now() * 1000),
        )
        self.rules = LightPushRules(self._ports(books))
        comet.socketio.rules.serve_others(self.rules)
        comet.live.hub.on_tally = self.receipts.tally
        self._writing: trio.CancelScope | None = None
        self._written = trio.Event()

    def _keep(self, registry: Registry, books: Books) -> None:
        comet, config = self._comet, self._config
        self.roll = StoredRoll(
            me=lambda: comet.node,
            clients=books.clients,
            attendance=books.attendance,
            config=config.roll,
            now=self._now,
            names=lambda: self.rules.names(),
            look=self._look,
        )
        self.receipts = StoredReceipts(
            me=lambda: comet.node, pushes=books.pushes, config=config.receipts, now=self._now
        )
        self.absent = Absent(
            me=lambda: comet.node,
            registry=registry,
            clients=books.clients,
            attendance=books.attendance,
            config=config.roll,
            now=self._now,
            is_wanted=lambda: self._are_expected or self.roll.is_used,
        )

    def _ports(self, books: Books) -> Ports:
        config, system = self._config, socket.gethostname()
        return Ports(
            records=self.watching,
            back_ends=self.callbacks,
            roll=self.roll,
            receipts=self.receipts,
            pushing=self.pushing,
            claims=self._comet.claims,
            clients=books.clients,
            pushes=books.pushes,
            limits=Limits(
                rooms=config.rooms,
                push_interval=config.client_push_interval,
                broadcasts=config.room_activity_broadcast,
            ),
            place=lambda: Place(system, self._port()),
            now=self._now,
        )

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; see `leave`."""
        async with self._outbound, trio.open_nursery() as nursery:
            await nursery.start(self.callbacks.run)
            nursery.start_soon(self._changes.run)
            nursery.start_soon(self.watching.run)
            nursery.start_soon(self.absent.run)
            nursery.start_soon(self._write)
            task_status.started()

    async def leave(self) -> None:
        """All clients have gone: write that, and tell back ends. Cancelling is safe: then some is left."""
        if self._writing is not None:
            self._writing.cancel()
            await self._written.wait()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.receipts.leave)
            nursery.start_soon(self.roll.leave)
            nursery.start_soon(self.callbacks.settled)

    async def _write(self) -> None:
        try:
            async with trio.open_nursery() as nursery:
                self._writing = nursery.cancel_scope
                nursery.start_soon(self.roll.run)
                nursery.start_soon(self.receipts.run)
        finally:
            self._written.set()

    def _look(self, name: Name) -> Here | None:
        client = self.rules.find(name)
        if client is None:
            return None
        rooms = [room for key in client.keys if (room := room_of(key)) is not None]
        return Here(client.state.arrival, rooms)


class _Members:
    """Who is here is known exactly; who is elsewhere, as it was written last."""

    def __init__(self, find: Callable[[Name], Client | None], attendance: Attendance) -> None:
        self._find, self._attendance = find, attendance

    async def is_present(self, namespace: str, room: str, client: str) -> bool:
        """See `Attendance.is_present`."""
        found = self._find((namespace, client))
        if found is not None:
            return room_key(namespace, room) in found.keys
        return await self._attendance.is_present(namespace, room, client)


class _Patient:
    """Pushes again what nobody took, for a moment: owners of keys change, and web is not in between here."""

    def __init__(self, pusher: Pusher) -> None:
        self._pusher = pusher

    async def push(self, pushes: Sequence[Push]) -> Sequence[Delivery | PushError]:
        """See `Sender`. Only what did nothing is tried again."""
        outcomes = list(await self._pusher.push(pushes))
        for pause in PAUSES:
            left = [at for at, outcome in enumerate(outcomes) if _did_nothing(outcome)]
            if not left:
                break
            await trio.sleep(pause)
            again = await self._pusher.push([pushes[at] for at in left])
            for at, outcome in zip(left, again, strict=True):
                outcomes[at] = outcome
        return outcomes


def _did_nothing(outcome: Delivery | PushError) -> bool:
    return isinstance(outcome, Unavailable | NotOwner | NoNode)
