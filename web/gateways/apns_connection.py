"""aioapns's connections to Apple, with their defects repaired. Asyncio inside: see island.py.

What is wrong in aioapns 4.0, each with a test that fails without the repair:

    received data is never acknowledged: after 65,535 bytes of error bodies all answers stop
    every success leaves an entry in `request_streams`
    nothing ends a request without an answer
    a DATA frame is taken for a whole body: an empty one, or half of one, ends the connection
    a full window raises an error, and the stream that was opened stays open for ever
    a stream that the server resets is never answered
    a lowered limit of streams is not kept, and requests go out before any is known    (apns_channels.py)
    a request that is cancelled keeps its stream; its future, set later, raises
    connections sign a token each: Apple refuses who renews too often    (apns_token.py)
    a pool that is busy looks again every 10 ms                    (apns_pool.py)

What is still its own: requests and results, HTTP/2 at the bottom (H2Protocol over h2), the signed token, and the
life of a pool. Sources: aioapns/connection.py; its pull request 75; Apple, "Sending notification
requests to APNs".
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec
from aioapns.common import NotificationRequest, NotificationResult, PushType
from aioapns.connection import (
    APNsTLSClientProtocol,
    AuthorizationHeaderProvider,
)
from aioapns.exceptions import ConnectionClosed
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    RemoteSettingsChanged,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    WindowUpdated,
)
from h2.exceptions import ProtocolError

from web.gateways.apns_channels import Channels

MAX_BODY = 4096  # bytes of an answer that are kept; Apple's have 60


class ApnsRequest(NotificationRequest):
    """What is sent: aioapns's request with its body as it goes out."""

    __slots__ = ("body", "expiration")

    def __init__(
        self,
        device_token: str,
        body: bytes,
        *,
        expiration: int,
        priority: int,
        collapse_key: str,
        topic: str,
    ) -> None:
        """`expiration`: Unix seconds; 0 = now or never."""
        super().__init__(
            device_token,
            {},
            priority=priority,
            collapse_key=collapse_key,
            push_type=PushType.ALERT,
            apns_topic=topic,
        )
        self.body = body
        self.expiration = expiration


class ApnsResult(NotificationResult):
    """What Apple answered; `timestamp` in milliseconds, `retry_after` as its header says."""

    __slots__ = ("retry_after",)

    def __init__(self, stream: "_Stream", request: ApnsRequest) -> None:
        found = _said(stream.body)
        super().__init__(request.notification_id, stream.status, found.reason, found.timestamp)
        self.retry_after = stream.retry_after


class _Said(msgspec.Struct):
    """The body of an error: {"reason":"Unregistered","timestamp":1700000000000}."""

    reason: str = ""
    timestamp: int | None = None


def _said(body: bytes | bytearray) -> _Said:
    try:
        return msgspec.json.decode(body, type=_Said) if body else _Said()
    except msgspec.DecodeError:  # an error page of something in between
        return _Said()


@dataclass(slots=True)
class _Stream:
    """A request under way."""

    answered: "asyncio.Future[None]"
    sent: bool = False  # the whole body
    status: str = ""
    retry_after: str = ""
    body: bytearray = field(default_factory=bytearray)

    @property
    def is_closed(self) -> bool:
        """Whether both sides know that it is over."""
        answered = self.answered
        if not answered.done() or answered.cancelled():
            return False
        return self.sent or answered.exception() is not None


