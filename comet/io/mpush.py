"""Mpush on one comet, wired together: its door, its sessions, how they log in, and what becomes of acknowledgements.

    door → session (a line) → login → delivery (of its key's channel, and from the store)
              └ commands of version 2.2 → pushing
    acknowledged → waits (whoever waits, here or at the owner) and acks (the AckBook, written behind)

Source: spec/mpush.md section 13.
"""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import partial

import structlog
import trio

from appmodel.core.mpush_auth import MpushAuth
from appmodel.core.mpush_keys import MpushKeys
from appmodel.core.mpush_registering import Registering
from appmodel.core.mpush_steps import Step, step
from appmodel.core.mpush_stores import AckBook, Devices, Receivers
from appmodel.core.mpush_tries import TokenTries
from appmodel.core.mpush_waits import Awaited, MpushWaits
from appmodel.core.throttle import Throttle
from appmodel.errors import PushError
from comet.io.comet import Comet
from comet.io.entrance import Entrance
from comet.io.mpush_acks import AckWriter
from comet.io.mpush_commands import Commands
from comet.io.mpush_delivery import Delivery
from comet.io.mpush_login import Login
from comet.io.mpush_pushing import Pushing
from comet.io.mpush_session import SEED, MpushSession
from comet.protocol.mpush import login_frame

log = structlog.get_logger("comet")

FLAPPING = 10_000  # devices whose logins are counted


@dataclass(slots=True)
class Counts:
    """Plain integers, read by the metrics."""

    logins: int = 0
    sent: int = 0  # messages, as often as they were
    acknowledged: int = 0
    ended: Counter[str] = field(default_factory=Counter)  # connections by why they ended


@dataclass(frozen=True, slots=True)
class Books:
    """What Mpush of a comet keeps, beside the messages."""

    devices: Devices
    acks: AckBook
    receivers: Receivers
    keys: MpushKeys
    registering: Registering


class Mpush:
    """Of one comet; `run` must be running. Nothing of it waits but the logins."""

    def __init__(
        self,
        *,
        comet: Comet,
        books: Books,
        tries: TokenTries,
        auth: MpushAuth,
        waits: MpushWaits,
        ttl: float,
        now: Callable[[], float],
        hooks: Collection[str] = (),
    ) -> None:
        """
        Args:
            waits: of the whole cluster.
            ttl: seconds that what devices push waits for others.
            now: Unix seconds, steady.
            hooks: devices that are web hooks.
        """
        config, replay = comet.config.mpush, comet.config.replay
        self.config, self.live, self.store, self.spawn = (
            config,
            comet.live,
            comet.store,
            comet.spawn,
        )
        self.tries, self.counts, self.now = tries, Counts(), now
        self.places = trio.CapacityLimiter(replay.at_once)  # devices that read at the same time
        self.page, self.fetch_timeout = replay.page, replay.fetch_timeout
        self.stall_timeout = replay.stall_timeout
        self.sessions: set[MpushSession] = set()
        self.acks = AckWriter(books.acks, config.acks)
        self._comet, self._waits = comet, waits
        comet.waits.on_settled = self._settle
        self._login = Login(
            hub=comet.live.hub,
            entrance=Entrance(
                hub=comet.live.hub,
                membership=comet.membership,
                attachments=comet.attachments,
                reading=comet.reading,
            ),
            claims=comet.claims,
            devices=books.devices,
            acks=self.acks,
            turns=Throttle(config.logins, config.logins_window, capacity=FLAPPING),
            revocations=comet.revocations,
            now=now,
        )
        self.commands = self._commands(books, auth, ttl, hooks, now)
        comet.goodbyes.append(self.goodbyes)
        self._writing: trio.CancelScope | None = None
        self._written = trio.Event()

    def _commands(
        self,
        books: Books,
        auth: MpushAuth,
        ttl: float,
        hooks: Collection[str],
        now: Callable[[], float],
    ) -> Commands:
        config = self.config
        pushing = Pushing(
            devices=books.devices,
            receivers=books.receivers,
            pusher=self._comet.pusher,
            waits=self._waits,
            ttl=ttl,
            patience=config.reply_timeout,
            hooks=hooks,
            now=now,
        )
        return Commands(
            tries=self.tries,
            auth=auth,
            keys=books.keys,
            login=self._login,
            pushing=pushing,
            devices=books.devices,
            registering=books.registering,
            store=self.store,
            pushes_at_once=config.pushes_at_once,
            now=now,
        )

    @property
    def is_draining(self) -> bool:
        """Whether nobody new may come in."""
        return self._comet.reception.draining

    @property
    def devices(self) -> int:
        """That are logged in here."""
        return len(self._login.here)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Write acknowledgements until cancelled; see `leave`."""
        task_status.started()
        try:
            with trio.CancelScope() as self._writing:
                await self.acks.run()
        finally:
            self._written.set()

    async def leave(self) -> None:
        """All devices have gone: write what they have acknowledged. Cancelling is safe: then some is left."""
        if self._writing is not None:
            self._writing.cancel()
            await self._written.wait()
        await self.acks.leave()

    def goodbyes(self) -> list[Callable[[], None]]:
        """What ends each connection, politely."""
        return [partial(session.leave, "going away") for session in self.sessions]

    # What sessions ask for

    async def log_in(self, session: MpushSession, name: str) -> None:
        """As a device of the seed version. Cancelling hangs up on it."""
        try:
            state = await self._login.begin(session, name, None)
        except PushError as error:
            log.warning("mpush login failed", device=name, error=str(error))
            session.leave("login failed")
            return
        if state is not None:
            session.enter(Delivery(session, state, SEED, self.config.window), login_frame(name))

    def note_acknowledged(self, session: MpushSession, ids: Sequence[int]) -> None:
        """A device has acknowledged these for the first time."""
        delivery = session.delivery
        assert delivery is not None, "only who is logged in acknowledges"
        floor, key = delivery.window.floor, session.channel.key
        self.counts.acknowledged += len(ids)
        self.acks.note(session.device, floor, [one for one in ids if one > floor])
        self._comet.waits.acknowledged([Awaited(key, one) for one in ids])
        self.live.hub.acknowledge(session.channel, floor, self.live.clock.last)

    def note_shown(self, session: MpushSession, message_id: int) -> None:
        """Its browser says that it got the copy by Web Push: who waits hears it, and the socket's stays its own."""
        shown = step(session.device, Step.WEBPUSH_SHOWN, message_id)
        self._comet.waits.acknowledged([shown])

    def _settle(self, acked: Sequence[Awaited]) -> None:
        """Acknowledged elsewhere: sockets here need not send these."""
        for one in acked:
            session = self._login.here.get(one.key)
            if session is not None:
                session.acknowledge([one.id], foreign=True)

    def forget(self, session: MpushSession) -> None:
        """It is no device's connection any more."""
        self._login.end(session)

    def closed(self, session: MpushSession) -> None:
        """Its socket is closed."""
        self.sessions.discard(session)
        self.live.gate.leave(session.address)
