"""RFC 6455 frames: every rule of sections 5, 7 and 8, and nothing but FrameError for a stranger's bytes."""

import itertools
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comet.protocol.websocket import (
    BAD_UTF8,
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    PROTOCOL_ERROR,
    TEXT,
    TOO_BIG,
    Binary,
    Close,
    Event,
    FrameError,
    FrameReader,
    Ping,
    Pong,
    Text,
    accept_token,
    close_frame,
    frame,
)

MASK = b"\x11\x22\x33\x44"
LIMIT = 70_000


def client_frame(opcode: int, payload: bytes, *, fin: bool = True, reserved: int = 0) -> bytes:
    """What a client sends: masked."""
    size = len(payload)
    head = bytes([fin << 7 | reserved << 4 | opcode])
    if size < 126:
        head += bytes([0x80 | size])
    elif size < 65536:
        head += b"\xfe" + struct.pack("!H", size)
    else:
        head += b"\xff" + struct.pack("!Q", size)
    return head + MASK + bytes(b ^ MASK[i % 4] for i, b in enumerate(payload))


def read(data: bytes, limit: int = LIMIT) -> list[Event]:
    return list(FrameReader(limit).receive_data(data))


def fault(data: bytes, limit: int = LIMIT) -> int:
    """The close code that answers `data`."""
    with pytest.raises(FrameError) as caught:
        read(data, limit)
    return caught.value.close_code


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536])
def test_messages_of_every_length_form(size: int) -> None:
    """7-bit, 16-bit and 64-bit lengths, both kinds."""
    payload = b"x" * size

    events = read(client_frame(TEXT, payload) + client_frame(BINARY, payload))

    assert events == [Text(payload.decode()), Binary(payload)]


def test_control_frames_may_come_between_fragments() -> None:
    """And the message is put together around them."""
    data = (
        client_frame(TEXT, b"one ", fin=False)
        + client_frame(PING, b"?")
        + client_frame(CONTINUATION, b"two ", fin=False)
        + client_frame(PONG, b"!")
        + client_frame(CONTINUATION, b"three")
    )

    assert read(data) == [Ping(b"?"), Pong(b"!"), Text("one two three")]


def test_a_character_may_be_cut_by_fragments() -> None:
    """UTF-8 is judged over the whole message."""
    euro = "€".encode()
    data = client_frame(TEXT, euro[:1], fin=False) + client_frame(CONTINUATION, euro[1:])

    assert read(data) == [Text("€")]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frame(TEXT, b"h"), PROTOCOL_ERROR),  # not masked
        (client_frame(TEXT, b"h", reserved=4), PROTOCOL_ERROR),
        (client_frame(0x3, b""), PROTOCOL_ERROR),
        (client_frame(0xB, b""), PROTOCOL_ERROR),
        (client_frame(PING, b"", fin=False), PROTOCOL_ERROR),
        (client_frame(PING, b"x" * 126), PROTOCOL_ERROR),
        (client_frame(CONTINUATION, b""), PROTOCOL_ERROR),
        (client_frame(TEXT, b"", fin=False) + client_frame(TEXT, b""), PROTOCOL_ERROR),
        (b"\x81\xfe\x00\x05" + MASK, PROTOCOL_ERROR),  # a long form for a short length
        (b"\x81\xff" + struct.pack("!Q", 5) + MASK, PROTOCOL_ERROR),
        (b"\x81\xff" + struct.pack("!Q", 1 << 63) + MASK, PROTOCOL_ERROR),
        (client_frame(TEXT, b"\xff"), BAD_UTF8),
        (client_frame(TEXT, b"\xff", fin=False), BAD_UTF8),
        (client_frame(TEXT, "€".encode()[:2]), BAD_UTF8),
        (client_frame(CLOSE, b"\x03"), PROTOCOL_ERROR),
        (client_frame(CLOSE, struct.pack("!H", 1005)), PROTOCOL_ERROR),
        (client_frame(CLOSE, struct.pack("!H", 999)), PROTOCOL_ERROR),
        (client_frame(CLOSE, struct.pack("!H", 2999)), PROTOCOL_ERROR),
        (client_frame(CLOSE, struct.pack("!H", 5000)), PROTOCOL_ERROR),
        (client_frame(CLOSE, struct.pack("!H", 1000) + b"\xff"), BAD_UTF8),
    ],
)
def test_what_breaks_the_protocol(data: bytes, code: int) -> None:
    """Each with the close code that the RFC gives it."""
    assert fault(data) == code


