"""The node-to-node protocol: both sides played against each other, and against liars."""

import contextlib
import hashlib
import hmac

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appmodel.errors import RemoteProtocolError, TooLarge
from appmodel.protocol import rpc

SECRET = b"the cluster's secret"
CLIENT_NONCE = b"c" * rpc.NONCE
SERVER_NONCE = b"s" * rpc.NONCE
encode = msgspec.msgpack.encode


def client(secret: bytes = SECRET, max_frame: int = rpc.MAX_FRAME) -> rpc.Connection:
    return rpc.Connection(rpc.Role.CLIENT, secret=secret, nonce=CLIENT_NONCE, max_frame=max_frame)


def server(secret: bytes = SECRET, max_frame: int = rpc.MAX_FRAME) -> rpc.Connection:
    return rpc.Connection(rpc.Role.SERVER, secret=secret, nonce=SERVER_NONCE, max_frame=max_frame)


def framed(*fields: object) -> bytes:
    """A frame as it is on the wire."""
    body = encode(fields)
    return len(body).to_bytes(4, "big") + body


def shake_hands(one: rpc.Connection, other: rpc.Connection) -> None:
    """Carry bytes between them until neither has any."""
    while one.owed or other.owed:
        for sender, receiver in ((one, other), (other, one)):
            data = sender.data_to_send()
            if data:
                assert receiver.receive_data(data) == []


def open_pair() -> tuple[rpc.Connection, rpc.Connection]:
    pair = client(), server()
    shake_hands(*pair)
    return pair


def call(call_id: int = 1, argument: object = None) -> rpc.Call:
    return rpc.Call(call_id, "store.save", 5000, msgspec.Raw(encode(argument)))


def test_the_handshake_byte_by_byte() -> None:
    """Hello and proof are on the wire as the module says, and the proof is HMAC-SHA256."""
    one, other = client(), server()
    nonces = CLIENT_NONCE + SERVER_NONCE
    mac = hmac.new(SECRET, b"appmsg rpc 1 client" + nonces, hashlib.sha256).digest()
    answer = hmac.new(SECRET, b"appmsg rpc 1 server" + nonces, hashlib.sha256).digest()

    hello, greeting = one.data_to_send(), other.data_to_send()
    one.receive_data(greeting)
    other.receive_data(hello)
    proof = one.data_to_send()
    other.receive_data(proof)
    counter_proof = other.data_to_send()

    assert (hello, greeting) == (framed(0, 1, CLIENT_NONCE), framed(0, 1, SERVER_NONCE))
    assert (proof, counter_proof) == (framed(1, mac), framed(1, answer))
    assert other.is_open
    assert not one.is_open
    one.receive_data(counter_proof)
    assert one.is_open


def test_neither_the_secret_nor_a_nonce_twice_is_ever_sent() -> None:
    """Who listens learns nothing that opens another connection."""
    one, other = client(), server()
    sent = bytearray()
    while one.owed or other.owed:
        for sender, receiver in ((one, other), (other, one)):
            data = sender.data_to_send()
            sent += data
            if data:
                receiver.receive_data(data)

    assert one.is_open
    assert SECRET not in sent


def test_a_stranger_gets_no_proof_and_no_call() -> None:
    """The server proves nothing to a client that has not proved itself."""
    stranger, host = client(secret=b"a guess"), server()
    stranger.receive_data(host.data_to_send())

    with pytest.raises(RemoteProtocolError, match=r"proof is wrong.*rpc\.secret"):
        host.receive_data(stranger.data_to_send())

    assert host.data_to_send() == b""
    assert not host.is_open


def test_a_false_server_is_found_out() -> None:
    """The client sends no call before the server has proved itself."""
    one = client()
    one.receive_data(framed(0, 1, SERVER_NONCE))

    with pytest.raises(RemoteProtocolError, match="proof is wrong"):
        one.receive_data(framed(1, bytes(32)))

    assert not one.is_open


