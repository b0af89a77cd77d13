"""One HTTP connection of the front door: requests in order, each answered before the next is served.

    bytes -> RequestReader -> route -> handler -> answer -> pending -> one write

One task a connection. Answers are pending until the next bytes have to be waited for, until a handler
has to wait for something, or until there are WRITE_AT bytes of them: so what was asked together is
answered together. There is no timer: a connection notes until when it may wait, and the front door's
one sweep cuts those that are overdue.

    waits for               at most              then
    first byte of a head    idle_timeout         closed (of the first head: head_timeout)
    a head                  head_timeout         408, closed
    a body                  body_timeout         408, closed
    the client to read      write_timeout        closed

When the node stops, who is between two requests is closed at once. Who is in the middle of one, or has
come but now, has `half_sent_timeout` for the bytes that are waited for: nobody is cut off in the middle of
a sentence, and a stop does not wait for a client that says nothing.
"""

import math
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from email.utils import formatdate
from enum import Enum
from time import time

import trio

from appmodel.errors import PushError, TooLarge
from appmodel.io.contain import OnBug, contain_bugs
from appmodel.io.http_held import Held, Keep, Resume
from appmodel.io.http_limits import HttpLimits
from appmodel.io.http_streams import BodyChunks, Outlet, before_waiting
from appmodel.io.wire import Wire
from appmodel.protocol.http import (
    RenderError,
    Request,
    Response,
    Route,
    RouteTable,
    no_route,
    plain,
)
from appmodel.protocol.http1 import Head, HeadLimits, HttpError, RequestReader
from appmodel.protocol.http1_answers import CONTINUE, LAST_CHUNK, chunk, encode_head, has_no_body

WRITE_AT = 64 * 1024  # bytes of answers that are pending at most
PIECE = 256 * 1024  # bytes that a client must read within `write_timeout`

GONE = (trio.BrokenResourceError, trio.ClosedResourceError)

Fallback = Callable[[Wire, bytes], Awaitable[None]]


class Waiting(Enum):
    """What a connection waits for."""

    NOTHING = ""
    FIRST = "first byte"  # of the first head
    IDLE = "idle"  # the first byte of another head
    HEAD = "head timeout"
    BODY = "body timeout"


@dataclass(kw_only=True)
class Service:
    """What the connections of one front door share."""

    routes: RouteTable
    limits: HttpLimits
    render_error: RenderError
    otherwise: Route | None
    fallback: Fallback | None
    on_bug: OnBug
    connections: set["Connection"] = field(default_factory=set)
    resume: Resume | None = None  # while it serves
    stopping: bool = False
    answered: list[int] = field(default_factory=lambda: [0] * 6)  # by class: [2] counts 2xx
    refused: Counter[str] = field(default_factory=Counter)
    _date: tuple[int, bytes] = (0, b"")

    def date(self) -> bytes:
        """The `Date` header, made once a second."""
        now = int(time())
        if self._date[0] != now:
            self._date = now, f"Date: {formatdate(now, usegmt=True)}\r\n".encode()
        return self._date[1]


