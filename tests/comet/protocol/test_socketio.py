r"""Socket.IO, revisions 4 and 5: what its documents show, and only our own error for a stranger's messages."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comet.protocol.socketio import (
    MAX_NUMBER,
    RESERVED,
    Decoder,
    Limits,
    Packet,
    PacketType,
    SocketError,
    encode,
)

CONNECT, DISCONNECT = PacketType.CONNECT, PacketType.DISCONNECT
EVENT, ACK, ERROR = PacketType.EVENT, PacketType.ACK, PacketType.ERROR
HOLE = '{"_placeholder":true,"num":%d}'
ONE, TWO = HOLE % 0, HOLE % 1
SMALL = Limits(size=100, attachments=3, namespace=10, query=20, depth=4)

values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**63), 2**64 - 1),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(),
        st.binary(max_size=20),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(), inner, max_size=4)
    ),
    max_leaves=10,
)
namespaces = st.one_of(
    st.just("/"),
    st.text(max_size=20).filter(lambda text: not {",", "?"} & set(text)).map("/".__add__),
)
names = st.one_of(st.text().filter(lambda text: text not in RESERVED), st.integers(0, 9))
arguments = st.lists(values, max_size=3)
ids = st.integers(0, MAX_NUMBER)
packets = st.one_of(
    st.builds(
        Packet,
        st.just(EVENT),
        namespaces,
        st.builds(lambda a, b: [a, *b], names, arguments),
        ids | st.none(),
    ),
    st.builds(Packet, st.just(ACK), namespaces, arguments, ids),
    st.builds(Packet, st.just(DISCONNECT), namespaces),
)


def read(*messages: str | bytes, limits: Limits | None = None) -> Packet | None:
    """What the last message completes; the ones before complete nothing."""
    decoder = Decoder(limits or Limits())
    for message in messages[:-1]:
        assert decoder.take(message) is None
        assert not decoder.idle
    packet = decoder.take(messages[-1])
    assert decoder.idle == (packet is not None)
    return packet


@pytest.mark.parametrize(
    ("messages", "packet"),
    [
        (["0"], Packet(CONNECT)),
        (["0/admin,"], Packet(CONNECT, "/admin")),
        (['0{"token":"123"}'], Packet(CONNECT, "/", {"token": "123"})),
        (
            ['0/admin,{"sid":"oSO0OpakMV_3jnilAAAA"}'],
            Packet(CONNECT, "/admin", {"sid": "oSO0OpakMV_3jnilAAAA"}),
        ),
        (["1"], Packet(DISCONNECT)),
        (["1/admin,"], Packet(DISCONNECT, "/admin")),
        (['2["foo"]'], Packet(EVENT, "/", ["foo"])),
        (['2[1,"a",{}]'], Packet(EVENT, "/", [1, "a", {}])),
        (['2/admin,["bar"]'], Packet(EVENT, "/admin", ["bar"])),
        (['212["foo"]'], Packet(EVENT, "/", ["foo"], 12)),
        (['2/admin,0["foo",null]'], Packet(EVENT, "/admin", ["foo", None], 0)),
        (['3/admin,13["bar"]'], Packet(ACK, "/admin", ["bar"], 13)),
        (["313[]"], Packet(ACK, "/", [], 13)),
        (['4{"message":"Not authorized"}'], Packet(ERROR, "/", {"message": "Not authorized"})),
        (['4/admin,"Not authorized"'], Packet(ERROR, "/admin", "Not authorized")),
        (["4"], Packet(ERROR)),
        (['51-["baz",' + ONE + "]", b"\1\2"], Packet(EVENT, "/", ["baz", b"\1\2"])),
        (
            ['52-/admin,["baz",' + ONE + "," + TWO + "]", b"\1\2", b"\3\4"],
            Packet(EVENT, "/admin", ["baz", b"\1\2", b"\3\4"]),
        ),
        (
            ['51-/admin,456["a",{"b":[' + ONE + "]}]", b""],
            Packet(EVENT, "/admin", ["a", {"b": [b""]}], 456),
        ),
        (['61-15["bar",' + ONE + "]", b"\1\2\3\4"], Packet(ACK, "/", ["bar", b"\1\2\3\4"], 15)),
    ],
)
def test_every_type_of_packet(messages: list[str | bytes], packet: Packet) -> None:
    """The examples of v4.md and v5-current.md, both ways. Only text and attachments know of types 5 and 6."""
    assert read(*messages) == packet
    assert encode(packet) == messages


@pytest.mark.parametrize(
    ("messages", "packet"),
    [
        (["0/demo"], Packet(CONNECT, "/demo")),
        (["1/demo"], Packet(DISCONNECT, "/demo")),
        (
            ["0/demo?uuid=u1&userid=a%2Cb+c,"],
            Packet(CONNECT, "/demo", {"uuid": "u1", "userid": "a,b c"}),
        ),
        (["0/?a=1"], Packet(CONNECT, "/", {"a": "1"})),
        (["0/demo?"], Packet(CONNECT, "/demo")),
        (["0/demo?a=1&a=2,"], Packet(CONNECT, "/demo", {"a": "1"})),
        (['0/demo?a=1,{"b":2}'], Packet(CONNECT, "/demo", {"b": 2})),
        (['50-["a"]'], Packet(EVENT, "/", ["a"])),  # the parser of 2.x takes it
        (['2 ["a" , 1]'], Packet(EVENT, "/", ["a", 1])),
        (['2/a?b,["a"]'], Packet(EVENT, "/a?b", ["a"])),
        (['2["a",' + ONE + "]"], Packet(EVENT, "/", ["a", {"_placeholder": True, "num": 0}])),
        (
            ['51-["a",{"_placeholder":false},' + ONE + "]", b"x"],
            Packet(EVENT, "/", ["a", {"_placeholder": False}, b"x"]),
        ),
        (['52-["a",' + TWO + "," + ONE + "]", b"x", b"y"], Packet(EVENT, "/", ["a", b"y", b"x"])),
        (
            ['2["a",1e3,12345678901234567890123]'],
            Packet(EVENT, "/", ["a", 1000.0, 12345678901234567890123]),
        ),
    ],
)
def test_other_spellings(messages: list[str | bytes], packet: Packet) -> None:
    """A namespace may end the text; a 2.x client repeats its query there; attachments have numbers."""
    assert read(*messages) == packet


@pytest.mark.parametrize(
    ("text", "read_as"),
    [
        (r'2["\ud83d"]', "\ufffd"),
        (r'2["\uDE00x"]', "\ufffdx"),
        (r'2["\ud83d\ude00\ud83d"]', "😀\ufffd"),
        (r'2["\\ud83d\ud83d\\\ud83d"]', "\\ud83d\ufffd\\\ufffd"),
    ],
)
def test_half_a_character_is_a_replacement(text: str, read_as: str) -> None:
    """JavaScript cuts texts inside surrogate pairs, and says so in its JSON; UTF-8 cannot."""
    assert read(text) == Packet(EVENT, "/", [read_as])


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "packet: got type ''"),
        ("abc", "packet: got type 'a'"),
        ("7", "packet: got type '7'"),
        ("٢[]", "packet"),
        ("0[]", "CONNECT: got list"),
        ("0null", "CONNECT: got NoneType"),
        ('0/admin,"invalid"', "CONNECT: got str"),
        ("012", "CONNECT: got id 12"),
        ("0/a?" + 65 * "x&", "CONNECT: query"),
        ("0/a?x=%FF", "CONNECT: query"),
        ("1/admin,{}", "DISCONNECT: got data"),
        ("1null", "DISCONNECT: got data"),
        ("2", "EVENT: got no list"),
        ("2{}", "EVENT: got no list"),
        ("2[]", "EVENT: got no list or an empty one"),
        ('2["a"', "payload: not JSON"),
        ('2["a"]x', "payload: not JSON"),
        ('2abc["a"]', "payload: not JSON"),
        ('2-["a"]', "EVENT: got a number of attachments"),
        ('21-["a"]', "EVENT: got a number of attachments"),
        ('2-1["a"]', "EVENT: got a number of attachments"),
        ('2/admin,-1["a"]', "payload: not JSON"),
        ('2/admin["a"]', "EVENT: got no list"),  # no comma: all of it is the namespace
        ('2[{"toString":"foo"}]', "EVENT: got a name of type dict"),
        ('2[true,"foo"]', "EVENT: got a name of type bool"),
        ('2[null,"bar"]', "EVENT: got a name of type NoneType"),
        ('2["a",1e999]', "payload: not JSON"),
        ('2["a",NaN]', "payload: not JSON"),
        ('2["\ud800"]', "payload: not JSON"),
        ('29007199254740992["a"]', "id: got"),
        ("2" + 999 * "0" + '["a"]', "id: got"),
        ("3[]", "ACK"),
        ("31{}", "ACK"),
        ("31", "ACK"),
        ("4[", "payload: not JSON"),
        ("41[]", "ERROR: got id 1"),
        ("5", "attachments: got ''"),
        ('5["a"]', "attachments: got ''"),
        ('5-["a"]', "attachments: got ''"),
        ('5/admin,1-["a"]', "attachments: got ''"),
        ('511-["a"]', "attachments: got '11'"),
        ("5" + 999 * "0" + '-["a"]', "attachments: got"),
        ('5-1-["a"]', "attachments: got ''"),
        ('51.5-["a"]', "attachments: got ''"),
        *((f'2["{name}"]', "EVENT: got the name") for name in sorted(RESERVED)),
    ],
)
def test_what_is_no_packet(text: str, why: str) -> None:
    """Each is refused with a reason that names what was wrong."""
    with pytest.raises(SocketError, match=f"^{why}"):
        Decoder(Limits()).take(text)


@pytest.mark.parametrize(
    ("text", "attachments"),
    [
        ('51-["a",' + TWO + "]", 1),
        ('51-["a",{"_placeholder":true}]', 1),
        ('51-["a",{"_placeholder":true,"num":-1}]', 1),
        ('51-["a",{"_placeholder":true,"num":"0"}]', 1),
        ('51-["a",{"_placeholder":true,"num":0.0}]', 1),
        ('51-["a",{"_placeholder":true,"num":false}]', 1),
        ('51-["a",{"_placeholder":true,"num":null}]', 1),
        ('51-["a",{"_placeholder":true,"num":[0]}]', 1),
        ('51-["a",{"_placeholder":true,"num":' + 50 * "9" + "}]", 1),
        (
            '51-["a",' + ONE + "," + ONE + "]",
            1,
        ),  # ten thousand names of a megabyte would be ten gigabytes
        ('52-["a",' + ONE + "]", 2),
        ('51-["a"]', 1),
        ("51-[" + ONE + "]", 1),  # in place of the name
        ('61-["a",' + ONE + "]", 1),  # without an id
        ('51-["a",' + ONE, 1),
    ],
)
def test_a_placeholder_that_lies(text: str, attachments: int) -> None:
    """Each names an attachment that is there, and each attachment is named once."""
    with pytest.raises(SocketError):
        read(text, *(attachments * [b"x"]))


def test_an_attachment_needs_its_text() -> None:
    """Bytes out of the blue mean nothing."""
    with pytest.raises(SocketError, match="expected no attachment"):
        Decoder(Limits()).take(b"x")


def test_nothing_comes_between_a_text_and_its_attachments() -> None:
    """They are one packet."""
    decoder = Decoder(Limits())
    decoder.take('51-["a",' + ONE + "]")

    with pytest.raises(SocketError, match="expected an attachment"):
        decoder.take('2["b"]')


def test_a_decoder_reads_packet_after_packet() -> None:
    """What one left does not reach the next; between them there is nothing to keep."""
    decoder = Decoder(SMALL)

    for _ in range(3):
        assert decoder.take('51-["a",' + ONE + "]") is None
        assert decoder.take(50 * b"x") == Packet(EVENT, "/", ["a", 50 * b"x"])
        assert decoder.take('2["b"]') == Packet(EVENT, "/", ["b"])


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        (['2["' + 95 * "x" + '"]'], ['2["' + 96 * "x" + '"]']),
        (['2["' + 31 * "€" + '"]'], ['2["' + 32 * "€" + '"]']),  # bytes, not characters
        (
            ['52-["a",' + ONE + "," + TWO + "]", 10 * b"x", 22 * b"x"],
            ['52-["a",' + ONE + "," + TWO + "]", 10 * b"x", 23 * b"x"],
        ),
        (
            ['53-["a",' + ",".join(HOLE % number for number in range(3)) + "]"],
            ['54-["a",' + ONE + "]"],
        ),
        (["0/123456789"], ["0/1234567890"]),
        (["0/12345?" + 20 * "a"], ["0/12345?" + 21 * "a"]),
        (['2/123456789,["a"]'], ['2/1234567890,["a"]']),
        (['2["a",[[[0]]]]'], ['2["a",[[[[]]]]]']),
        (['2["a",{"b":{"c":[0]}}]'], ['2["a",{"b":{"c":[{}]}}]']),
        (['2["[[[[[[[[[["]'], ['2["a",' + 40 * "[" + 40 * "]" + "]"]),
        (['2["a",[],[],[],[],[],[]]'], ["4" + 90 * "["]),
    ],
)
def test_limits(good: list[str | bytes], bad: list[str | bytes]) -> None:
    """Size, attachments, namespace, query and depth: up to the limit, and not one more."""
    decoder = Decoder(SMALL)
    for message in good:
        decoder.take(message)

    decoder = Decoder(SMALL)
    for message in bad[:-1]:
        decoder.take(message)
    with pytest.raises(SocketError):
        decoder.take(bad[-1])


def test_depth_has_its_bound_whatever_the_limit() -> None:
    """A stack that overflows is the same error."""
    with pytest.raises(SocketError, match="payload: not JSON"):
        Decoder(Limits(depth=100_000)).take('2["a",' + 50_000 * "[")


@pytest.mark.parametrize(
    "data",
    [
        ["a", "\ud800"],
        ["a", object()],
        ["a", {(1, 2): 3}],
        ["a", {"_placeholder": True, "num": 0}, b"x"],
        ["a", [{"b": {"_placeholder": True}}], b"x"],
    ],
)
def test_what_cannot_be_written(data: Any) -> None:
    """What JSON cannot carry; and an echoed placeholder beside attachments would end the receiver's connection."""
    with pytest.raises(SocketError):
        encode(Packet(EVENT, "/", data))


