"""Items 4 to 7, 12 and 13 of the checklist: what callers may say, what devices get of it, and what callers hear.

That a proxy strips its prefix (13) is in tests/system/test_mpush_nginx.py.
"""

import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
import trio

from tests.comet.devices import TOKEN
from tests.mpush.installation import REGISTERED
from tests.mpush.world import HOST, JSON, PATIENCE, PROMPT, Handset, World
from tests.web.world import Answer, parse_answer

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
MANY = 1000  # pushes
CALLERS = 20  # that push them


class Caller:
    """A connection that is kept alive: one call after the other."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._received = b""

    async def get(self, target: str) -> Answer:
        """Its answer, which says how long it is."""
        head = f"GET {target} HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: {TOKEN}\r\n\r\n"
        await self._stream.send_all(head.encode())
        head_end = await self._until(b"\r\n\r\n")
        found = re.search(rb"(?i)\r\ncontent-length: (\d+)", self._received[:head_end])
        assert found is not None, self._received
        size = head_end + int(found[1])
        while len(self._received) < size:
            await self._receive()
        answer, self._received = self._received[:size], self._received[size:]
        return parse_answer(answer)

    async def _until(self, mark: bytes) -> int:
        while mark not in self._received:
            await self._receive()
        return self._received.index(mark) + len(mark)

    async def _receive(self) -> None:
        data = await self._stream.receive_some()
        if not data:
            raise trio.BrokenResourceError("the server hung up")
        self._received += data


async def acknowledge(phone: Handset, count: int) -> list[str]:
    """Take so many messages, and acknowledge each frame; their mids."""
    mids: list[str] = []
    while len(mids) < count:
        new = [message["mid"] for message in await phone.messages()]
        await phone.acks(*new)
        mids += new
    return mids


async def push_many(world: World, target: str, count: int) -> Sequence[Answer]:
    """So many calls, by CALLERS at once, at all web nodes; their answers."""
    answers: list[Answer] = []

    async def call(port: int) -> None:
        async with await trio.open_tcp_stream(HOST, port) as stream:
            caller = Caller(stream)
            for number in range(count // CALLERS):
                answers.append(await caller.get(f"{target}?title={number}"))

    with trio.fail_after(PATIENCE):
        async with trio.open_nursery() as nursery:
            for number in range(CALLERS):
                nursery.start_soon(call, world.place.webs[number % len(world.place.webs)])
    return answers


class Pushing:
    """The suite."""

    async def _pushed(
        self, world: World, query: str = "", body: bytes = b"", **headers: str
    ) -> Any:
        """What a device gets of a push."""
        name = await world.absent()
        mid = await world.push(f"/{name}{query}", body, **headers)
        phone = await world.device(name)
        [message] = await phone.messages()
        assert message.pop("mid") == mid
        assert re.fullmatch("[0-9]{13}", mid)
        return message

    async def test_04_what_was_not_given_is_absent(self, world: World) -> None:
        """4. The title's key; content is "" then. A repeated title is a list. Byte for byte."""
        name = await world.absent()
        targets = ["", "?content=", "?title=", "?title=a&title=b&content=c"]
        mids = [await world.push(f"/{name}{target}") for target in targets]

        phone = await world.device(name)

        shown = ['"content":""', '"content":""', '"title":"","content":""']
        shown.append('"title":["a","b"],"content":"c"')
        items = ",".join(f'{{{s},"mid":"{mid}"}}' for s, mid in zip(shown, mids, strict=True))
        assert await phone.hears() == f'{{"cmd":"MESSAGE","data":{{"msgList":[{items}]}}}}'

    async def test_05_words_end_as_they_are_set(self, world: World) -> None:
        """5. With a line feed as in S, or without as in S+: each of them, and 200 whatever happened."""
        name = await world.absent()

        assert (await world.ask("GET", f"/{name}x?title=x")).body == b"no" + world.place.end
        answer = await world.ask("GET", f"/{name}?title=x")

        assert (answer.status, answer.body) == (200, b"offline" + world.place.end)

    async def test_06_unknown_and_absent_are_told_at_once(self, world: World) -> None:
        """6. `no`: nothing is kept, and who logs in later gets nothing. `offline`: known by its login, or by the configuration."""
        name = world.name()

        for method in ("GET", "POST"):
            assert (await world.ask(method, f"/{name}?title=x")).body == world.word("no")
        assert (await world.ask("GET", f"/{REGISTERED}?title=x")).body == world.word("offline")

        phone = await world.device(name)
        await phone.says_pong()

    async def test_06_ok_comes_at_the_ack(self, world: World) -> None:
        """6. At every web node, wherever the device is; and it is the caller of that mid who hears it."""
        for comet in world.place.comets:
            name = world.name()
            phone = await world.device(name, comet)
            for _ in world.place.webs:
                with trio.fail_after(PROMPT):
                    await world.reaches(f"/{name}", phone)

    async def test_06_who_hangs_up_changes_nothing(self, world: World) -> None:
        """6. The message comes all the same, and is acknowledged."""
        name = world.name()
        phone = await world.device(name)

        async with await trio.open_tcp_stream(HOST, world.place.webs[0]) as stream:
            head = f"GET /{name}?title=x HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: {TOKEN}\r\n\r\n"
            await stream.send_all(head.encode())
            [message] = await phone.messages()
        await phone.acks(message["mid"])

        await world.until_word(f"/{name}/status?mid={message['mid']}", "ok")

    @pytest.mark.parametrize(
        ("body", "content"),
        [
            (b"title=a%26b&content=c+d%2B", "c d+"),
            (b"title=a%26b&content=50%2541", "50%41"),  # decoded once; the original: 50A
            (b"title=a%26b&content=100%", "100%"),  # ends the original's process
            (f"title=a%26b&content={quote_plus('消息')}".encode(), "消息"),
            ("title=a%26b&content=消息".encode(), "消息"),
        ],
    )
    async def test_07_forms_are_decoded_once(self, world: World, body: bytes, content: str) -> None:
        """7. Sequences, plus signs, UTF-8; a percent sign that begins nothing is one."""
        message = await self._pushed(world, body=body, **FORM)

        assert message == {"title": "a&b", "content": content}

    async def test_07_queries_are_decoded_once(self, world: World) -> None:
        """7. The same for a GET."""
        query = "?title=a%26b&content=c+d%2B%2541100%+" + quote("消息")

        message = await self._pushed(world, query)

        assert message == {"title": "a&b", "content": "c d+%41100% 消息"}

    async def test_07_json_is_a_push_too(self, world: World) -> None:
        """7. As from S+ on; what is no object is refused, and ends nothing (`null` ended the original)."""
        message = await self._pushed(world, body=b'{"title":"a&b","content":"100%"}', **JSON)
        assert message == {"title": "a&b", "content": "100%"}

        name = await world.absent()
        for bad in (b"null", b"[]", b"{", b"\xff"):
            assert (await world.ask("POST", f"/{name}", bad, **JSON)).status == 400
        await world.push(f"/{name}?title=x")

    async def test_07_a_letter_may_be_cut_between_packets(self, world: World) -> None:
        """7. The original makes two broken ones of it."""
        name = await world.absent()
        body = "content=消息".encode()
        head = f"POST /{name} HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: {TOKEN}\r\n"
        head += f"Connection: close\r\nContent-Length: {len(body)}\r\n\r\n"

        async with await trio.open_tcp_stream(HOST, world.place.webs[0]) as stream:
            stream.setsockopt(trio.socket.IPPROTO_TCP, trio.socket.TCP_NODELAY, 1)
            await stream.send_all(head.encode())
            for byte in body:
                await stream.send_all(bytes([byte]))
            with trio.fail_after(PROMPT):
                answer = parse_answer(b"".join([piece async for piece in stream]))

        assert answer.body == world.word("offline")
        [message] = await (await world.device(name)).messages()
        assert message["content"] == "消息"

    @pytest.mark.parametrize("method", ["HEAD", "DELETE", "PATCH"])
    async def test_07_other_methods_end_nothing(self, world: World, method: str) -> None:
        """7. 405, and the methods that there are; the original's process dies."""
        name = await world.absent()

        answer = await world.ask(method, f"/{name}?title=x")

        assert (answer.status, answer.headers["allow"]) == (405, "GET, POST, PUT")
        await world.push(f"/{name}?title=x")

    async def test_12_many_at_once(self, world: World) -> None:
        """12. A thousand: each has its own mid, each caller is answered for his own; they rise in the device's order."""
        name = world.name()
        phone = await world.device(name)
        mids: list[str] = []

        async def acknowledge_all() -> None:
            mids.extend(await acknowledge(phone, MANY))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(acknowledge_all)
            answers = await push_many(world, f"/{name}", MANY)

        assert {answer.body for answer in answers} == {world.word("ok")}
        assert mids == sorted(answer.headers["x-mpush-mid"] for answer in answers)
        assert len(set(mids)) == MANY

    async def test_12_many_for_who_is_not_there(self, world: World) -> None:
        """12. The same for a device that comes later: all of them, once each, in order."""
        name = await world.absent()

        answers = await push_many(world, f"/{name}", MANY)
        assert {answer.body for answer in answers} == {world.word("offline")}

        mids = await acknowledge(await world.device(name), MANY)
        assert mids == sorted({answer.headers["x-mpush-mid"] for answer in answers})

    @pytest.mark.parametrize(
        ("name", "path"),
        [
            ("{}", "/{}"),
            ("{}", "/{}/"),
            ("{}/b", "/{}/b"),
            ("{}/b", "/{}%2Fb"),
            ("/{}", "//{}"),
            ("{}/", "/{}/"),
            ("{}@mpush", "/{}@mpush"),
            ("设备 {}", "/" + quote("设备 ") + "{}"),
            (quote("设备 ") + "{}", "/" + quote("设备 ") + "{}"),  # as devices had to log in
        ],
    )
    async def test_13_paths_are_names(self, world: World, name: str, path: str) -> None:
        """13. `/id`, `/id/`, a slash anywhere, any letters: encoded as one does, or called by the encoded name."""
        number = world.name()
        name, path = name.format(number), path.format(number)
        phone = await world.device(name)

        await world.reaches(path, phone)

    async def test_13_an_empty_name_is_nobody(self, world: World) -> None:
        """13. `no`, as from S+ on."""
        assert (await world.ask("GET", "/?title=x")).body == world.word("no")

    async def test_15_what_is_delayed_comes_once(self, world: World) -> None:
        """15. Whichever web node it was told and whichever pushes it; what was taken back never comes."""
        name = world.name()
        phone = await world.device(name)
        ids: dict[str, str] = {}
        for title, delay in [("one", "1s"), ("never", "1h"), ("two", "1s")]:
            answer = await world.ask("GET", f"/{name}?title={title}&delay={delay}")
            word, ids[title] = answer.body.decode().split()
            assert word == "delayed"

        taken_back = await world.ask("DELETE", f"/{name}/delayed/{ids['never']}")
        titles: list[str] = []
        while len(titles) < 2:
            for message in await phone.messages():
                titles.append(message["title"])
                await phone.acks(message["mid"])

        assert taken_back.body == world.word("ok")
        assert sorted(titles) == ["one", "two"]
        await world.until(f"/{name}/delayed", lambda answer: answer.json()["delayed"] == [])
        await world.reaches(f"/{name}", phone)
