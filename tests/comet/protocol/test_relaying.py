"""Requests between comets arrive as they were sent, and answers are read whatever the pieces are."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appmodel.core.cluster import ClusterView, Node, Role
from appmodel.errors import RemoteProtocolError
from appmodel.protocol.http import Request
from appmodel.protocol.http1 import HeadLimits, RequestReader
from comet.core.relaying import home_of, process_tag
from comet.protocol.relaying import AnswerReader, encode_request, read_client

ANSWER = b"HTTP/1.1 200 OK\r\nDate: now\r\nContent-Length: 5\r\nSet-Cookie: io=x\r\n\r\n4news"
A, A_AGAIN, B = Node(Role.COMET, "a", 1), Node(Role.COMET, "a", 2), Node(Role.COMET, "b", 1)


def read(*pieces: bytes, limit: int = 100) -> AnswerReader:
    """The reader after these pieces."""
    reader = AnswerReader(limit)
    for piece in pieces:
        reader.receive_data(piece)
    return reader


def test_a_request_arrives_as_it_was_sent() -> None:
    """But for what is about the connection, and who asks."""
    headers = {
        "host": "push.example",
        "cookie": "io=x",
        "content-length": "99",
        "transfer-encoding": "chunked",
        "connection": "keep-alive",
        "expect": "100-continue",
        "x-appmsg-client": "1 192.0.2.1",
    }
    request = Request(
        method="POST",
        path="/socket.io/",
        query_string="EIO=4&sid=a%20b",
        headers=headers,
        peer="203.0.113.7",
    )
    reader = RequestReader(HeadLimits(line=1000, head=1000, headers=100))

    reader.receive_data(encode_request(request, b"4hello"))
    head = reader.next_head()

    assert head is not None
    assert (head.method, head.path, head.query_string) == ("POST", "/socket.io/", "EIO=4&sid=a%20b")
    assert dict(head.headers) == {
        "host": "push.example",
        "cookie": "io=x",
        "x-appmsg-client": "0 203.0.113.7",
        "content-length": "6",
    }
    assert reader.whole_body() == b"4hello"
    assert read_client(head.headers) == ("203.0.113.7", False)


@given(st.lists(st.integers(0, len(ANSWER)), max_size=5).map(sorted))
def test_an_answer_may_come_in_any_pieces(cuts: list[int]) -> None:
    """TCP keeps no boundaries."""
    edges = [0, *cuts, len(ANSWER)]
    pieces = [ANSWER[a:b] for a, b in pairwise(edges) if b > a]

    reader = read(*pieces)

    assert reader.is_whole
    assert reader.keep_alive
    response = reader.response
    assert response is not None
    assert (response.status, response.body) == (200, b"4news")
    assert response.headers == [("Set-Cookie", "io=x")]


def test_behind_a_101_comes_another_protocol() -> None:
    """What has come of it already is kept; all headers but the date are said again."""
    reader = read(b"HTTP/1.1 101 S\r\nDate: now\r\nUpgrade: websocket\r\n\r\n\x81\x00")

    assert reader.response is not None
    assert reader.response.headers == [("Upgrade", "websocket")]
    assert reader.rest == b"\x81\x00"


def test_an_answer_may_say_that_it_is_the_last() -> None:
    """Then no other request follows."""
    assert not read(
        b"HTTP/1.1 400 Bad\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    ).keep_alive


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"SSH-2.0\r\n\r\n",
        b"HTTP/1.1 600 No\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 101\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length 1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nab",
        b"x" * 20_000,
    ],
)
def test_what_is_no_answer_is_an_error(data: bytes) -> None:
    """Nothing of it reaches a client."""
    with pytest.raises(RemoteProtocolError):
        read(data)


@given(st.binary(max_size=200))
def test_any_bytes_are_an_answer_or_an_error(data: bytes) -> None:
    """And nothing else."""
    reader = AnswerReader(100)
    try:
        reader.receive_data(b"HTTP/1.1 200 OK\r\n" + data)
    except RemoteProtocolError:
        return
    assert not reader.is_whole or reader.response is not None


def test_a_session_id_names_one_start_of_one_comet() -> None:
    """Not a comet of the same name that was started anew; and not the one that asks."""
    view = ClusterView(1, (A, B, Node(Role.WEB, "a", 2)))

    assert home_of(f"x.{process_tag(A)}", view, B) is A
    assert home_of(f"x.{process_tag(A_AGAIN)}", view, B) is None
    assert home_of(f"x.{process_tag(B)}", view, B) is None
    assert home_of(process_tag(A), view, B) is None
    assert home_of("", view, B) is None