def test_a_value_without_end_cannot_be_written() -> None:
    """An error, and no crash."""
    loop: list[Any] = ["a"]
    loop.append(loop)

    with pytest.raises(SocketError):
        encode(Packet(EVENT, "/", loop))


@pytest.mark.parametrize("kind", [CONNECT, ERROR])
def test_only_events_and_acks_have_attachments(kind: PacketType) -> None:
    """Elsewhere no client expects them."""
    with pytest.raises(SocketError, match=f"^{kind.name}: got bytes"):
        encode(Packet(kind, "/", {"a": b"x"}))


def test_a_comma_ends_a_namespace() -> None:
    """So none may hold one: what follows would be read as something else."""
    with pytest.raises(SocketError, match=r"^namespace"):
        encode(Packet(EVENT, "/a,1", ["b"]))


def test_tuples_and_views_are_written_too() -> None:
    """What rules emit need not be lists and bytes exactly."""
    data = ("a", (bytearray(b"x"),), memoryview(b"y"))

    assert encode(Packet(EVENT, "/", data)) == ['52-["a",[' + ONE + "]," + TWO + "]", b"x", b"y"]


@given(packets)
def test_a_packet_says_what_was_put_into_it(packet: Packet) -> None:
    """Any event, acknowledgement or farewell, with bytes anywhere in it."""
    assert read(*encode(packet), limits=Limits(attachments=100)) == packet


