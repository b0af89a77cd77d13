r"""gopush TCP: spec/gopush.md 1.3 and 1.4, and nothing but our own error for a stranger's bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appmodel.errors import RemoteProtocolError
from comet.protocol.dialect import Acknowledged, Event, Heartbeat, Violation
from comet.protocol.gopush_tcp import MAX_ACK_LINE, Request, RequestReader, TcpDialect, TcpReader
from comet.protocol.native import SLOW

MINIMAL = b"*3\r\n$3\r\nsub\r\n$9\r\nTerry-Mao\r\n$2\r\n30\r\n"


def read(data: bytes) -> Request | None:
    return RequestReader().receive_data(data)


@pytest.mark.parametrize(
    ("data", "arguments"),
    [
        (MINIMAL, [b"sub", b"Terry-Mao", b"30"]),
        (
            b"*5\r\n$3\r\nsub\r\n$9\r\nTerry-Mao\r\n$2\r\n30\r\n$0\r\n\r\n$3\r\n1.0\r\n",
            [b"sub", b"Terry-Mao", b"30", b"", b"1.0"],
        ),
        (b"*+1\r\n$+3\r\nsub\r\n", [b"sub"]),
        ("*1\r\n$6\r\n中文\r\n".encode(), ["中文".encode()]),
        (b"*1\r\n$3\r\na\nb\r\n", [b"a\nb"]),  # the original cannot: it reads by line
    ],
)
def test_requests(data: bytes, arguments: list[bytes]) -> None:
    """The worked traces of the spec, signs, byte lengths, and a line feed inside an argument."""
    assert read(data) == Request(arguments, b"")


@pytest.mark.parametrize("cut", range(len(MINIMAL) + 1))
def test_a_request_may_arrive_in_any_two_pieces(cut: int) -> None:
    """TCP keeps no packet boundaries, so neither may we."""
    reader = RequestReader()

    results = [reader.receive_data(MINIMAL[:cut])]
    if results == [None]:
        results.append(reader.receive_data(MINIMAL[cut:]))

    assert results[-1] == Request([b"sub", b"Terry-Mao", b"30"], b"")


def test_what_follows_a_request_is_kept() -> None:
    """The original throws an early heartbeat away with its buffer; we read it."""
    assert read(MINIMAL + b"h") == Request([b"sub", b"Terry-Mao", b"30"], b"h")


@pytest.mark.parametrize(
    "data",
    [
        b"*1\r\n$-1\r\n\n",  # S6: crashes the original's whole process
        b"*0\r\n",
        b"*7\r\n",
        b"*-1\r\n",
        b"*3\n",
        b"**\r\n",
        b"*\r\n",
        b"*1 \r\n",
        b"$3\r\nsub\r\n",
        b"*1\r\n*3\r\nsub\r\n",
        b"*1\r\n$3\r\nsubx\r\n",
        b"*1\r\n$4\r\nsub\r\n.....",
        b"*1\r\n$4097\r\n",
        b"*" + b"0" * 16,
        b"GET / HTTP/1.1\r\n\r\n",
    ],
)
def test_bad_requests(data: bytes) -> None:
    """Anything that is not a request ends the connection, and nothing else."""
    with pytest.raises(RemoteProtocolError):
        read(data)


@given(st.lists(st.binary(max_size=40), max_size=10))
def test_no_bytes_raise_anything_else(parts: list[bytes]) -> None:
    """Whatever a stranger sends, in whatever pieces."""
    reader = RequestReader()
    try:
        for part in parts:
            if reader.receive_data(part) is not None:
                return
    except RemoteProtocolError:
        return


arguments = st.lists(st.binary(max_size=60), min_size=1, max_size=6)


@given(arguments, st.binary(max_size=5), st.integers(1, 7))
def test_every_request_is_read_back(wanted: list[bytes], rest: bytes, step: int) -> None:
    """Any arguments, in pieces of any size."""
    data = b"*%d\r\n" % len(wanted) + b"".join(b"$%d\r\n%b\r\n" % (len(a), a) for a in wanted)
    reader = RequestReader()

    found = None
    for at in range(0, len(data), step):
        found = reader.receive_data(data[at : at + step])
    assert found is not None

    assert found.arguments == wanted


def events(data: bytes, *, native: bool = False) -> list[Event]:
    return list(TcpReader(native=native).receive_data(data))


def test_each_byte_is_a_heartbeat() -> None:
    """`hh` yields two answers."""
    assert events(b"hh") == [Heartbeat(), Heartbeat()]


@pytest.mark.parametrize("data", [b"x", b"\r", b"\n", b'{"ack":[1]}\r\n'])
def test_any_other_byte_ends_a_legacy_connection(data: bytes) -> None:
    """Also an acknowledgement: only version 2 knows it. Nothing is said."""
    with pytest.raises(Violation) as caught:
        events(data)

    assert caught.value.last_words == b""


def test_version_2_acknowledges_in_lines() -> None:
    """The highest id counts; heartbeats may come before and after."""
    assert events(b'h{"ack":[5,7,6]}\r\nh', native=True) == [
        Heartbeat(),
        Acknowledged(7),
        Heartbeat(),
    ]


@pytest.mark.parametrize(
    "line",
    [
        b"{}",
        b'{"ack":[]}',
        b'{"ack":[0]}',
        b'{"ack":["1"]}',
        b'{"ack":[9007199254740992]}',
        b'{"ack":[1],"x":1}',
        b'{"ack":' + b"[" * 2000,
        b'{"ack":[' + b"1," * 1000 + b"1]}",
        b"{" * (MAX_ACK_LINE + 1),
    ],
)
def test_bad_acknowledgements_are_told_why(line: bytes) -> None:
    """Version 2 hears a code and a reason before the end."""
    with pytest.raises(Violation) as caught:
        events(line + b"\r\n", native=True)

    assert caught.value.last_words.startswith(b"-x 4400 ")
    assert caught.value.last_words.endswith(b"\r\n")
    assert caught.value.last_words.count(b"\n") == 1


@given(st.binary(max_size=60), st.integers(0, 60), st.booleans())
def test_steady_state_pieces_do_not_matter(data: bytes, cut: int, native: bool) -> None:
    """The same events and the same end, however the bytes arrive."""
    assert _outcome([data], native) == _outcome([data[:cut], data[cut:]], native)


def _outcome(parts: list[bytes], native: bool) -> tuple[list[Event], bool]:
    reader = TcpReader(native=native)
    seen: list[Event] = []
    try:
        for part in parts:
            for event in reader.receive_data(part):
                seen.append(event)
    except Violation:
        return seen, True
    return seen, False


def test_the_envelopes_of_the_spec() -> None:
    """Section 1.4, byte for byte."""
    new, old = TcpDialect(version="1.0"), TcpDialect(version="")

    assert (
        new.encode(13996474938346192, b'{"test":1}')
        == b'$50\r\n{"msg":{"test":1},"mid":13996474938346192,"gid":0}\r\n'
    )
    assert (
        old.encode(13996474938346192, b'{"test":1}')
        == b'$54\r\n{"msg":"{\\"test\\":1}","mid":13996474938346192,"gid":0}\r\n'
    )


def test_only_version_2_is_told_why_it_ends() -> None:
    """A legacy client sees a plain end."""
    assert TcpDialect(version="").goodbye(SLOW) == b""
    assert TcpDialect(version="1").goodbye(SLOW) == b""
    assert TcpDialect(version="2").goodbye(SLOW) == b"-x 4001 slow\r\n"
