r"""A whole node for fuzzing, its witnesses, and bytes in and out of both ports.

    node      all in one, as a process; nobody is slowed down, and nobody waits for acknowledgements
    Witness   an offline device with a message that waits, and a device that is connected: both outlive everything

More examples: APPMSG_FUZZ=50 pytest tests/mpush/test_frames_fuzz.py tests/mpush/test_requests_fuzz.py
"""

import json
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from tests.node import Node, running_node

PATIENCE = 40.0  # seconds after which a test has failed
MORE = int(os.environ.get("APPMSG_FUZZ", "1"))
SETTINGS = {
    "APPMSG_WEB__MPUSH__WAIT": "10ms",
    "APPMSG_WEB__MPUSH__REPLY_WAIT": "10ms",
    "APPMSG_COMET__MPUSH__REPLY_TIMEOUT": "10ms",
    "APPMSG_COMET__MPUSH__LOGINS": "0",
    "APPMSG_MPUSH__TRIES__LIMIT": "0",
    "APPMSG_MPUSH__REGISTERS": '["target", "kept"]',
}
HANDSHAKE = (
    b"GET /any HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA
COMMANDS = {"AUTH", "LOGIN", "MESSAGE", "MESSAGE_REPLY", "INFO", "PONG"}

# whatever JSON can say, and what it cannot
TEXTS = st.text(max_size=20) | st.sampled_from(
    ["target", "%", "%00", "\ud800", "\0", "a" * 300, "javascript:x", "</script>", "1e999", "-0"]
)
NUMBERS = st.integers() | st.floats() | st.sampled_from([2**53, 2**63, 2**64, 10**400, -(2**70)])
JSON_VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
DEEP = st.sampled_from([50, 500, 900, 1100]).flatmap(
    lambda depth: st.sampled_from(['{"a":' * depth + "1" + "}" * depth, "[" * depth + "]" * depth])
)


def fuzz(examples: int) -> settings:
    """Always the same examples; with APPMSG_FUZZ more of them, and others each time."""
    return settings(
        max_examples=examples * MORE,
        derandomize=MORE == 1,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


def as_json(value: object) -> str:
    """As somebody writes it who knows no better: NaN, lone surrogates, numbers of any length."""
    return json.dumps(value)


class Answer(NamedTuple):
    """One answer, which was checked for its form."""

    status: int
    headers: dict[str, str]
    body: bytes


class Lines:
    """A blocking connection."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        self._socket = socket.create_connection((parts.hostname, parts.port), PATIENCE)
        self._received = b""
        self.is_over = False

    def send(self, data: bytes) -> None:
        """The other side may have hung up: then its last words are read."""
        try:
            self._socket.sendall(data)
        except OSError:
            self.is_over = True

    def end_writing(self) -> None:
        """Nothing more comes from here."""
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            self.is_over = True

    def read(self, count: int) -> bytes:
        """So many bytes, or those up to the end."""
        while len(self._received) < count and self._more():
            pass
        found, self._received = self._received[:count], self._received[count:]
        return found

    def until(self, end: bytes) -> bytes:
        """Up to and with `end`, or all."""
        while end not in self._received and self._more():
            pass
        found, end, self._received = self._received.partition(end)
        return found + end

    def _more(self) -> bool:
        try:
            data = self._socket.recv(65536)
        except ConnectionError:
            data = b""
        self._received += data
        return data != b""

    def close(self) -> None:
        self._socket.close()


@contextmanager
def connected(url: str) -> Iterator[Lines]:
    """A connection, until the block ends."""
    lines = Lines(url)
    try:
        yield lines
    finally:
        lines.close()


def read_answer(lines: Lines, method: str = "GET") -> Answer | None:
    """The next answer of HTTP/1.1, which has to be well-formed; None at the end."""
    head = lines.until(b"\r\n\r\n")
    if not head:
        return None
    status, *fields = head.decode("ascii").removesuffix("\r\n\r\n").split("\r\n")
    found = re.fullmatch(r"HTTP/1\.1 ([1-5]\d\d) [A-Za-z -]+", status)
    assert found, status
    pairs = [re.fullmatch(r"([A-Za-z-]+): ([ -~]*)", field) for field in fields]
    assert all(pairs), fields
    headers = {pair[1].lower(): pair[2] for pair in pairs if pair}
    if headers.get("transfer-encoding") == "chunked":
        return Answer(int(found[1]), headers, b"".join(iter(lambda: _chunk(lines), b"")))
    size = 0 if method == "HEAD" else int(headers.get("content-length", "0"))
    body = lines.read(size)
    assert len(body) == size, (head, body)
    return Answer(int(found[1]), headers, body)


def _chunk(lines: Lines) -> bytes:
    size = int(lines.until(b"\r\n"), 16)
    data = lines.read(size + 2)
    assert data.endswith(b"\r\n")
    return data[:-2]


class Piece(bytes):
    """Of a stream, shown as its beginning."""

    def __repr__(self) -> str:
        return f"{self[:300]!r} ({len(self)} bytes)"


def client_frame(payload: bytes, opcode: int = TEXT, *, last: bool = True) -> bytes:
    """A masked frame; the mask is zero."""
    size = len(payload)
    first = bytes([opcode | (0x80 if last else 0)])
    if size < 126:
        return first + bytes([0x80 | size, 0, 0, 0, 0]) + payload
    if size < 65536:
        return first + b"\xfe" + size.to_bytes(2, "big") + bytes(4) + payload
    return first + b"\xff" + size.to_bytes(8, "big") + bytes(4) + payload


class Device:
    """A WebSocket whose server's frames are checked for their form."""

    def __init__(self, url: str) -> None:
        self.lines = Lines(url)
        self.lines.send(HANDSHAKE)
        assert self.lines.until(b"\r\n\r\n").startswith(b"HTTP/1.1 101 ")
        self._pings = 0

    def send(self, text: str) -> None:
        self.lines.send(client_frame(text.encode()))

    def frame(self) -> tuple[int, bytes]:
        """Opcode and payload; (0, b"") at the end."""
        head = self.lines.read(2)
        if len(head) < 2:
            return 0, b""
        assert head[0] & 0xF0 == 0x80, "whole, and without an extension"
        assert head[1] & 0x80 == 0, "not masked"
        size = head[1]
        if size >= 126:
            size = int.from_bytes(self.lines.read(2 if size == 126 else 8), "big")
        payload = self.lines.read(size)
        assert len(payload) == size
        return head[0] & 0x0F, payload

    def settle(self) -> tuple[bool, list[dict[str, Any]]]:
        """Whether it is still open when all that it said before was heard; and what it was told."""
        self._pings += 1
        mine = b"mine %d" % self._pings
        self.lines.send(client_frame(mine, PING))
        told: list[dict[str, Any]] = []
        while True:
            opcode, payload = self.frame()
            if opcode in (0, CLOSE):
                assert not payload or 1000 <= int.from_bytes(payload[:2], "big") < 5000
                return False, told
            if opcode == PONG and payload == mine:
                return True, told
            if opcode == TEXT:
                packet = json.loads(payload.decode(), parse_constant=_no_constant)
                assert packet.keys() == {"cmd", "data"}
                assert packet["cmd"] in COMMANDS
                told.append(packet)
            else:
                assert opcode in (PING, PONG)

    def log_in(self, name: str) -> None:
        """By the seed version."""
        self.send("mpush")
        self.send(name)
        while '"LOGIN"' not in (said := self.frame()[1].decode()):
            assert said, "it was hung up on"

    def close(self) -> None:
        self.lines.close()


def _no_constant(text: str) -> None:
    raise AssertionError(f"{text} is no JSON")


class Witness:
    """Who sees whether anything ended or got lost."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self.device = Device(node.url("comet.mpush"))
        self.device.log_in("witness")
        assert self.ask("GET", "/kept?title=precious").body == b"offline\n"

    def ask(self, method: str, target: str, body: bytes = b"") -> Answer:
        """One request."""
        with connected(self._node.url("web.mpush")) as lines:
            head = f"{method} {target} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
            lines.send(head.encode() + body)
            answer = read_answer(lines)
        assert answer is not None
        return answer

    def check(self) -> None:
        """Nothing ended, no bug was met, and what waited waits."""
        assert self.device.settle() == (True, [])
        kept = self.ask("GET", "/kept/json?poll=1").body
        assert [json.loads(line)["title"] for line in kept.splitlines()] == ["precious"]
        bugs = [line for line in self._node.log if "bug contained" in line]
        self._node.log.clear()
        assert bugs == []

    def fetch(self, name: str, *, deliveries: int = 100) -> None:
        """All that waits for a device can be brought to it, in both versions, and read; then it is acknowledged."""
        lines = self.ask("GET", f"/{name}/json?poll=1").body.splitlines()
        assert all(
            isinstance(json.loads(line, parse_constant=_no_constant), dict) for line in lines
        )
        other = Device(self._node.url("comet.mpush"))
        other.send(json.dumps({"cmd": "AUTH", "data": {"token": "mpush", "name": name}}))
        while other.frame()[1].find(b'"code":200') < 0:
            pass
        assert other.settle()[0]
        device = Device(self._node.url("comet.mpush"))
        device.log_in(name)
        wanted = self.mids(name)
        for _ in range(deliveries):
            is_open, told = device.settle()
            assert is_open
            got = [
                m["mid"] for one in told if one["cmd"] == "MESSAGE" for m in one["data"]["msgList"]
            ]
            wanted -= set(got)
            device.send(json.dumps({"cmd": "SENDMSG_CB", "data": {"midList": got}}))
            if not wanted:
                break
        assert not wanted
        other.close()
        device.close()

    def mids(self, name: str) -> set[str]:
        """Of all that waits for a device."""
        lines = self.ask("GET", f"/{name}/json?poll=1").body.splitlines()
        mids = [json.loads(line)["mid"] for line in lines]
        return {mid for mid in mids if self.ask("GET", f"/{name}/status?mid={mid}").body != b"ok\n"}


@contextmanager
def fuzzed_node(folder: Path) -> Iterator[tuple[Node, Witness]]:
    """For a module."""
    with running_node(folder, SETTINGS) as node:
        witness = Witness(node)
        try:
            yield node, witness
        finally:
            witness.device.close()
