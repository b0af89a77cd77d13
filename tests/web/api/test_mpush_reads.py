"""Reading over HTTP: polls, streams, and what became of a message."""

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from appmodel.core.mpush import device_key, id_of
from appmodel.core.mpush_stores import AckNews
from appmodel.core.mpush_tokens import Right, issue
from appmodel.core.mpush_waits import Awaited
from appmodel.core.revocations import token_subject
from appmodel.core.units import Duration
from tests.web.mpush_desk import Desk, open_desk
from tests.web.world import LIMIT, Door

SHORT = 0.02  # seconds


class Stream:
    """An answer that goes on."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self.seen = b""

    async def until(self, text: bytes) -> bytes:
        """All that was seen, once `text` is in it."""
        with trio.fail_after(LIMIT):
            while text not in self.seen:
                more = await self._stream.receive_some()
                assert more, f"it ended: {self.seen!r}"
                self.seen += more
        return self.seen

    async def end(self) -> bytes:
        """All of it."""
        with trio.fail_after(LIMIT):
            async for more in self._stream:
                self.seen += more
        return self.seen


@asynccontextmanager
async def reading(door: Door, target: str, *headers: str) -> AsyncIterator[Stream]:
    """A reader, until the block ends."""
    async with await trio.open_tcp_stream(door.host, door.port) as stream:
        lines = [f"GET {target} HTTP/1.1", "Host: localhost", *headers, "", ""]
        await stream.send_all("\r\n".join(lines).encode())
        yield Stream(stream)


async def mid_of_push(desk: Desk, target: str) -> str:
    """Push, and say its mid."""
    return (await desk.ask("GET", target)).headers["x-mpush-mid"]


async def test_a_poll_gets_what_is_kept() -> None:
    """All of it, or what is behind a mid, an instant or the newest but one: a JSON line each. Reading takes nothing away."""
    async with open_desk("phone") as desk:
        mids = [await mid_of_push(desk, f"/phone?title=t{n}") for n in range(3)]

        async def titles(query: str) -> list[str]:
            answer = await desk.ask("GET", f"/phone/json?poll=1{query}")
            assert answer.headers["content-type"] == "application/x-ndjson; charset=utf-8"
            return [json.loads(line)["title"] for line in answer.body.splitlines()]

        assert await titles("") == ["t0", "t1", "t2"]
        assert await titles("&since=all") == ["t0", "t1", "t2"]
        assert await titles(f"&since={mids[0]}") == ["t1", "t2"]
        assert await titles("&since=latest") == ["t2"]
        assert await titles("&since=10m") == ["t0", "t1", "t2"]
        assert await titles(f"&since={int(time.time()) + 100}") == []
        whole = (await desk.ask("GET", "/phone/json?poll=1")).body
    assert whole.splitlines()[0] == b'{"mid":"%b","time":%d,"title":"t0","content":""}' % (
        mids[0].encode(),
        int(mids[0]) // 1000,
    )


async def test_a_long_history_is_read_in_pages() -> None:
    """However much is kept, an answer is made piece by piece."""
    async with open_desk("phone") as desk:
        key = str(device_key("phone"))
        await desk.world.keep(key, *[b'{"content":"%d"}' % n for n in range(2500)], first_id=1000)

        answer = await desk.ask("GET", "/phone/json?poll=1")

    contents = [json.loads(line)["content"] for line in answer.body.splitlines()]
    assert contents == [str(n) for n in range(2500)]


async def test_a_stream_goes_on_where_the_store_ends() -> None:
    """What is kept first, then what comes: from this node at once, from others by the mark. Each once."""
    async with open_desk("phone", poll=Duration(SHORT)) as desk:
        await desk.ask("GET", "/phone?title=before")
        async with reading(desk.world.mpush, "/phone/json?since=all") as stream:
            await stream.until(b"before")
            await desk.ask("GET", "/phone?title=nearby")
            await stream.until(b"nearby")
            key = str(device_key("phone"))
            await desk.world.keep(key, b'{"content":"elsewhere"}', first_id=2**50)
            seen = await stream.until(b"elsewhere")

    assert [seen.count(text) for text in (b"before", b"nearby", b"elsewhere")] == [1, 1, 1]


async def test_a_stream_that_says_nothing_else_begins_now() -> None:
    """As a browser's EventSource does first; then it says which event it had last."""
    async with open_desk("phone") as desk:
        first = await mid_of_push(desk, "/phone?title=old")
        async with reading(desk.world.mpush, "/phone/sse") as stream:
            await stream.until(b"text/event-stream")
            await stream.until(b":\n\n")
            mid = await mid_of_push(desk, "/phone?title=new")
            seen = await stream.until(b"new")
        async with reading(desk.world.mpush, "/phone/sse", f"Last-Event-ID: {first}") as stream:
            again = await stream.until(b"new")

    assert b"old" not in seen
    assert b"id: %b\ndata: {" % mid.encode() in seen
    assert b"old" not in again


