"""Whatever a device says: it is answered in well-formed frames or hung up on, and nobody else notices."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.mpush.fuzzing import (
    BINARY,
    DEEP,
    JSON_VALUES,
    PING,
    PONG,
    TEXT,
    TEXTS,
    Device,
    Piece,
    Witness,
    as_json,
    client_frame,
    connected,
    fuzz,
    fuzzed_node,
)
from tests.node import Node

Place = tuple[Node, Witness]
NAMES = st.sampled_from(["target", "other", "a/b", "ünï", "x" * 200, "x" * 201, "", "\n", "@mpush"])
FIELDS = st.sampled_from(
    [
        *["token", "name", "group", "sendType", "target", "message", "mid", "midList"],
        *["endpoint", "keys", "text", "desp", "extra", "priority", "tags", "click"],
    ]
)
CMDS = st.sampled_from(
    [
        *["AUTH", "MESSAGE", "MESSAGE_CALLBACK", "MESSAGE_WEBPUSH_CALLBACK", "PING"],
        *["REGISTER_WEBPUSH", "REGISTER_FCM", "SENDMSG_CB", "TEST_HTTP"],
    ]
)


@st.composite
def packets(draw: st.DrawFn) -> str:
    """A command that is right in part."""
    cmd: Any = draw(CMDS | TEXTS | JSON_VALUES)
    data: dict[str, Any] = draw(st.dictionaries(FIELDS, JSON_VALUES, max_size=4))
    data |= draw(
        st.just({})
        | NAMES.map(lambda name: {"token": "mpush", "name": name})
        | st.builds(
            lambda message: {"sendType": "personal", "target": "target", "message": message},
            st.dictionaries(FIELDS, JSON_VALUES, max_size=4),
        )
        | st.lists(JSON_VALUES | st.just("1557901952810"), max_size=5).map(
            lambda mids: {"midList": mids, "mid": mids[:1]}
        )
    )
    return as_json({"cmd": cmd, "data": data})


def nested(deep: str) -> list[str]:
    """Something deep, wherever JSON may be."""
    push = '{"cmd":"MESSAGE","data":{"sendType":"personal","target":"target","message":@}}'
    places = [
        *["@", '{"cmd":@}', '{"cmd":"AUTH","data":@}', push],
        *[push.replace("@", part) for part in ('{"text":@}', '{"text":"t","extra":{"a":@}}')],
        '{"cmd":"SENDMSG_CB","data":{"midList":[@]}}',
    ]
    return [place.replace("@", deep) for place in places]


def in_pieces(data: bytes) -> bytes:
    """One text in three frames, cut within letters, with pings between."""
    cut = len(data) // 2
    ping = client_frame(b"p", PING)
    first = client_frame(data[:cut], TEXT, last=False) + ping
    return first + client_frame(data[cut:], 0, last=False) + ping + client_frame(b"", 0)


SAID = packets() | DEEP.flatmap(lambda deep: st.sampled_from(nested(deep))) | NAMES | TEXTS
FRAMES = st.one_of(
    SAID.map(lambda text: client_frame(text.encode(errors="replace"))),
    SAID.map(lambda text: client_frame(text.encode(errors="replace"), BINARY)),
    st.tuples(st.binary(max_size=125), st.sampled_from([PING, PONG])).map(
        lambda said: client_frame(*said)
    ),
    SAID.map(lambda text: in_pieces(text.encode(errors="replace"))),
).map(Piece)
BEGINNINGS = st.sampled_from(
    [
        [],
        ["mpush"],
        ["mpush", "target"],
        ["mpush", "other"],
        ['{"cmd":"AUTH","data":{"token":"mpush","name":"target","group":"team"}}'],
    ]
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with fuzzed_node(tmp_path_factory.mktemp("frames")) as place:
        yield place


def test_nothing_that_is_a_frame_ends_a_connection(place: Place) -> None:
    """Text, binary, in pieces, pings; junk, commands that are half right, JSON of any depth: it stays, and is answered."""
    node, witness = place

    @fuzz(30)
    @given(BEGINNINGS, st.lists(FRAMES, min_size=1, max_size=8))
    def holds(beginning: list[str], frames: list[bytes]) -> None:
        device = Device(node.url("comet.mpush"))
        for text in beginning:
            device.send(text)
        device.settle()
        for frame in frames:
            device.lines.send(frame)
        is_open, _ = device.settle()
        device.close()
        assert is_open
        witness.check()

    holds()
    witness.fetch("target")
    witness.check()


def test_what_is_no_frame_ends_its_own_connection(place: Place) -> None:
    """Bytes of any kind, cut anywhere: a close frame with a reason, or the end; and only there."""
    node, witness = place

    @fuzz(20)
    @given(BEGINNINGS, st.lists(st.binary(max_size=200) | FRAMES, max_size=5), st.integers(0, 400))
    def holds(beginning: list[str], pieces: list[bytes], cut: int) -> None:
        device = Device(node.url("comet.mpush"))
        for text in beginning:
            device.send(text)
        data = b"".join(pieces)
        device.lines.send(data[: len(data) - cut] if cut < len(data) else data)
        device.lines.end_writing()
        while (frame := device.frame())[0]:
            assert frame[0] in (TEXT, PING, PONG, 0x8)
        device.close()
        witness.check()

    holds()


def test_no_handshake_ends_anything(place: Place) -> None:
    """Any path, method and header, also what is no HTTP."""
    node, witness = place
    headers = st.sampled_from(
        [
            *["Upgrade: websocket", "Upgrade: h2c", "Connection: Upgrade", "Connection: close"],
            *["Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: 8", "Sec-WebSocket-Version: x"],
            *["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Key: \xff"],
            *["Sec-WebSocket-Protocol: a, b", "Sec-WebSocket-Protocol: a\x00b", "Origin: null"],
            *["Content-Length: 5", "Transfer-Encoding: chunked", "X-Forwarded-For: ,,\x01"],
        ]
    )

    @fuzz(20)
    @given(
        st.sampled_from(["GET", "POST", "HEAD", "OPTIONS", "get", ""]),
        st.text(st.characters(min_codepoint=33, max_codepoint=255), max_size=30),
        st.lists(headers, max_size=8),
        st.binary(max_size=50),
    )
    def holds(method: str, path: str, fields: list[str], rest: bytes) -> None:
        head = "\r\n".join([f"{method} /{path} HTTP/1.1", "Host: localhost", *fields, "", ""])
        with connected(node.url("comet.mpush")) as lines:
            lines.send(head.encode("latin-1") + rest)
            lines.end_writing()
            said = lines.until(b"\r\n\r\n")
        assert said == b"" or said.startswith(b"HTTP/1.1 ")
        assert not said.startswith(b"HTTP/1.1 500")
        witness.check()

    holds()
