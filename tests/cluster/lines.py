r"""The receiving end of one connection, as bare as it can be: it hides nothing that a comet sends.

    line = await connect("tcp", "127.0.0.1:6969", Subscription("u1@user", cursor=0))
    heard = await line.hear()          Message(id, order, live), or Goodbye(code, reason) at the end

Native clients (version 2) and those of gopush, over WebSocket and TCP. A body is the number of its order.
Client addresses are spread over 127.1.0.0/16: thousands that come back at once must not take the
ports on which a node that is being restarted listens.
"""

import json
import random
import re
from dataclasses import dataclass
from typing import NamedTuple, Protocol
from urllib.parse import urlencode

import trio

HEARTBEAT = 86400  # seconds: nobody here has to beat
WELCOME = "+h"
HANDSHAKE = (
    "GET /sub?{query} HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
TEXT, CLOSE = 0x81, 0x88  # the first byte of a whole frame
BROKEN = 1006  # the connection ended without a word
REFUSALS = {"-p": 4400, "-a": 4401, "-n": 4000}


class Message(NamedTuple):
    """One message."""

    id: int
    order: int
    live: bool  # it is not stored


class Goodbye(NamedTuple):
    """Why it ended, in the words of docs/protocol.md; BROKEN if nobody said."""

    code: int
    reason: str

    @property
    def moved_to(self) -> str | None:
        """host:port of the comet that it names."""
        told = re.fullmatch(r"moved \w+://([^/]+).*", self.reason)
        return told[1] if told else None


@dataclass(frozen=True, slots=True)
class Subscription:
    """What a client asks for."""

    key: str
    cursor: int | None = None  # what is newer than this id; None: what comes
    native: bool = True
    token: str = ""


class Line(Protocol):
    """One connection. `hear` for one task only."""

    async def hear(self) -> Message | Goodbye | None:
        """The next thing that the comet says; None for its welcome. Raises OSError, EOFError."""

    async def acknowledge(self, message_id: int) -> None:
        """Say that everything up to it was handled."""

    async def hang_up(self) -> None:
        """Without a word."""


async def connect(transport: str, address: str, asked: Subscription) -> Line:
    """A line that has asked. `transport`: ws or tcp.

    Raises:
        OSError, EOFError: nobody is there, or it hung up.
    """
    host, _, port = address.rpartition(":")
    source = f"127.1.{random.randrange(256)}.{random.randrange(1, 255)}"
    stream = await trio.open_tcp_stream(host, int(port), local_address=source)
    line = WsLine(stream) if transport == "ws" else TcpLine(stream)
    try:
        await line.ask(address, asked)
    except BaseException:
        await trio.aclose_forcefully(stream)
        raise
    return line


class _Bytes:
    """What has come and was not read yet."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self._rest = b""

    async def exactly(self, count: int) -> bytes:
        while len(self._rest) < count:
            await self._more()
        found, self._rest = self._rest[:count], self._rest[count:]
        return found

    async def until(self, mark: bytes) -> bytes:
        """Up to `mark`, which is taken away."""
        while mark not in self._rest:
            await self._more()
        found, _, self._rest = self._rest.partition(mark)
        return found

    async def _more(self) -> None:
        try:
            data = await self.stream.receive_some()
        except trio.BrokenResourceError as error:
            raise EOFError from error
        if not data:
            raise EOFError
        self._rest += data

    async def send(self, data: bytes) -> None:
        try:
            await self.stream.send_all(data)
        except trio.BrokenResourceError as error:
            raise EOFError from error


class TcpLine:
    """gopush TCP: lines, and messages with their length."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._bytes = _Bytes(stream)

    async def ask(self, address: str, asked: Subscription) -> None:
        version = "2" if asked.native else "1"
        arguments = ["sub", asked.key, str(HEARTBEAT), asked.token, version]
        if asked.native and asked.cursor is not None:
            arguments.append(str(asked.cursor))
        texts = [argument.encode() for argument in arguments]
        sent = b"".join(b"$%d\r\n%b\r\n" % (len(text), text) for text in texts)
        await self._bytes.send(b"*%d\r\n%b" % (len(texts), sent))

    async def hear(self) -> Message | Goodbye | None:
        line = (await self._bytes.until(b"\r\n")).decode()
        if line.startswith("$"):
            body = await self._bytes.exactly(int(line[1:]) + 2)
            return read_message(body)
        if line.startswith("-x "):
            code, _, reason = line[3:].partition(" ")
            return Goodbye(int(code), reason)
        return read_reply(line)

    async def acknowledge(self, message_id: int) -> None:
        await self._bytes.send(b'{"ack":[%d]}\r\n' % message_id)

    async def hang_up(self) -> None:
        await trio.aclose_forcefully(self._bytes.stream)


class WsLine:
    """gopush WebSocket: text frames."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._bytes = _Bytes(stream)

    async def ask(self, address: str, asked: Subscription) -> None:
        query: dict[str, str | int] = {"key": asked.key, "heartbeat": HEARTBEAT}
        query["ver"] = 2 if asked.native else 1
        if asked.token:
            query["token"] = asked.token
        if asked.native and asked.cursor is not None:
            query["mid"] = asked.cursor
        request = HANDSHAKE.format(query=urlencode(query), address=address)
        await self._bytes.send(request.encode())
        head = await self._bytes.until(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 101 "):
            raise EOFError(head.partition(b"\r\n")[0].decode())

    async def hear(self) -> Message | Goodbye | None:
        first, size = await self._bytes.exactly(2)
        if size >= 126:
            size = int.from_bytes(await self._bytes.exactly(2 if size == 126 else 8), "big")
        payload = await self._bytes.exactly(size)
        if first == CLOSE:
            code = int.from_bytes(payload[:2], "big") if payload else 1005
            return Goodbye(code, payload[2:].decode())
        assert first == TEXT, f"a frame of type {first:#x}"
        return (
            read_reply(payload.decode().strip()) if payload[:1] in b"+-" else read_message(payload)
        )

    async def acknowledge(self, message_id: int) -> None:
        payload = b'{"ack":[%d]}' % message_id
        await self._bytes.send(bytes([TEXT, 0x80 | len(payload), 0, 0, 0, 0]) + payload)

    async def hang_up(self) -> None:
        await trio.aclose_forcefully(self._bytes.stream)


def read_message(text: bytes) -> Message:
    """From its envelope, the new one."""
    fields = json.loads(text)
    return Message(fields["mid"], fields["msg"], live=fields.get("live", False))


def read_reply(line: str) -> Goodbye | None:
    """From `+h`, the welcome and the answer to a beat, or a refusal."""
    if line == WELCOME:
        return None
    return Goodbye(REFUSALS[line], line)
