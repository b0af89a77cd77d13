"""Reading without a WebSocket: what came to a device, what became of a message, what waits for its time.

    GET /test/json?poll=1&since=10m     what is kept, a JSON line each; ends
    GET /test/json?since=155...         the same and what comes from then on; a line feed now and then
    GET /test/sse                       Server-Sent Events; Last-Event-ID is `since`
    GET /test/status?mid=155...         ok, online, offline; no: there is no such device
    GET /test/delayed                   {"delayed":[{"id":...,"due":1557901952,"message":{...}}],"more":false}; ?since=
    DELETE /test/delayed/<id>           ok; 404 if it is pushed already or never was
    ... /team.group/delayed...          the same of what is delayed for a group

A device that nobody knows answers 404 to who reads, and `no` to who asks for a status. A path names one device. A stream ends
within seconds when the token that opened it is revoked, and at its next word when that is over.

Source: ours; research/simple-peers.md 1.
"""

import re
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from typing import NamedTuple

import msgspec

from appmodel.core.message import Stored
from appmodel.core.mpush import check_name, read_body
from appmodel.core.mpush_stores import Delays
from appmodel.core.mpush_tokens import Right, as_group
from appmodel.errors import BadInput, NotFound, PushError
from appmodel.protocol.http import Response
from web.api.mpush_frame import JSON, TEXT, Call, confirm
from web.core.mpush_paths import Target, read_target
from web.core.mpush_reading import (
    JSON_BEAT,
    SSE_BEAT,
    Shown,
    json_line,
    read_since,
    show,
    sse_event,
)
from web.core.mpush_states import State
from web.services.mpush_pushing import MpushPushing
from web.services.mpush_reading import MpushReading

UNBUFFERED = ("X-Accel-Buffering", "no")  # nginx would keep a stream back
MAX_LISTED = 100  # of what waits for its time, in one answer
_SECONDS = re.compile(r"[0-9]{1,11}")
_DELAYED = re.compile(r"[0-9a-f]{32}")

_encode = msgspec.json.Encoder().encode


class Form(NamedTuple):
    """How messages are written."""

    kind: tuple[str, str]
    write: Callable[[Shown], bytes]
    beat: bytes

    def write_all(self, messages: Sequence[Stored]) -> bytes:
        """Some of them."""
        return b"".join(self.write(show(stored.id, stored.body)) for stored in messages)


LINES = Form(("Content-Type", "application/x-ndjson; charset=utf-8"), json_line, JSON_BEAT)
EVENTS = Form(("Content-Type", "text/event-stream; charset=utf-8"), sse_event, SSE_BEAT)


class MpushReads:
    """The part that reads."""

    def __init__(
        self, pushing: MpushPushing, reading: MpushReading, delays: Delays, *, line_feed: bool
    ) -> None:
        self._pushing, self._reading, self._delays = pushing, reading, delays
        self._end = "\n" if line_feed else ""

    async def lines(self, call: Call) -> Response:
        """/name/json"""
        polls = call.text("poll") not in {"", "0", "false", "no"}
        return await self._read(call, LINES, call.text("since"), polls=polls)

    async def events(self, call: Call) -> Response:
        """/name/sse"""
        last = call.request.headers.get("last-event-id", "")
        return await self._read(call, EVENTS, last or call.text("since"), polls=False)

    async def status(self, call: Call) -> Response:
        """/name/status"""
        name = await self._device(call)
        mid = call.text("mid")
        state = State.NO if name is None else await self._reading.state(name, mid)
        if call.wants_json:
            return Response(headers=[JSON], body=_encode({"state": state.word, "mid": mid}))
        return self._word(state.word)

    async def waiting(self, call: Call) -> Response:
        """/name/delayed, /name.group/delayed. Bounded, as each may be as large as a message."""
        name, is_group = await self._target(call, Right.READ)
        text = call.text("since")
        if text and not _SECONDS.fullmatch(text):
            raise BadInput("since", text, "Unix seconds: what is due from then on")
        found = await self._delays.of(
            name, is_group=is_group, since=int(text or 0) * 1000, limit=MAX_LISTED + 1
        )
        delayed = [
            {"id": each.id, "due": each.due_at // 1000, "message": read_body(each.body)}
            for each in found[:MAX_LISTED]
        ]
        shown = {"delayed": delayed, "more": len(found) > MAX_LISTED}
        return Response(headers=[JSON], body=_encode(shown) + self._end.encode())

    async def cancel(self, call: Call) -> Response:
        """DELETE /name/delayed/<id>. Who may push to a device or group may take back what is to be pushed to it."""
        name, is_group = await self._target(call, Right.PUBLISH)
        delayed_id = call.aim.delayed_id
        is_one = _DELAYED.fullmatch(delayed_id)
        if not is_one or not await self._delays.cancel(delayed_id, target=name, is_group=is_group):
            raise NotFound(f"id: nothing waits for {name!r} under {delayed_id[:40]!r}")
        return self._word(State.OK.word)

    async def _target(self, call: Call, right: Right) -> Target:
        """The device, which there is, or the group that is named. Raises PushError."""
        target = read_target(call.aim.whole)
        if not target.is_group:
            return Target(_there(await self._device(call, right), call))
        group = check_name(target.name, field="group")
        confirm(call.grant(right), right, [as_group(group)])
        return target

    async def _device(self, call: Call, right: Right = Right.READ) -> str | None:
        """The device that is named, if there is one."""
        grant = call.grant(right)
        name = await self._pushing.find(call.aim.whole)
        confirm(grant, right, (name or call.aim.whole,))
        return name

    async def _read(self, call: Call, form: Form, since: str, *, polls: bool) -> Response:
        name = _there(await self._device(call), call)
        if not polls:
            self._reading.check_room(name)
        begin = read_since(since, polls=polls, now=time.time())
        cursor = await self._reading.cursor(name, begin)
        first = await self._reading.first(name, cursor)
        if polls and not first.more:
            return Response(headers=[form.kind], body=form.write_all(first.messages))
        if polls:
            pages = self._reading.kept(name, first)
        else:
            pages = self._reading.stream(name, cursor, first)

        def may() -> None:
            confirm(call.grant(Right.READ), Right.READ, [name])

        return Response(headers=[form.kind, UNBUFFERED], body=_written(pages, form, may))

    def _word(self, word: str) -> Response:
        return Response(headers=[TEXT], body=f"{word}{self._end}".encode())


async def _written(
    pages: AsyncGenerator[Sequence[Stored], None], form: Form, may: Callable[[], None]
) -> AsyncIterator[bytes]:
    """Ends when the reader may not read any more: `may` raises PushError."""
    async with aclosing(pages):
        async for messages in pages:
            try:
                may()
            except PushError:
                return
            yield form.write_all(messages) or form.beat


def _there(name: str | None, call: Call) -> str:
    """Raises NotFound."""
    if name is None:
        raise NotFound(f"name: there is no device {call.aim.whole[:80]!r}")
    return name
