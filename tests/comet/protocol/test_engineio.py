r"""Engine.IO, revisions 3 and 4: what its documents show, and only our own error for a stranger's bytes."""

import re
from urllib.parse import quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comet.protocol.engineio import (
    EngineError,
    Framing,
    Packet,
    PacketType,
    decode_binary,
    decode_payload,
    decode_text,
    encode_payload,
    encode_text,
    form_payload,
    framed,
    framed_packet,
    jsonp,
    xhr2,
)

MESSAGE = PacketType.MESSAGE
HELLO = Packet(MESSAGE, "hello")
EURO = Packet(MESSAGE, "€")
EMOJI = Packet(MESSAGE, "😀!")
BYTES = Packet(MESSAGE, b"\1\2\3\4")

revisions = st.sampled_from([3, 4])
texts = st.text().filter(
    lambda text: "\x1e" not in text
)  # revision 4 cannot carry it: JSON escapes it
packets = st.one_of(
    st.builds(Packet, st.sampled_from(PacketType), texts),
    st.builds(Packet, st.just(MESSAGE), st.binary()),
)


def read(body: bytes, revision: int, *, binary: bool = False) -> list[Packet]:
    return decode_payload(body, revision, limit=16, binary=binary)


@pytest.mark.parametrize("revision", [3, 4])
@pytest.mark.parametrize(
    ("text", "packet"),
    [
        ('0{"sid":"a"}', Packet(PacketType.OPEN, '{"sid":"a"}')),
        ("1", Packet(PacketType.CLOSE)),
        ("2", Packet(PacketType.PING)),
        ("2probe", Packet(PacketType.PING, "probe")),
        ("3", Packet(PacketType.PONG)),
        ("3probe", Packet(PacketType.PONG, "probe")),
        ("4", Packet(MESSAGE, "")),
        ("4hello", HELLO),
        ("4😀!", EMOJI),
        ("5", Packet(PacketType.UPGRADE)),
        ("6", Packet(PacketType.NOOP)),
    ],
)
def test_every_type_of_packet(text: str, packet: Packet, revision: int) -> None:
    """A digit and the data, alike in both revisions, and a WebSocket carries it as it is."""
    assert decode_text(text, revision) == packet
    assert encode_text(packet, revision) == text
    framing = Framing.WEBSOCKET_3 if revision == 3 else Framing.WEBSOCKET_4
    assert framed_packet(framing, packet) == bytes((0x81, len(text.encode()))) + text.encode()


@pytest.mark.parametrize(
    ("revision", "text", "binary"),
    [
        (3, "b4AQIDBA==", b"\4\1\2\3\4"),
        (4, "bAQIDBA==", b"\1\2\3\4"),
    ],
)
def test_binary_messages(revision: int, text: str, binary: bytes) -> None:
    """Base64 where only text goes; as they are on a WebSocket, in revision 3 behind a 4."""
    assert encode_text(BYTES, revision) == text
    assert decode_text(text, revision) == BYTES
    assert decode_binary(binary, revision) == BYTES


@pytest.mark.parametrize(("revision", "text", "binary"), [(3, "b4", b"\4"), (4, "b", b"")])
def test_a_binary_message_may_be_empty(revision: int, text: str, binary: bytes) -> None:
    """It is a message of no bytes, and no text."""
    assert decode_text(text, revision) == decode_binary(binary, revision) == (MESSAGE, b"")


@pytest.mark.parametrize(
    ("framing", "message", "frames"),
    [
        (Framing.WEBSOCKET_3, "hello", b"\x81\x064hello"),
        (Framing.WEBSOCKET_4, "hello", b"\x81\x064hello"),
        (Framing.WEBSOCKET_3, b"\1\2", b"\x82\3\4\1\2"),
        (Framing.WEBSOCKET_4, b"\1\2", b"\x82\2\1\2"),
        (Framing.POLLING_3, "hello", b"6:4hello"),
        (Framing.POLLING_3, "€", "2:4€".encode()),
        (Framing.POLLING_3, "😀", "3:4😀".encode()),
        (Framing.POLLING_3, b"\1\2\3\4", b"10:b4AQIDBA=="),
        (Framing.POLLING_4, "hello", b"4hello\x1e"),
        (Framing.POLLING_4, b"\1\2\3\4", b"bAQIDBA==\x1e"),
    ],
)
def test_a_message_in_each_framing(framing: Framing, message: str | bytes, frames: bytes) -> None:
    """Ready to be sent, or to be joined with others; a length counts as JavaScript does."""
    assert framed(framing, message) == frames