def test_a_proof_cannot_be_mirrored() -> None:
    """What the client proved is not what the server has to prove, even with equal nonces."""
    one = client()
    one.data_to_send()
    one.receive_data(framed(0, 1, CLIENT_NONCE))
    mirrored = one.data_to_send()

    with pytest.raises(RemoteProtocolError, match="proof is wrong"):
        one.receive_data(mirrored)


@pytest.mark.parametrize(
    "first",
    [
        framed(2, 1, "store.save", 5000, None),
        framed(1, bytes(32)),
        framed(5),
        framed(7, "go"),
        framed(0, 1, b"short"),
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        framed(0, 1, bytes(rpc.NONCE)) + framed(2, 1, "store.save", 5000, None),
    ],
    ids=["call", "proof", "ping", "goaway", "short nonce", "HTTP", "TLS", "hello, call"],
)
@pytest.mark.parametrize("side", [client, server])
def test_whoever_does_not_greet_and_prove_first_is_cut(side: type, first: bytes) -> None:
    """Before a valid proof no call is read, nor anything else."""
    with pytest.raises(RemoteProtocolError):
        side().receive_data(first)


def test_another_version_is_named() -> None:
    """An operator reads in the log what does not fit; later hellos may be longer."""
    with pytest.raises(RemoteProtocolError, match="version 2, expected 1"):
        server().receive_data(framed(0, 2, bytes(rpc.NONCE), ["and", "more"]))


def test_all_frames_arrive_as_they_were_sent() -> None:
    """Each side gets the frames of the other, in order; a ping is answered by itself."""
    one, other = open_pair()
    one.send(call(7, [1, "two", b"three"]))
    one.send(rpc.Ping())
    [asked, ping] = other.receive_data(one.data_to_send())
    assert isinstance(asked, rpc.Call)

    other.send(rpc.Answer(7, asked.argument))
    other.send(rpc.Error(8, "not_owner", "key 'x' belongs to c2"))
    other.send(rpc.GoAway("stop"))
    pong, answer, *rest = one.receive_data(other.data_to_send())

    assert (asked.id, asked.method, asked.timeout_ms) == (7, "store.save", 5000)
    assert ping == rpc.Ping()
    assert pong == rpc.Pong()
    assert isinstance(answer, rpc.Answer)
    assert msgspec.msgpack.decode(answer.result) == [1, "two", b"three"]
    assert rest == [rpc.Error(8, "not_owner", "key 'x' belongs to c2"), rpc.GoAway("stop")]


def test_frames_of_one_round_are_one_write() -> None:
    """However many are sent, `data_to_send` gives them together, once."""
    one, _ = open_pair()
    for call_id in range(64):
        one.send(call(call_id))

    owed = one.owed
    data = one.data_to_send()

    assert owed == len(data)
    assert one.owed == 0
    assert one.data_to_send() == b""


@pytest.mark.parametrize(
    ("side", "frame"),
    [
        (0, framed(2, 1, "store.save", 5000, None)),
        (1, framed(3, 1, None)),
        (1, framed(4, 1, "bad_input", "")),
        (1, framed(7, "stop")),
        (0, framed(0, 1, bytes(32))),
        (1, framed(1, bytes(32))),
        (1, framed(2, 1, "store.save", -1, None)),
        (1, framed(8)),
        (1, framed("ping")),
        (1, framed()),
        (1, b"\x00\x00\x00\x00"),
        (1, b"\x00\x00\x00\x03\x91\x05\xc0"),
    ],
)
def test_a_frame_out_of_place_cuts_the_connection(side: int, frame: bytes) -> None:
    """A client answers nothing and a server asks nothing; a frame is one whole array."""
    connection = open_pair()[side]

    with pytest.raises(RemoteProtocolError):
        connection.receive_data(frame)


def test_a_length_over_the_limit_is_refused_before_the_frame_arrives() -> None:
    """Four bytes are enough to refuse it."""
    pair = client(), server(max_frame=1000)
    shake_hands(*pair)

    with pytest.raises(RemoteProtocolError, match="1001 bytes, expected at most 1000"):
        pair[1].receive_data((1001).to_bytes(4, "big"))