async def test_an_idle_stream_beats_and_ends_with_the_node() -> None:
    """So that proxies keep it, and a stop waits for nobody."""
    async with (
        open_desk("phone", beat=Duration(SHORT)) as desk,
        reading(desk.world.mpush, "/phone/json") as stream,
    ):
        await stream.until(b"\r\n1\r\n\n\r\n1\r\n\n\r\n1\r\n\n\r\n")
        desk.world.stop.set()
        seen = await stream.end()

    assert seen.endswith(b"0\r\n\r\n")


async def test_what_has_gone_is_not_waited_for() -> None:
    """A mark above all that is kept, as after a deletion, is no news: a stream waits quietly."""
    longer = Duration(10 * SHORT)  # than it takes to hear of the mark again
    async with open_desk("phone", poll=Duration(SHORT), beat=longer) as desk:
        key = device_key("phone")
        async with reading(desk.world.mpush, "/phone/json?since=all") as stream:
            await stream.until(b"\n\r\n")
            await desk.world.keep(str(key), b'{"content":"gone"}', first_id=5000)
            await desk.world.store.delete(key)
            stream.seen = b""
            await stream.until(b"1\r\n\n\r\n1\r\n\n\r\n")
            await desk.ask("GET", "/phone?title=there")
            await stream.until(b"there")


async def test_readers_are_bounded() -> None:
    """One more hears 429; when one has gone there is room. Polls need none."""
    async with open_desk("phone", readers=1, beat=Duration(SHORT)) as desk:
        async with reading(desk.world.mpush, "/phone/json") as stream:
            await stream.until(b"200 OK")
            refused = await desk.ask("GET", "/phone/sse")
            polled = await desk.ask("GET", "/phone/json?poll=1")
        with trio.fail_after(LIMIT):
            while b"429" in (await _head(desk.world.mpush)):
                await trio.lowlevel.checkpoint()

    assert (refused.status, polled.status) == (429, 200)
    assert refused.body == b"readers: 1 streams are open, at most 1\n"


async def _head(door: Door) -> bytes:
    async with reading(door, "/phone/json") as stream:
        return await stream.until(b"\r\n\r\n")


async def test_status_says_later_what_happened() -> None:
    """Kept, offered, acknowledged: noted in the book, or just now at the owner of the device."""
    async with open_desk("phone") as desk:
        mids = [await mid_of_push(desk, f"/phone?title={n}") for n in range(3)]

        async def status(mid: str, name: str = "phone") -> tuple[int, str]:
            answer = await desk.ask("GET", f"/{name}/status?mid={mid}")
            return answer.status, answer.body.decode().strip()

        assert await status(mids[0]) == (200, "offline")
        desk.world.comet.subscribers[device_key("phone")] = 1
        assert await status(mids[0]) == (200, "online")
        await desk.books.acks.acknowledge([AckNews("phone", done=(_id(mids[1]),))])
        assert await status(mids[1]) == (200, "ok")
        await desk.ears.hear([Awaited(device_key("phone"), _id(mids[2]))])
        assert await status(mids[2]) == (200, "ok")
        assert await status(mids[0], "nobody") == (200, "no")
        assert await status("1557901952810") == (
            404,
            "mid: there is no message '1557901952810', or not any more",
        )
        assert (await status("x"))[0] == 400
        told = await desk.ask(
            "GET", f"/phone/status?mid={mids[1]}", headers={"Accept": "application/json"}
        )
    assert told.json() == {"state": "ok", "mid": mids[1]}


def _id(mid: str) -> int:
    found = id_of(mid)
    assert found is not None
    return found


async def test_a_stream_ends_with_its_token() -> None:
    """At the next beat after it was revoked; a reader with another one goes on."""
    async with open_desk("phone", auth="on", beat=Duration(SHORT)) as desk:
        credentials, now = desk.world.context.credentials, time.time()
        token, grant = issue(credentials, [Right.READ], ["phone"], now=now, ttl=60)
        async with (
            reading(desk.world.mpush, f"/phone/json?token={token}") as stream,
            reading(desk.world.mpush, "/phone/json?token=mpush") as other,
        ):
            await stream.until(b"\r\n1\r\n\n")
            await desk.world.revoke(token_subject(grant.id))
            await stream.until(b"\r\n0\r\n\r\n")
            other.seen = b""
            await other.until(b"\r\n1\r\n\n")


async def test_reading_needs_a_token_that_reads() -> None:
    """Of this device; who may only push learns nothing of what came. A name that nobody has is 404."""
    async with open_desk("phone", "tablet", auth="on", open="yes") as desk:
        credentials, now = desk.world.context.credentials, time.time()
        reads, _ = issue(credentials, [Right.READ], ["phone"], now=now, ttl=60)
        pushes, _ = issue(credentials, [Right.PUBLISH], ["*"], now=now, ttl=60)

        async def read(target: str, token: str) -> int:
            return (await desk.ask("GET", f"/{target}&token={token}")).status

        for what in ("json?poll=1", "status?mid=1557901952810", "delayed?"):
            assert await read(f"phone/{what}", "") == 401
            assert await read(f"phone/{what}", pushes) == 403
            assert await read(f"tablet/{what}", reads) == 403
        assert await read("phone/json?poll=1", reads) == 200
        assert (await desk.ask("GET", "/phone?title=t")).status == 200
        assert await read("nobody/json?poll=1", "mpush") == 404