@pytest.mark.parametrize(
    ("revision", "payload", "content"),
    [
        (4, b"4hello", [HELLO]),
        (
            4,
            "4hello\x1e4€\x1ebAQIDBA==\x1e2".encode(),
            [HELLO, EURO, BYTES, Packet(PacketType.PING)],
        ),
        (3, b"6:4hello", [HELLO]),
        (3, "6:4hello2:4€".encode(), [HELLO, EURO]),  # v3.md
        (3, "2:4€10:b4AQIDBA==".encode(), [EURO, BYTES]),  # v3.md
        (3, "4:4😀!1:2".encode(), [EMOJI, Packet(PacketType.PING)]),
        (3, b"6:4a:b:c", [Packet(MESSAGE, "a:b:c")]),
        (3, b"0:", []),
    ],
)
def test_payloads(revision: int, payload: bytes, content: list[Packet]) -> None:
    """The examples of the documents, characters of two units, a colon inside a packet, and nothing at all."""
    assert read(payload, revision) == content
    assert encode_payload(content, revision) == payload


@pytest.mark.parametrize(
    ("payload", "content"),
    [
        # v3-test-suite/test-suite.js; the example of v3.md forgets the type of the second packet
        (b"\0\6\xff4hello\1\5\xff\4\1\2\3\4", [HELLO, BYTES]),
        (b"\0\4\xff4\xe2\x82\xac", [EURO]),
        (b"\0\1\0\xff4" + 9 * b"x", [Packet(MESSAGE, 9 * "x")]),
        (b"\0\1\0\xffb4AQIDBA==", [BYTES]),
        (b"\0\0\xff", []),
    ],
)
def test_payloads_as_bytes(payload: bytes, content: list[Packet]) -> None:
    """What browsers with XHR2 post in revision 3: lengths are digits of a byte each, and count bytes."""
    assert read(payload, 3, binary=True) == content


def test_a_payload_goes_as_bytes_only_for_the_sake_of_bytes() -> None:
    """A client that can take bytes gets text where text does."""
    assert xhr2(b"6:4hello10:b4AQIDBA==") == b"\0\6\xff4hello\1\5\xff\4\1\2\3\4"
    assert xhr2(b"6:4hello") is None
    assert xhr2(encode_payload([Packet(MESSAGE, "a:b4")], 3)) is None


@pytest.mark.parametrize(
    ("revision", "text"),
    [
        (3, ""),
        (4, ""),
        (3, "abc"),
        (4, "abc"),
        (4, "7"),
        (4, "٤arabic four"),
        (4, "bAQIDBA"),  # no padding
        (4, "bAQ ID"),
        (4, "bé"),
        (3, "b"),
        (3, "bAQIDBA=="),  # as revision 4 writes it
        (3, "b2AQIDBA=="),  # a ping with bytes
        (3, "b4AQIDBA"),
    ],
)
def test_what_is_no_packet(revision: int, text: str) -> None:
    """An unknown type, base64 that is none, and bytes in what is no message."""
    with pytest.raises(EngineError):
        decode_text(text, revision)


@pytest.mark.parametrize("data", [b"", b"4hello", b"\2probe", b"\7"])
def test_binary_packets_of_revision_3_are_messages(data: bytes) -> None:
    """They begin with a byte 4."""
    with pytest.raises(EngineError):
        decode_binary(data, 3)


@pytest.mark.parametrize(
    ("revision", "body"),
    [
        (4, b""),
        (4, b"4a\x1e"),
        (4, b"\x1e4a"),
        (4, b"4a\x1e\x1e4b"),
        (4, b"4\xff"),
        (3, b""),
        (3, b"abc"),
        (3, b":4a"),
        (3, b"4hello"),
        (3, b"2:4a3"),  # a length without its packet
        (3, b"2:4a3:"),
        (3, b"9:4a"),
        (3, b"-2:4a"),
        (3, b"+2:4a"),
        (3, b" 2:4a"),
        (3, b"2.0:4a"),
        (3, b"0x2:4a"),
        (3, "٢:4a".encode()),
        (3, b"99999999999:4a"),
        (3, b"2:ab"),
        (3, "2:4😀".encode()),  # half of it
        (3, b"2:4\xff"),
    ],
)
def test_what_is_no_payload(revision: int, body: bytes) -> None:
    """Empty packets, lengths that are none or lie, half a character, text that is not UTF-8."""
    with pytest.raises(EngineError):
        read(body, revision)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\0",
        b"\0\xff",  # no digits
        b"\2\2\xff4a",  # neither text nor bytes
        b"\0\2",
        b"\0\x0a\xff4" + 9 * b"a",  # ten is no digit
        b"\0\3\xff4a",
        b"\0" + 11 * b"\0" + b"\xff",
        b"\0\2\xff4\xff",
        b"\1\2\xff4a",  # the character 4, and not the byte
    ],
)
def test_what_is_no_payload_of_bytes(body: bytes) -> None:
    """The same for the form that XHR2 posts."""
    with pytest.raises(EngineError):
        read(body, 3, binary=True)


def test_revision_4_posts_no_bytes() -> None:
    """It has no such form."""
    with pytest.raises(EngineError, match="octet-stream"):
        read(b"\0\6\xff4hello", 4, binary=True)