class Connection:
    """A client's connection, from its first byte until it ends or somebody takes it over."""

    def __init__(self, wire: Wire, service: Service) -> None:
        limits = service.limits
        self._wire = wire
        self._service = service
        self._reader = RequestReader(
            HeadLimits(line=limits.max_line, head=limits.max_head, headers=limits.max_headers)
        )
        self._scope = trio.CancelScope()
        self._cut_for = ""
        self._waiting = Waiting.FIRST
        self._read_due = math.inf
        self._wait_for(Waiting.FIRST, limits.head_timeout)
        self._write_due = math.inf
        self._pending: list[bytes] = []
        self.pending_size = 0  # bytes
        self._goes_on = True  # with requests, behind what is pending
        self._owes_continue = False
        self._committed = False  # we may say no more: in a streamed answer, or in another protocol

    def resume(self, *, unread: bytes, unsent: bytes, keep_alive: bool) -> None:
        """Begin behind a request that was held: see `Resume`."""
        self._wait_for(Waiting.NOTHING, math.inf)
        self._reader.receive_data(unread)
        self._goes_on = keep_alive
        if unsent:
            self.put(unsent)

    async def serve(self) -> None:
        """Serve until the connection ends. A peer's fault and a bug end it too, and only it."""
        self._service.connections.add(self)
        try:
            with contain_bugs("http", self._fail), self._scope:
                try:
                    await self._serve_requests()
                except* HttpError as group:
                    self._refuse(first_of(group))
                except* GONE:
                    pass
            if self._scope.cancelled_caught:
                self._tell_why()
            # unread bytes would make the close a reset, which destroys a refusal on its way
            await self._wire.aclose(linger=0.0 if self._reader.between_requests else self._linger)
        finally:
            self._service.connections.discard(self)

    def hurry(self, now: float) -> None:
        """The node stops: end it if it is between two requests, and do not wait long for half a one."""
        if self._waiting is Waiting.IDLE:
            self._scope.cancel()
        elif self._waiting is not Waiting.NOTHING:
            self._read_due = min(self._read_due, now + self._service.limits.half_sent_timeout)

    def cut_if_overdue(self, now: float) -> None:
        """End it if the client took too long. `now` is trio's time."""
        if now > self._write_due:
            self._cut_for = "write timeout"
            self._scope.cancel()
        elif now > self._read_due:
            if self._waiting is Waiting.HEAD or self._waiting is Waiting.BODY:
                self._cut_for = self._waiting.value
            self._scope.cancel()

    @property
    def _linger(self) -> float:
        limits = self._service.limits
        return (
            min(limits.linger, limits.half_sent_timeout)
            if self._service.stopping
            else limits.linger
        )

    async def _serve_requests(self) -> None:
        reader, find = self._reader, self._service.routes.find
        go_on = self._goes_on
        while go_on:
            head = reader.next_head()
            if head is None:
                go_on = await self._receive_head()
                continue
            self._wait_for(Waiting.NOTHING, math.inf)
            route = find((head.method, head.path))
            if route is not None:
                go_on = await self._serve_route(route, head)
            else:
                go_on = await self._serve_stranger(head)
        await self.flush()

    def _wait_for(self, what: Waiting, timeout: float) -> None:
        self._waiting = what
        if timeout == math.inf:
            self._read_due = math.inf
            return
        if self._service.stopping:
            timeout = min(timeout, self._service.limits.half_sent_timeout)
        self._read_due = trio.current_time() + timeout

    async def _receive_head(self) -> bool:
        """Wait for bytes of a request; False if there will be none."""
        if self._pending:
            # one round of the loop computes all answers, the next writes them: the first write wakes
            # the reader, which costs us 10 µs on one machine, and the others find it awake
            await trio.lowlevel.cancel_shielded_checkpoint()
            await self.flush()
        limits = self._service.limits
        if not self._reader.between_requests:
            if self._waiting is not Waiting.HEAD:  # once for all of it, however slowly it comes
                self._wait_for(Waiting.HEAD, limits.head_timeout)
        elif self._waiting is Waiting.NOTHING:
            if self._service.stopping:
                return False
            self._wait_for(Waiting.IDLE, limits.idle_timeout)
        return await self._receive()

    async def _receive(self) -> bool:
        data = await self._wire.receive_some()
        self._reader.receive_data(data)
        return data != b""

    async def _serve_stranger(self, head: Head) -> bool:
        """No route: `otherwise`, or the fallback takes the connection from here on, or 404, or 405."""
        if self._service.otherwise is not None:
            return await self._serve_route(self._service.otherwise, head)
        allow = self._service.routes.allow(head.path)
        fallback = self._service.fallback
        if allow is not None or fallback is None:
            return await self._answer(no_route(allow), head)
        await self.flush()
        self._committed = True
        await fallback(self._wire, head.raw + self._reader.unread)
        return False

    async def _serve_route(self, route: Route, head: Head) -> bool:
        request = Request(
            method=head.method,
            path=head.path,
            query_string=head.query_string,
            headers=head.headers,
            peer=self._wire.peer.host,
            secure=self._wire.secure,
        )
        self._owes_continue = head.expects_continue
        try:
            if route.streams:
                request.chunks = BodyChunks(self._stream_chunk)
            else:
                request.body = await self._read_body(head, route.max_body)
            if self._pending:
                response = await before_waiting(route.handler(request), self._flush_nowait)
            else:
                response = await route.handler(request)
        except* PushError as group:  # in a group when it comes out of a handler's nursery
            response = self._service.render_error(first_of(group), request)
        if response.hold is not None:
            return await self._hold(response.hold, head)
        if response.takeover is not None:
            return await self._hand_over(response)
        return await self._answer(response, head)

    async def _read_body(self, head: Head, limit: int | None) -> bytes:
        if limit is None:
            limit = self._service.limits.max_body
        if head.length is not None and head.length > limit:
            raise TooLarge(f"body: {head.length} bytes, at most {limit}")
        whole = self._reader.whole_body()
        if whole is not None:
            return whole
        self._wait_for(Waiting.BODY, self._service.limits.body_timeout)
        body = bytearray()
        while data := await self._next_chunk():
            body += data
            if len(body) > limit:
                raise TooLarge(f"body: over {limit} bytes")
        self._wait_for(Waiting.NOTHING, math.inf)
        return bytes(body)

    async def _stream_chunk(self) -> bytes:
        self._wait_for(Waiting.BODY, self._service.limits.body_timeout)
        data = await self._next_chunk()
        self._wait_for(Waiting.NOTHING, math.inf)
        return data

    async def _next_chunk(self) -> bytes:
        """Some of the body as soon as there is some, b"" behind it."""
        while (data := self._reader.next_chunk()) is None:
            if (
                not self._committed
            ):  # a streamed answer has a sender of its own, and is answer enough
                if self._owes_continue:
                    self.put(CONTINUE)
                    self._owes_continue = False
                await self.flush()
            if not await self._receive():
                raise HttpError(400, "body: ended early")
        return data

    async def _answer(self, response: Response, head: Head) -> bool:
        """Put `response` behind the answers before it; False if the connection ends with it."""
        service, body = self._service, response.body
        service.answered[response.status // 100] += 1
        keep_alive = head.keep_alive and not response.close and not service.stopping
        if isinstance(body, bytes):
            keep_alive = keep_alive and self._reader.body_is_read
            self.put(self._head_of(response, head, keep_alive=keep_alive))
            if body and head.method != "HEAD" and not has_no_body(response.status):
                self.put(body)
        else:
            keep_alive = keep_alive and head.minor == 1  # HTTP/1.0 has no chunks
            await self.flush()
            self.put(self._head_of(response, head, keep_alive=keep_alive))
            await self._stream(body, head)
            keep_alive = keep_alive and self._reader.body_is_read
        if self.pending_size > WRITE_AT:
            await self.flush()
        return keep_alive

    def _head_of(self, response: Response, head: Head, *, keep_alive: bool) -> bytes:
        if has_no_body(response.status):
            framing = ""
        elif isinstance(response.body, bytes):
            framing = f"Content-Length: {len(response.body)}\r\n"
        else:
            framing = "Transfer-Encoding: chunked\r\n" if head.minor else ""
        said = None if keep_alive and head.minor else keep_alive  # 1.1 stays open without a word
        return encode_head(response, framing, date=self._service.date(), keep_alive=said)

    async def _stream(self, body: AsyncIterator[bytes], head: Head) -> None:
        """Send what `body` gives, while it goes on, behind the pending head.

        An error cuts the answer short; if nothing of it was written yet, it is as if it never began.
        """
        close = getattr(body, "aclose", None)
        start = self._pending[0]
        try:
            if head.method == "HEAD":
                return
            self._committed = True
            async with trio.open_nursery() as nursery:
                outlet = Outlet(self)
                nursery.start_soon(outlet.run)
                async for data in body:
                    if data:
                        await outlet.put(chunk(data) if head.minor else data)
                outlet.finish(LAST_CHUNK if head.minor else b"")
            self._committed = False
        except BaseException:
            if self._pending and self._pending[0] is start:
                self._take_pending()
                self._committed = False
            raise
        finally:
            if close is not None:
                await close()

    async def _hold(self, keep: Keep, head: Head) -> bool:
        """Give the connection away until the request is answered; its task ends."""
        await self.flush()
        assert self._reader.body_is_read, (
            "a body that was not read cannot be told from what follows"
        )
        held = Held(
            self._wire.take(),
            self._service,
            unread=self._reader.unread,
            minor=head.minor,
            keep_alive=head.keep_alive,
        )
        keep(held)
        return False

    async def _hand_over(self, response: Response) -> bool:
        assert response.takeover is not None
        assert response.status == 101, "only 101 Switching Protocols can be followed by a takeover"
        self._service.answered[1] += 1
        self.put(encode_head(response, "", date=self._service.date(), keep_alive=None))
        await self.flush()
        self._committed = True
        await response.takeover(self._wire, self._reader.unread)
        return False

    def put(self, data: bytes) -> None:
        """Make `data` pending."""
        self._pending.append(data)
        self.pending_size += len(data)

    async def flush(self) -> None:
        """Write what is pending; the client has `write_timeout` for each PIECE."""
        data = self._take_pending()
        sent = self._wire.send_nowait(data) if data else 0
        if sent == len(data):
            return
        rest = memoryview(data)[sent:]
        while rest:
            self._write_due = trio.current_time() + self._service.limits.write_timeout
            await self._wire.send_all(rest[:PIECE])
            rest = rest[PIECE:]
        self._write_due = math.inf

    def _flush_nowait(self) -> None:
        """Write what can be written at once. If the client is gone, a later write finds out."""
        data = self._take_pending()
        try:
            rest = data[self._wire.send_nowait(data) :]
        except GONE:
            return
        if rest:
            self.put(rest)

    def _take_pending(self) -> bytes:
        data = b"".join(self._pending)
        self._pending.clear()
        self.pending_size = 0
        return data

    def _refuse(self, error: PushError) -> None:
        self._service.refused[str(error.status)] += 1
        self._say_last(plain(error.status, str(error)))

    def _fail(self, bug: BaseException) -> None:
        self._service.refused["bug"] += 1
        self._say_last(plain(500, "Internal Server Error"))
        self._service.on_bug(bug)

    def _tell_why(self) -> None:
        if self._cut_for:
            self._service.refused[self._cut_for] += 1
        if self._cut_for in (Waiting.HEAD.value, Waiting.BODY.value):
            self._say_last(plain(408, self._cut_for))

    def _say_last(self, response: Response) -> None:
        """An answer outside the order, as far as it can be written at once; the connection ends."""
        if self._committed or self._wire.closed:
            return
        assert isinstance(response.body, bytes)
        self._service.answered[response.status // 100] += 1
        framing = f"Content-Length: {len(response.body)}\r\n"
        date = self._service.date()
        self.put(encode_head(response, framing, date=date, keep_alive=False) + response.body)
        self._flush_nowait()


def first_of(group: BaseExceptionGroup[PushError]) -> PushError:
    """One error of a group: a client is told one thing."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, PushError)
    return error