class ApnsConnection(APNsTLSClientProtocol):
    """One connection. A request holds one of its channels until it is answered, given up or reset."""

    def __init__(
        self,
        topic: str,
        authority: str,
        token: AuthorizationHeaderProvider | None,
        on_end: Callable[["ApnsConnection"], None],
        *,
        idle_timeout: float,
    ) -> None:
        """
        Args:
            authority: the host, for the header.
            token: None: the certificate of the connection says who we are.
            on_end: told once, whoever ended it.
            idle_timeout: seconds without a request after which it is closed.
        """
        loop = asyncio.get_running_loop()
        super().__init__(topic, loop, auth_provider=token)
        self.channels = Channels()
        self.ready = loop.create_future()  # the server's first settings
        self._authority = authority
        self._on_end = on_end
        self._idle_timeout = idle_timeout
        self._streams: dict[int, _Stream] = {}
        self._window_moved = asyncio.Event()
        self._answered = loop.time()  # the last of all streams
        self._ended = False

    @property
    def is_busy(self) -> bool:
        return self.channels.is_busy

    async def send_notification(self, request: NotificationRequest) -> ApnsResult:
        """Apple's answer. Cancelling resets the stream.

        Raises:
            ConnectionClosed: the connection ended before; Apple may have taken the request.
        """
        assert isinstance(request, ApnsRequest)
        asked = self.loop.time()
        try:
            stream_id = await self.channels.acquire()
            return await self._ask(stream_id, request)
        except ProtocolError as error:
            self.end(f"HTTP/2: {error}")
            raise ConnectionClosed(str(error)) from None
        except asyncio.CancelledError:
            if self._answered < asked:  # nor was any other since: it is not only this stream
                self.end("no answer")
            raise

    def data_received(self, data: bytes) -> None:
        try:
            for event in self.conn.receive_data(data):
                self._on(event)
            self.flush()
        except ProtocolError as error:
            self.end(f"HTTP/2: {error}")

    def connection_lost(self, exc: Exception | None) -> None:
        self.end(str(exc or "closed by Apple"))

    def close(self) -> None:
        """Its time of inactivity has passed."""
        if self._streams:
            self.refresh_inactivity_timer()
        else:
            self.end("idle")

    def flush(self) -> None:
        if not self._ended:
            super().flush()

    def refresh_inactivity_timer(self) -> None:
        if self.inactivity_timer:
            self.inactivity_timer.cancel()
        self.inactivity_timer = self.loop.call_later(self._idle_timeout, self.close)

    def end(self, reason: str) -> None:
        """Close the connection; whoever waits for an answer hears `reason`. Any number of times."""
        if self._ended:
            return
        self._ended = True
        closed = ConnectionClosed(reason)
        for stream in self._streams.values():
            if not stream.answered.done():
                stream.answered.set_exception(closed)
        if not self.ready.done():
            self.ready.set_exception(closed)
            self.ready.exception()  # looked at: perhaps nobody waits for it any more
        self.channels.destroy(closed)
        self._window_moved.set()
        if self.inactivity_timer:
            self.inactivity_timer.cancel()
        self._on_end(self)
        if isinstance(self.transport, asyncio.Transport):
            self.transport.abort()

    async def _ask(self, stream_id: int, request: ApnsRequest) -> ApnsResult:
        stream = self._streams[stream_id] = _Stream(self.loop.create_future())
        try:
            self.conn.send_headers(stream_id, self._headers(request))
            await self._send_body(stream_id, stream, request.body)
            await stream.answered
            return ApnsResult(stream, request)
        finally:
            self._forget(stream_id)

    def _on(self, event: Event) -> None:
        match event:
            case ResponseReceived(stream_id=int(number), headers=headers):
                self._head(number, dict(headers or ()))
            case DataReceived(stream_id=int(number), data=data, flow_controlled_length=size):
                self.conn.acknowledge_received_data(size or 0, number)
                if number in self._streams:
                    body = self._streams[number].body
                    body += (data or b"")[: MAX_BODY - len(body)]
            case StreamEnded(stream_id=int(number)):
                self._settle(number, None)
            case StreamReset(stream_id=int(number)):
                self._settle(number, f"Apple reset the stream: {event.error_code!r}")
            case RemoteSettingsChanged():
                self.channels.allow(self.conn.remote_settings.max_concurrent_streams)
                self._window_moved.set()  # the size of new windows is a setting too
                if not self.ready.done():
                    self.ready.set_result(None)
            case WindowUpdated():
                self._window_moved.set()
            case ConnectionTerminated():
                self.end(f"Apple said GOAWAY: {event.error_code!r}")
            case _:
                pass  # pings, acknowledged settings

    def _head(self, stream_id: int, headers: dict[bytes, bytes]) -> None:
        self._answered = self.loop.time()
        stream = self._streams.get(stream_id)
        if stream is not None:
            stream.status = headers.get(b":status", b"").decode("ascii", "replace")
            stream.retry_after = headers.get(b"retry-after", b"").decode("ascii", "replace")

    def _settle(self, stream_id: int, failure: str | None) -> None:
        stream = self._streams.get(stream_id)
        if stream is None or stream.answered.done():
            return
        if failure is None:
            stream.answered.set_result(None)
        else:
            stream.answered.set_exception(ConnectionClosed(failure))
        self._window_moved.set()  # it may still be waiting to send the rest of its body

    def _headers(self, request: ApnsRequest) -> list[tuple[str, str]]:
        headers = [
            (":method", "POST"),
            (":scheme", "https"),
            (":authority", self._authority),
            (":path", f"/3/device/{request.device_token}"),
            ("apns-id", request.notification_id),
            ("apns-topic", request.apns_topic or self.apns_topic),
            ("apns-push-type", PushType.ALERT.value),
            ("apns-priority", str(request.priority)),
            ("apns-expiration", str(request.expiration)),
            ("apns-collapse-id", request.collapse_key or ""),
        ]
        if self.auth_provider:
            headers.append(("authorization", self.auth_provider.get_header()))
        return headers

    async def _send_body(self, stream_id: int, stream: _Stream, body: bytes) -> None:
        while body and not stream.answered.done():  # Apple may refuse before it has read all
            room = self.conn.local_flow_control_window(stream_id)
            size = min(len(body), room, self.conn.max_outbound_frame_size)
            if size > 0:
                piece, body = body[:size], body[size:]
                self.conn.send_data(stream_id, piece, end_stream=not body)
                continue
            self.flush()
            self._window_moved.clear()
            await self._window_moved.wait()
        stream.sent = not body
        self.flush()

    def _forget(self, stream_id: int) -> None:
        """The request is over, however it ended: its stream must be, too."""
        stream = self._streams.pop(stream_id)
        self.channels.release()
        if stream.is_closed or self._ended:
            return
        try:
            self.conn.reset_stream(stream_id, ErrorCodes.CANCEL)
            self.flush()
        except ProtocolError:  # it was never opened
            return