def test_a_stranger_makes_us_hold_no_more_than_a_greeting() -> None:
    """The big limit is for those who have proved themselves."""
    with pytest.raises(RemoteProtocolError, match="expected at most 256"):
        server().receive_data((257).to_bytes(4, "big"))


def test_a_frame_at_the_limit_passes_and_one_above_is_not_sent() -> None:
    """The limit is of the frame without its length, the same on both sides."""
    pair = client(max_frame=1000), server(max_frame=1000)
    shake_hands(*pair)
    most = 1000 - len(encode(call(1, b""))) - 1  # bin 16 needs one byte more than bin 8

    pair[0].send(call(1, bytes(most)))
    with pytest.raises(TooLarge, match="1001 bytes, expected at most 1000"):
        pair[0].send(call(1, bytes(most + 1)))

    data = pair[0].data_to_send()
    assert len(data) == 1004
    assert len(pair[1].receive_data(data)) == 1


@pytest.mark.parametrize("cut", [1, 3, 4, 5, 12])
def test_an_end_inside_a_frame_is_said(cut: int) -> None:
    """Half a frame is a broken peer, not a quiet end."""
    _, other = open_pair()
    other.receive_data(framed(2, 1, "store.save", 5000, None)[:cut])

    with pytest.raises(RemoteProtocolError, match=f"hung up {cut} bytes into a frame"):
        other.receive_data(b"")


def test_an_end_between_frames_is_an_end() -> None:
    """And before the handshake is done it has a hint."""
    one, other = open_pair()

    assert one.receive_data(b"") == other.receive_data(b"") == []
    with pytest.raises(RemoteProtocolError, match=r"during the handshake; is rpc\.secret"):
        client().receive_data(b"")


@given(st.data())
def test_frames_may_arrive_in_any_pieces(data: st.DataObject) -> None:
    """TCP keeps no boundaries: the same bytes in any cut are the same frames."""
    one, other = open_pair()
    arguments = data.draw(st.lists(st.binary(max_size=300), max_size=8))
    for call_id, argument in enumerate(arguments):
        one.send(call(call_id, argument))
    sent = one.data_to_send()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(sent)), max_size=12)))

    frames: list[rpc.Frame] = []
    for start, end in zip([0, *cuts], [*cuts, len(sent)], strict=True):
        if start < end:
            frames += other.receive_data(sent[start:end])

    got = [(f.id, msgspec.msgpack.decode(f.argument)) for f in frames if isinstance(f, rpc.Call)]
    assert got == list(enumerate(arguments))


@given(st.lists(st.binary(min_size=1, max_size=200)), st.booleans(), st.booleans())
def test_garbage_raises_nothing_but_its_own_error(
    pieces: list[bytes], opened: bool, as_server: bool
) -> None:
    """No byte of a peer can raise anything but RemoteProtocolError."""
    pair = open_pair() if opened else (client(), server())
    connection = pair[as_server]

    with contextlib.suppress(RemoteProtocolError):
        for piece in pieces:
            connection.receive_data(piece)
        connection.receive_data(b"")


JSONISH = st.recursive(
    st.none() | st.integers(-(2**63), 2**64 - 1) | st.text(max_size=20) | st.binary(max_size=40),
    lambda inner: st.lists(inner, max_size=5),
    max_leaves=12,
)


@given(st.integers(0, 9), st.lists(JSONISH, max_size=5), st.booleans(), st.booleans())
def test_well_formed_nonsense_raises_nothing_but_its_own_error(
    kind: int, fields: list[object], opened: bool, as_server: bool
) -> None:
    """Nor can a frame that is msgpack, with anything inside."""
    pair = open_pair() if opened else (client(), server())

    with contextlib.suppress(RemoteProtocolError):
        pair[as_server].receive_data(framed(kind, *fields))


def test_a_frame_nested_beyond_reason_is_an_error_and_no_crash() -> None:
    """msgpack nests as deep as its sender likes."""
    _, other = open_pair()
    body = b"\x95\x02\x01\xa1m\x01" + b"\x91" * 100_000 + b"\xc0"

    with pytest.raises(RemoteProtocolError):
        other.receive_data(len(body).to_bytes(4, "big") + body)
