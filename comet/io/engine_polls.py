r"""Long polling that carries an Engine.IO session: a GET waits for what is due, a POST brings packets.

    poll      is due                 answered at once
              nothing is             held without a task (appmodel/io/http_held.py), answered by one write
              another is held        400, and the first one gets `1`: the session is closed
              hung up                the session is closed
              beside a probe         waits a moment for `5`: then 400; else `6` once `2probe` was heard
    post      `ok`; a second one beside it, or one that is no payload: 400, and the session is closed

Between two polls what is offered waits in `owed`, bounded; an upgrade takes it along.

Source: engine.io 6 lib/transports/polling.ts and 3.4 for JSONP. There a poll during an upgrade is ended
by a timer of 100 ms, and `5` ends it with `1`; clients end theirs before they say `5`.
"""

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import structlog
import trio

from appmodel.io.http_held import Held
from appmodel.protocol.http import Response
from comet.io.engine_refusals import BAD_REQUEST, Refusal, refuse
from comet.io.engine_session import CLIENT_CLOSED, CLOSE, Session
from comet.protocol.engineio import (
    Framing,
    Packet,
    PacketType,
    decode_payload,
    framed_packet,
    jsonp,
    xhr2,
)
from comet.protocol.native import SLOW

if TYPE_CHECKING:
    from comet.io.engine_socket import EngineSocket

log = structlog.get_logger("comet")

PROBE_PATIENCE = 0.1  # seconds for `5` when a poll comes while a WebSocket probes
CLOSE_PATIENCE = 0.02  # seconds for a poll that left the client together with `1`
MAX_PACKETS = 16  # of one answer of revision 4: python-engineio hangs up on more
SEPARATOR = b"\x1e"
NOOP = Packet(PacketType.NOOP)

_FRAMINGS = {3: Framing.POLLING_3, 4: Framing.POLLING_4}


@dataclass(frozen=True, slots=True)
class Asked:
    """How one poll wants its answer."""

    headers: list[tuple[str, str]]  # that let a page read it
    jsonp: str = ""  # the number of a callback

    @property
    def refusal(self) -> Response:
        """If it can get none."""
        return refuse(Refusal(BAD_REQUEST), self.headers)