@given(
    st.sampled_from([CONNECT, ERROR]),
    namespaces,
    st.one_of(st.none(), st.dictionaries(st.text(), st.text() | st.integers(0, 9))),
)
def test_connects_and_errors_say_what_was_put_into_them(
    kind: PacketType, namespace: str, data: dict[str, Any] | None
) -> None:
    """A payload or none, in any namespace."""
    packet = Packet(kind, namespace, data)

    assert read(*encode(packet)) == packet


pieces = st.sampled_from(
    [
        "0",
        "1",
        "2",
        "3",
        "4",
        "5",
        "6",
        "/",
        "a",
        ",",
        "?",
        "=",
        "-",
        "[",
        "]",
        "{",
        "}",
        '"',
        ":",
        "\\ud800",
        "€",
        ONE,
        TWO,
        '["a",',
        "51-",
    ]
)


@given(
    st.lists(
        st.one_of(st.text(), st.binary(max_size=60), st.lists(pieces).map("".join)), max_size=6
    )
)
def test_arbitrary_messages_are_packets_or_our_error(messages: list[str | bytes]) -> None:
    """Nothing else is ever raised, and never more is kept than the limit; what was read can be written."""
    decoder = Decoder(SMALL)
    kept = 0

    for message in messages:
        try:
            packet = decoder.take(message)
        except SocketError:
            return
        kept = 0 if decoder.idle else kept + len(message)
        assert kept <= SMALL.size
        if packet is not None:
            encode(packet)