def test_a_length_is_refused_before_its_bytes_are_kept() -> None:
    """A stranger who announces a gigabyte costs a header (S7)."""
    assert fault(b"\x82\xff" + struct.pack("!Q", 1 << 30) + MASK) == TOO_BIG
    assert (
        fault(client_frame(TEXT, b"x" * 60, fin=False) + client_frame(0, b"x" * 60), 100) == TOO_BIG
    )


@pytest.mark.parametrize(
    ("payload", "event"),
    [
        (b"", Close(None, "")),
        (struct.pack("!H", 1000), Close(1000, "")),
        (struct.pack("!H", 4999) + b"bye", Close(4999, "bye")),
    ],
)
def test_nothing_is_read_after_a_close(payload: bytes, event: Close) -> None:
    """The close frame is a peer's last."""
    reader = FrameReader(LIMIT)

    events = list(reader.receive_data(client_frame(CLOSE, payload) + client_frame(TEXT, b"h")))

    assert events == [event]
    assert list(reader.receive_data(client_frame(TEXT, b"h"))) == []


def test_empty_fragments_cost_nothing() -> None:
    """A stranger may send them for ever: they count against no limit, so none may be kept."""
    reader = FrameReader(LIMIT)
    list(reader.receive_data(client_frame(TEXT, b"ab", fin=False)))

    for _ in range(1000):
        list(reader.receive_data(client_frame(CONTINUATION, b"", fin=False) * 100))

    assert (reader._parts, reader._buffer) == ([b"ab"], b"")
    assert list(reader.receive_data(client_frame(CONTINUATION, b"c"))) == [Text("abc")]


def test_events_before_a_fault_are_not_lost() -> None:
    """The caller acts on them before it hears of the fault."""
    assert outcome([client_frame(TEXT, b"h") + b"\x83\x80"]) == ([Text("h")], PROTOCOL_ERROR)


def test_a_reader_is_idle_exactly_between_messages() -> None:
    """Only then may it be forgotten."""
    reader = FrameReader(LIMIT)
    data = client_frame(TEXT, b"ab", fin=False)
    idle = [reader.idle]

    for piece in (data[:3], data[3:], client_frame(CONTINUATION, b"")):
        list(reader.receive_data(piece))
        idle.append(reader.idle)

    assert idle == [True, False, False, True]


frames = st.lists(
    st.builds(
        client_frame,
        st.sampled_from([CONTINUATION, TEXT, BINARY, PING, PONG, CLOSE, 3]),
        st.binary(max_size=130),
        fin=st.booleans(),
    ),
    max_size=6,
).map(b"".join)


@given(st.one_of(st.binary(max_size=300), frames), st.lists(st.integers(0, 400), max_size=8))
def test_pieces_do_not_matter(data: bytes, cuts: list[int]) -> None:
    """Any bytes in any pieces: the same events, the same fault, and nothing but FrameError."""
    assert outcome([data]) == outcome(pieces(data, cuts))


def outcome(parts: list[bytes]) -> tuple[list[Event], int | None]:
    """Every event, and the close code of the fault that ended them."""
    reader = FrameReader(200)
    events: list[Event] = []
    try:
        for part in parts:
            for event in reader.receive_data(part):
                events.append(event)
    except FrameError as error:
        return events, error.close_code
    return events, None


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    at = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(at)]


@given(st.integers(1000, 4999), st.text())
def test_a_close_frame_always_fits(code: int, reason: str) -> None:
    """A long reason is cut, and never inside a character."""
    data = close_frame(code, reason)

    assert data[0] == 0x88
    assert data[1] == len(data) - 2 <= 125
    assert reason.startswith(data[4:].decode())


def test_the_key_of_the_rfc() -> None:
    """RFC 6455 section 1.3."""
    assert accept_token("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


@pytest.mark.parametrize("key", ["", "x", "dGhlIHNhbXBsZQ==", "ä" * 24, "dGhlIHNhbXBsZSBub25jZQ"])
def test_a_key_must_be_16_bytes(key: str) -> None:
    """Anything else is no handshake."""
    assert accept_token(key) is None