class Polls:
    """Between polls it has no socket; while one is held, that of its connection is in the poller."""

    __slots__ = (
        "_asked",
        "_drained",
        "_held",
        "_polled",
        "_settled",
        "_text_only",
        "_watched",
        "is_posting",
        "owed",
        "probe",
        "probed",
        "session",
    )

    def __init__(self, session: Session) -> None:
        self.session = session
        self.owed = b""  # pieces of a payload
        self.is_posting = False
        self.probe: EngineSocket | None = None  # a WebSocket that is to carry the session
        self.probed = False  # it has heard `3probe`
        self._held: Held | None = None
        self._asked: Asked | None = None  # of the held one
        self._watched = False  # it is in the poller
        self._text_only = "b64=" in session.handshake.query_string
        self._drained: trio.Event | None = None
        self._polled: trio.Event | None = None  # only while a post with `1` waits for a poll
        self._settled: trio.Event | None = None  # only while a poll waits for the upgrade

    @property
    def framing(self) -> Framing:
        """See `Carrier`."""
        return _FRAMINGS[self.session.handshake.revision]

    # What is sent

    def offer(self, frames: bytes) -> bool:
        """See `Carrier`."""
        session = self.session
        if not session.is_open:
            return False
        if len(self.owed) + len(frames) > session.engine.live.config.outbox_limit:
            session.close(SLOW.reason)
            return False
        self.owed += frames
        if self._held is not None:
            self._answer_held()
        return True

    async def poll(self, asked: Asked) -> Response:
        """The answer to a GET, or what holds it."""
        session = self.session
        session.note_life()
        if self._held is not None:
            session.fail("protocol: two polls at once")
            return asked.refusal
        if self.probe is not None:
            await self._settle()
            if self.probed and not self.owed:
                self.offer(framed_packet(self.framing, NOOP))
        if self.owed:
            return self._answer(asked)
        return Response(hold=partial(self._keep, asked))

    async def drained(self) -> None:
        """See `Carrier`."""
        if self.owed and self.session.is_open:
            if self._drained is None:
                self._drained = trio.Event()
            await self._drained.wait()

    async def expect_poll(self) -> None:
        """Before `1` is heard: its client may have polled at the same moment, and that poll gets `6`."""
        if self._held is None:
            if self._polled is None:
                self._polled = trio.Event()
            with trio.move_on_after(CLOSE_PATIENCE):
                await self._polled.wait()

    def provoke(self) -> None:
        """See `Carrier`: who gets its answer polls again."""
        self._end_poll()

    def _end_poll(self) -> None:
        if self._held is not None:
            self.offer(framed_packet(self.framing, NOOP))

    def _keep(self, asked: Asked, held: Held) -> None:
        """Hold a poll; much may have happened since it came, for its connection was written to."""
        session = self.session
        if self._held is not None:
            session.fail("protocol: two polls at once")
        if session.carrier is not self or not session.is_open:
            held.answer(asked.refusal)
        elif self.owed:
            held.answer(self._answer(asked))
        else:
            self._held, self._asked = held, asked
            if self._polled is not None:
                self._polled.set()
                self._polled = None
            session.engine.polls += 1
            if not held.says_more:
                self._watch(held)

    def _watch(self, held: Held) -> None:
        try:
            self.session.engine.live.poller.add(held, self)
        except (
            OSError
        ) as error:  # the system watches no more: its end is noticed when it is answered
            log.warning("not watched", error=str(error))
        else:
            self._watched = True

    def _answer_held(self) -> None:
        asked = self._asked
        assert asked is not None
        self._release().answer(self._answer(asked))

    def _release(self) -> Held:
        held = self._held
        assert held is not None
        if self._watched:
            self.session.engine.live.poller.remove(held)
        self.session.engine.polls -= 1
        self._held, self._asked, self._watched = None, None, False
        return held

    def _answer(self, asked: Asked) -> Response:
        """What is owed. Behind a goodbye the session is forgotten."""
        kind, body = self._body(asked)
        if not self.owed:
            self._wake_waiters()
            if not self.session.is_open:
                self.session.forget()
        headers = [("Content-Type", kind), ("Cache-Control", "no-store"), *asked.headers]
        return Response(headers=headers, body=body)

    def _body(self, asked: Asked) -> tuple[str, bytes]:
        """Taken from `owed`."""
        if self.framing is Framing.POLLING_4:
            *packets, self.owed = self.owed.split(SEPARATOR, MAX_PACKETS)
            return "text/plain; charset=UTF-8", SEPARATOR.join(packets)
        owed, self.owed = self.owed, b""
        if asked.jsonp:
            return "text/javascript; charset=UTF-8", jsonp(asked.jsonp, owed)
        binary = None if self._text_only else xhr2(owed)
        if binary is not None:
            return "application/octet-stream", binary
        return "text/plain; charset=UTF-8", owed

    # The held connection, as the poller sees it

    def on_readable(self) -> bool:
        """The client hung up, or sent its next request already."""
        held = self._held
        assert held is not None
        if held.is_gone():
            self.drop("connection lost")
        elif held.says_more:
            self.session.engine.live.poller.remove(held)
            self._watched = False
        return False

    def on_writable(self) -> None:
        """Never asked for: what an answer lacks is written by the front door."""

    # The upgrade

    def heard_probe(self) -> None:
        """`2probe` came: the poll that waits is ended, so that the client can say `5`."""
        self.probed = True
        self._end_poll()

    def end_probe(self) -> None:
        """The WebSocket that was to carry the session has ended."""
        self.probe, self.probed = None, False
        self._wake_settling()

    def hand_over(self, framing: Framing) -> bytes:
        """What is owed, for the next carrier. A client that polls and says `5` at once is told 400."""
        if self._held is not None:
            assert self._asked is not None
            refusal = self._asked.refusal
            self._release().answer(refusal)
        revision = self.session.handshake.revision
        owed, self.owed = self.owed, b""
        payload = owed[:-1] if revision == 4 else owed
        packets = decode_payload(payload, revision, limit=len(owed)) if owed else []
        self._wake_waiters()
        self.end_probe()
        return b"".join(framed_packet(framing, packet) for packet in packets)

    async def _settle(self) -> None:
        if self._settled is None:
            self._settled = trio.Event()
        with trio.move_on_after(PROBE_PATIENCE):
            await self._settled.wait()

    # How it ends

    def leave(self, reason: str, *, lingers: bool) -> None:
        """A held poll gets `1`, or `6` if the client closed; else the next one may, if it comes soon."""
        session = self.session
        session.lost(reason)
        self._end_all()
        self.owed += framed_packet(self.framing, NOOP if reason == CLIENT_CLOSED else CLOSE)
        if self._held is not None:
            self._answer_held()
        if self.owed and lingers:
            session.linger()
        else:
            session.forget()

    def drop(self, reason: str) -> None:
        """See `Carrier`, and `Polled`."""
        self.session.lost(reason)
        self._end_all()
        if self._held is not None:
            self._release().drop()
        self.session.forget()

    def _end_all(self) -> None:
        if self.probe is not None:
            self.probe.drop("session closed")
        self._wake_waiters()

    def _wake_waiters(self) -> None:
        if self._drained is not None:
            self._drained.set()
            self._drained = None

    def _wake_settling(self) -> None:
        if self._settled is not None:
            self._settled.set()
            self._settled = None
