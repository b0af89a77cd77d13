"""One connection to a comet, from the handshake to the reason why it ended.

Two tasks share it: one listens, the other is the only one that writes, so that no caller who is
cancelled leaves half a frame on the line. Nothing is buffered here but one message of
trio-websocket: while the application is busy nobody reads the socket, and TCP slows the comet down.
"""

import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import trio
from trio_websocket import (
    ConnectionClosed,
    ConnectionRejected,
    HandshakeError,
    WebSocketConnection,
    wrap_client_stream,
)

from appmsg_client.protocol import (
    LOST,
    MOVED,
    NORMAL,
    PROTOCOL_FAULT,
    Ending,
    Heard,
    Message,
    ProtocolFault,
    read_text,
    subscribe_target,
    write_ack,
)

SILENCE_GRACE = 15.0  # seconds beyond the heartbeat: a whole answer was lost, not only late
BEAT_EARLY = 0.9  # of the heartbeat: the comet allows 5 s of delay, a slow line may take them
GOODBYE = 1.0  # seconds for a close handshake; a dead peer must not hold up the next try


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What stays the same over all connections of a subscription."""

    key: str
    web: str | None  # where to ask for the comet, unless `server` names it
    server: str | None
    token: str = field(repr=False)
    heartbeat: int  # seconds
    within: float  # seconds for a look-up, to connect, and to be welcomed
    max_message: int  # bytes; a longer one ends the connection with 1009
    tls: ssl.SSLContext


class Conversation:
    """Run it once. `welcomed`: it got `+h`. `proved`: then something else, so the comet is well."""

    def __init__(
        self,
        server: str,
        terms: Terms,
        deliver: Callable[[Message], Awaitable[None]],
        on_welcome: Callable[[], None],
        *,
        owed: int,
    ) -> None:
        """`owed` is the mid to acknowledge first, 0 if none."""
        self.welcomed = self.proved = False
        self._server = server
        self._terms = terms
        self._deliver = deliver
        self._on_welcome = on_welcome
        self._owed, self._told = owed, 0  # what is to be acknowledged, what was written
        self._to_say = trio.Event()  # set by the welcome and by every new `_owed`
        self._said = trio.lowlevel.ParkingLot()  # those who wait for `_told` to reach them
        self._listening: trio.CancelScope | None = None  # while the line is open
        self._over = trio.Event()

    async def run(self, mid: int | None) -> Ending:
        """Subscribe for what is newer than `mid`, and return why it ended. Never an error of the net."""
        ending = Ending(LOST, "connection lost")
        try:
            async with trio.open_nursery() as nursery:
                ending = await self._converse(nursery, mid)
                nursery.cancel_scope.cancel()
        except* (OSError, UnicodeError, trio.BrokenResourceError, HandshakeError) as failures:
            ending = Ending(LOST, f"cannot connect to {self._server}: {_why(failures)}")
        except* trio.TooSlowError:
            ending = Ending(LOST, f"no connection within {self._terms.within:g} s")
        finally:
            self._over.set()
            self._said.unpark_all()
        return ending

    def owe(self, mid: int) -> None:
        """Have everything up to `mid` acknowledged, soon; many in a row become one."""
        self._owed = max(self._owed, mid)
        if self.welcomed:
            self._to_say.set()

    async def wait_told(self, mid: int) -> None:
        """Wait until `mid` was written to the socket, or nothing can be written now."""
        while self.welcomed and not self._over.is_set() and self._told < mid:
            await self._said.park()

    async def leave(self) -> None:
        """Say goodbye, if there is somebody to say it to, and wait until that is done."""
        if self._listening is not None:
            self._listening.cancel()
            await self._over.wait()

    async def _converse(self, nursery: trio.Nursery, mid: int | None) -> Ending:
        terms = self._terms
        target = subscribe_target(self._server, terms.key, terms.heartbeat, terms.token, mid)
        deadline = trio.current_time() + terms.within
        with trio.fail_at(deadline):
            stream, host = await _open_stream(self._server, terms.tls)
        try:
            with trio.fail_at(deadline):
                line = await wrap_client_stream(
                    nursery, stream, host, target, max_message_size=terms.max_message
                )
            nursery.start_soon(self._speak, line)
            ending = Ending(NORMAL, "left")
            with trio.CancelScope() as self._listening:
                ending = await self._listen(line)
            with trio.move_on_after(GOODBYE):
                await line.aclose()
            return ending
        finally:
            await trio.aclose_forcefully(stream)

    async def _listen(self, line: WebSocketConnection) -> Ending:
        announced: Ending | None = None  # by -p, -a or -n; the close that follows may say more
        while True:
            patience = self._patience() if announced is None else GOODBYE
            try:
                with trio.fail_after(patience):
                    text = await line.get_message()
                heard = read_text(text)
            except trio.TooSlowError:
                return announced or Ending(LOST, f"silent for {patience:g} s")
            except ConnectionClosed as closed:
                return _ending(closed, announced)
            except ProtocolFault as fault:
                return Ending(PROTOCOL_FAULT, str(fault))
            match heard:
                case Heard():
                    self._hear()
                case Ending():
                    announced = heard
                case Message():
                    self.proved = True
                    await self._deliver(heard)

    def _patience(self) -> float:
        return self._terms.heartbeat + SILENCE_GRACE if self.welcomed else self._terms.within

    def _hear(self) -> None:
        if self.welcomed:
            self.proved = True
            return
        self.welcomed = True
        self._to_say.set()
        self._on_welcome()

    async def _speak(self, line: WebSocketConnection) -> None:
        await self._to_say.wait()  # an early heartbeat is a fault in the original's protocol
        beat_at = trio.current_time() + self._terms.heartbeat * BEAT_EARLY
        try:
            while True:
                while self._told < self._owed:
                    mid = self._owed
                    await line.send_message(write_ack(mid))
                    self._told = mid
                    self._said.unpark_all()
                self._to_say = trio.Event()
                with trio.move_on_at(beat_at) as waited:
                    await self._to_say.wait()
                if waited.cancelled_caught:
                    await line.send_message("h")
                    beat_at = trio.current_time() + self._terms.heartbeat * BEAT_EARLY
        except ConnectionClosed:
            return  # the listener learns of it too, and knows why


async def _open_stream(
    server: str, tls: ssl.SSLContext
) -> tuple[trio.SocketStream | trio.SSLStream[trio.SocketStream], str]:
    """A stream to `server` and its name for the Host header.

    The TLS handshake is done here: trio-websocket would report a bad certificate as a time-out.
    """
    parts = urlsplit(server)
    secure = parts.scheme == "wss"
    host = parts.hostname or ""
    stream = await trio.open_tcp_stream(host, parts.port or (443 if secure else 80))
    if not secure:
        return stream, parts.netloc
    secured = trio.SSLStream(stream, tls, server_hostname=host, https_compatible=True)
    try:
        await secured.do_handshake()
    except BaseException:
        await trio.aclose_forcefully(secured)
        raise
    return secured, parts.netloc


def _ending(closed: ConnectionClosed, announced: Ending | None) -> Ending:
    if closed.reason is None:
        return announced or Ending(LOST, "connection lost")
    code, reason = int(closed.reason.code), closed.reason.reason or ""
    if announced is not None and code < MOVED:  # a gopush comet: it only hangs up
        return announced
    return Ending(code, reason or ("connection lost" if code == LOST else ""))


def _why(failures: BaseExceptionGroup) -> str:
    error = failures.exceptions[0]
    if isinstance(error, ConnectionRejected):
        return f"the server answered with HTTP status {error.status_code}"
    cause = error.__cause__ or error
    if isinstance(
        cause, BaseExceptionGroup
    ):  # one for each address: "Error connecting to ...: why"
        return str(cause.exceptions[0]).rpartition(": ")[2]
    return str(cause) or type(error).__name__