@pytest.mark.parametrize(
    ("revision", "one", "separator", "binary"),
    [
        (4, b"2", b"\x1e", False),
        (3, b"1:2", b"", False),
        (3, b"0:", b"", False),
        (3, b"\0\1\xff2", b"", True),
    ],
)
def test_a_payload_has_a_number_of_packets(
    revision: int, one: bytes, separator: bytes, binary: bool
) -> None:
    """A small body must not become many packets, not even empty ones."""
    assert len(read(separator.join(16 * [one]), revision, binary=binary)) in {0, 16}

    with pytest.raises(EngineError, match="more packets than 16"):
        read(separator.join(17 * [one]), revision, binary=binary)


@pytest.mark.parametrize(
    ("payload", "script"),
    [
        ("6:4hello", '___eio[7]("6:4hello");'),
        ('9:42["a\\n"]', r'___eio[7]("9:42[\"a\\n\"]");'),
        ("3:4\u2028\u2029", r'___eio[7]("3:4\u2028\u2029");'),
    ],
)
def test_jsonp_answers_with_a_script(payload: str, script: str) -> None:
    """A call of the client's own function with the payload as a literal of JavaScript, on one line."""
    assert jsonp("7", payload.encode()) == script.encode()


@pytest.mark.parametrize("index", ["", "-1", "1e1", "0];alert(1);//", "٧", "12345678901"])
def test_jsonp_calls_nothing_but_the_client(index: str) -> None:
    """The name of the function is not the client's to write: it gives a number."""
    with pytest.raises(EngineError, match=r"^j: "):
        jsonp(index, b"1:6")


@pytest.mark.parametrize(
    ("form", "payload"),
    [
        (b"d=6%3A4hello", b"6:4hello"),
        (b"x=1&d=4%3A4a+b", b"4:4a b"),
        (b"d=4:4a%5Cnb", b"4:4a\nb"),  # LF
        (b"d=5:4a%5C%5Cnb", b"5:4a\\nb"),  # a backslash and an n
        ("d=2:4€".encode(), "2:4€".encode()),
    ],
)
def test_forms_of_jsonp(form: bytes, payload: bytes) -> None:
    """The field d, and the line ends which the client hid from the browser."""
    assert form_payload(form) == payload


@pytest.mark.parametrize("form", [b"", b"x=1", b"d=%FF", b"\xff", b"&".join(65 * [b"a=1"])])
def test_what_is_no_form(form: bytes) -> None:
    """No field d, text that is not UTF-8, too many fields."""
    with pytest.raises(EngineError):
        form_payload(form)


@given(texts.filter(lambda text: not re.search(r"\\+\n", text)))
def test_a_form_says_what_the_client_meant(text: str) -> None:
    r"""engine.io-client 3.5 doubles the backslash of \n, then writes LF as \n: only \ before LF is lost."""
    escaped = text.replace("\\n", "\\\n").replace("\n", "\\n")

    assert form_payload(b"d=" + quote_plus(escaped).encode()) == text.encode()


@given(st.lists(packets, min_size=1, max_size=16), revisions)
def test_a_payload_says_what_was_put_into_it(content: list[Packet], revision: int) -> None:
    """Whatever the types, texts and bytes; and pieces for Transport.offer make the same payload."""
    framing = Framing.POLLING_3 if revision == 3 else Framing.POLLING_4

    payload = encode_payload(content, revision)

    assert read(payload, revision) == content
    pieces = b"".join(framed_packet(framing, packet) for packet in content)
    assert pieces == payload + b"\x1e" * (revision - 3)


@given(st.lists(packets, min_size=1, max_size=16))
def test_the_form_in_bytes_says_the_same(content: list[Packet]) -> None:
    """Text or bytes: a client that can take both reads the same packets."""
    payload = encode_payload(content, 3)

    as_bytes = xhr2(payload)

    if any(isinstance(packet.data, bytes) for packet in content):
        assert as_bytes is not None
        assert read(as_bytes, 3, binary=True) == content
    else:
        assert as_bytes is None


@given(st.text(), revisions)
def test_arbitrary_text_is_a_packet_or_our_error(text: str, revision: int) -> None:
    """Nothing else is ever raised, and a packet that was read can be written."""
    try:
        packet = decode_text(text, revision)
    except EngineError:
        return

    assert decode_text(encode_text(packet, revision), revision) == packet


@given(
    st.one_of(
        st.binary(),
        st.lists(
            st.sampled_from([b"0", b"1", b"2", b"4", b"b", b":", b"\x1e", b"\xff", b"\0", b"\1"])
        ).map(b"".join),
    ),
    revisions,
    st.booleans(),
)
def test_arbitrary_bytes_are_packets_or_our_error(body: bytes, revision: int, binary: bool) -> None:
    """Nothing else is ever raised, and no more is kept than came."""
    try:
        content = read(body, revision, binary=binary)
        decode_binary(body, revision)
        form_payload(body)
    except EngineError:
        return

    assert sum(len(packet.data) for packet in content) <= len(body)
