"""How messages reach a device that is logged in: live while it keeps up, else from the store.

    live      each round's messages at once, in one frame                the store's order, nothing between
    behind    the window is full, its socket does not take more, or it has just logged in: what comes is left to
              the store, and read from there as soon as there is room
    overdue   what was not acknowledged in time is read again and sent again

One task works at a time, and only while there is something to read; at rest a device has none. Whatever is stored
and not acknowledged is sent at every login. Sent before acknowledged, stored before sent: nothing is lost on the way.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import structlog
import trio

from appmodel.core.message import Page, Stored
from appmodel.core.mpush_stores import AckState
from appmodel.errors import PushError
from comet.core.message import Message
from comet.core.mpush_window import Pace, Window
from comet.protocol.mpush import SeedDialect, Sent
from comet.protocol.mpush_v2 import V2Dialect
from comet.protocol.native import SLOW

if TYPE_CHECKING:
    from comet.io.mpush_session import MpushSession

log = structlog.get_logger("comet")

CHUNK = 64 * 1024  # bytes of bodies in one frame; a longer message goes alone


class Delivery:
    """Of one device on one connection."""

    __slots__ = ("_behind", "_busy", "_dialect", "_frame", "_look", "_session", "window")

    def __init__(
        self, session: "MpushSession", state: AckState, dialect: SeedDialect | V2Dialect, size: int
    ) -> None:
        """`state`: what the device has acknowledged. `size`: messages that may be pending."""
        config = session.mpush.config
        self._session, self._dialect = session, dialect
        self._frame = min(size, config.frame)
        self.window = Window(
            state, size=size, pace=Pace(config.resend_after, config.resend_longest)
        )
        self._behind = True  # the store may have more
        self._busy = False  # a task is at work
        self._look: _Look | None = None  # the wheel's next look at what is overdue

    def take(self, messages: Sequence[Message]) -> None:
        """What the channel has due. Never waits."""
        fresh: list[Sent] = []
        window, room = self.window, self.window.room
        # a task that reads has its own order: what came past it would be lost behind `reached`
        is_left = self._behind or self._busy or bool(self._session.owed)
        for message in messages:
            if message.stored and not window.wants(message.id):
                continue
            if message.stored and (is_left or room <= len(fresh)):
                self._behind = is_left = True
            elif room > len(fresh):
                fresh.append(Sent(message.id, message.body, message.stored))
        for piece in self._pieces(fresh):
            if self._session.owed:  # the rest is in the store
                self._behind = True
                break
            if not self._send(piece):
                return
        self._watch()
        if self._behind:
            self.go_on()

    def go_on(self) -> None:
        """Read what there is to read, if there is room and nobody does so."""
        if self._busy or not self._session.is_open:
            return
        if (self._behind and self.window.room) or self._is_overdue:
            self._busy = True
            self._session.mpush.spawn(self._work)

    def acknowledge(self, ids: Iterable[int], *, until: int) -> list[int]:
        """See `Window.acknowledge`. What waits for room goes on."""
        new = self.window.acknowledge(ids, until=until)
        if new and self._behind and self.window.room >= self._frame:
            self.go_on()
        return new

    def hurry(self) -> None:
        """The client shows life: send again what it has had time for."""
        if len(self.window):
            self.window.hurry(trio.current_time())
            self._watch()

    # The wheel

    def expire(self, look: "_Look") -> None:
        """Something may be overdue."""
        if look is self._look:
            self._look = None
            self.go_on()
            if not self._busy:
                self._watch()

    def is_next(self, look: "_Look") -> bool:
        """Whether that look is still wanted."""
        return look is self._look and self._session.is_open

    def _watch(self, at: float | None = None) -> None:
        """Have the wheel look when the next message is overdue, or then."""
        due = self.window.due_at()
        if at is not None:
            due = at if due is None else min(at, due)
        if due is not None and (self._look is None or due < self._look.at):
            self._look = _Look(self, due)  # one for a later time is dropped when it is seen
            self._session.mpush.live.wheel.watch(self._look)

    @property
    def _is_overdue(self) -> bool:
        due = self.window.due_at()
        return due is not None and due <= trio.current_time()

    # The task

    async def _work(self) -> None:
        """Until nothing is overdue, and nothing left or no more room; or the store is away: then later."""
        session, retry_at = self._session, None
        try:
            while session.is_open and (self._is_overdue or (self._behind and self.window.room)):
                await self._send_overdue()
                await self._send_new()
        except (PushError, trio.TooSlowError) as error:
            retry_at = trio.current_time() + session.mpush.config.resend_after
            log.warning("store away", device=session.device, error=str(error) or "too slow")
        finally:
            self._busy = False
        if session.is_open:
            self._watch(retry_at)

    async def _send_new(self) -> None:
        """Page by page, as far as there is room."""
        window, session = self.window, self._session
        while self._behind and window.room and session.is_open:
            self._behind = False  # whatever comes while the store is read sets it again
            try:
                page = await self._fetch(window.reached, min(window.room, session.mpush.page))
                fresh = [_sent(found) for found in page.messages if window.wants(found.id)]
                is_sent = await self._send_all(fresh)
            except BaseException:
                self._behind = True
                raise
            if not is_sent or page.more:
                self._behind = True
            if is_sent and page.messages:
                window.pass_by(page.messages[-1].id)

    async def _send_overdue(self) -> None:
        """Once more, in the order of their ids. What is not there any more is not pending."""
        window, session = self.window, self._session
        ids = window.due(trio.current_time())
        while ids and session.is_open:
            page = await self._fetch(ids[0] - 1, min(len(ids), session.mpush.page), ids[-1])
            last = page.messages[-1].id if page.more else ids[-1]
            found = {one.id: one for one in page.messages}
            window.lose(id for id in ids if id <= last and id not in found)
            again = [_sent(found[id]) for id in ids if id in found and window.is_pending(id)]
            if not await self._send_all(again):
                return
            ids = [id for id in ids if id > last]

    async def _fetch(self, after: int, limit: int, until: int | None = None) -> Page:
        mpush, key = self._session.mpush, self._session.channel.key
        async with mpush.places:
            with trio.fail_after(mpush.fetch_timeout):
                return await mpush.store.fetch(key, after, limit=limit, until=until)

    # Sending

    async def _send_all(self, messages: Sequence[Sent]) -> bool:
        """In pieces, each when the one before has gone; False if the client has."""
        session = self._session
        for piece in self._pieces(messages):
            with trio.move_on_after(session.mpush.stall_timeout) as waiting:
                await session.drained()
            if waiting.cancelled_caught:
                session.hang_up(SLOW)
            if not session.is_open or not self._send(piece):
                return False
        return True

    def _send(self, piece: Sequence[Sent]) -> bool:
        session, now = self._session, trio.current_time()
        if not session.offer(self._dialect.frame(piece)):
            return False
        for message in piece:
            self.window.sent(message.id, now, stored=message.stored)
        session.mpush.counts.sent += len(piece)
        return True

    def _pieces(self, messages: Sequence[Sent]) -> Iterable[list[Sent]]:
        """As many as make one frame."""
        piece: list[Sent] = []
        size = 0
        for message in messages:
            if piece and (len(piece) >= self._frame or size + len(message.body) > CHUNK):
                yield piece
                piece, size = [], 0
            piece.append(message)
            size += len(message.body)
        if piece:
            yield piece


class _Look:
    """The wheel's entry of a delivery: only while something is pending."""

    __slots__ = ("_delivery", "at")

    def __init__(self, delivery: Delivery, at: float) -> None:
        self._delivery, self.at = delivery, at

    def due_at(self) -> float | None:
        """See `Watched`."""
        return self.at if self._delivery.is_next(self) else None

    def expire(self, _now: float) -> None:
        """See `Watched`."""
        self._delivery.expire(self)


def _sent(found: Stored) -> Sent:
    return Sent(found.id, found.body)
