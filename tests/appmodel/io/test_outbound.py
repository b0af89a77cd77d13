"""Calls to addresses that others chose, against servers that do what they like."""

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from appmodel.core.units import Duration, Size
from appmodel.errors import BadInput, OutcomeUnknown, TooLarge, Unavailable
from appmodel.io.outbound import Outbound, OutboundLimits

CERTIFICATE = Path(__file__).parents[2] / "data" / "localhost.pem"
PATIENCE = 40.0  # seconds after which a test has failed

Handler = Callable[[trio.SocketStream], Awaitable[None]]


class Server:
    """Answers each request as `answer` says, and notes what it was asked."""

    def __init__(self, answer: bytes = b"HTTP/1.1 204 No Content\r\n\r\n") -> None:
        self.answer = answer
        self.requests: list[bytes] = []
        self.connections = 0
        self.port = 0
        self.then: Callable[[trio.abc.Stream], Awaitable[None]] | None = None

    async def serve(self, stream: trio.abc.Stream) -> None:
        self.connections += 1
        request = b""
        try:
            while piece := await stream.receive_some():
                request += piece
                if not _is_whole(request):
                    continue
                self.requests.append(request)
                request = b""
                await stream.send_all(self.answer)
                if self.then is not None:
                    await self.then(stream)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return


def _is_whole(request: bytes) -> bool:
    head, end, body = request.partition(b"\r\n\r\n")
    sizes = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return bool(end) and len(body) >= (int(sizes[0].partition(b":")[2]) if sizes else 0)


@asynccontextmanager
async def serving(server: Server, tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    """The server on a port of loopback, until the block ends."""
    async with trio.open_nursery() as nursery:
        (tcp,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        server.port = tcp.socket.getsockname()[1]
        listener = trio.SSLListener(tcp, tls, https_compatible=True) if tls else tcp
        nursery.start_soon(partial(trio.serve_listeners, server.serve, [listener]))
        with trio.fail_after(PATIENCE):
            yield server
        nursery.cancel_scope.cancel()


def plain(server: Server, **limits: Any) -> Outbound:
    """Calls that may go to the server without TLS."""
    allowed = (f"http://127.0.0.1:{server.port}", f"http://push.example:{server.port}")
    patient = {"timeout": Duration(PATIENCE), "connect_timeout": Duration(PATIENCE)}
    return Outbound(OutboundLimits(allowed=allowed, **patient | limits))


async def test_an_answer_comes_with_status_headers_and_body() -> None:
    """Whatever its status: an error is an answer too."""
    answer = b"HTTP/1.1 410 Gone\r\nRetry-After: 5\r\nContent-Length: 4\r\n\r\ngone"
    async with serving(Server(answer)) as server, plain(server) as outbound:
        url = f"http://127.0.0.1:{server.port}/a?b=c"

        found = await outbound.call("POST", url, headers=[("TTL", "60")], content=b"body")

        assert (found.status, found.body, found.header("retry-after")) == (410, b"gone", "5")
        (request,) = server.requests
        assert request.startswith(b"POST /a?b=c HTTP/1.1\r\n")
        assert b"TTL: 60\r\n" in request
        assert request.endswith(b"\r\n\r\nbody")


async def test_a_redirect_is_an_answer() -> None:
    """Following it would lead past the judgement of the address."""
    target = Server()
    async with serving(target):
        location = f"http://127.0.0.1:{target.port}/".encode()
        answer = b"HTTP/1.1 307 T\r\nLocation: %b\r\nContent-Length: 0\r\n\r\n" % location
        async with serving(Server(answer)) as server, plain(server) as outbound:
            found = await outbound.call("GET", f"http://127.0.0.1:{server.port}/")

            assert (found.status, found.header("location")) == (307, location.decode())
            assert target.requests == []


async def test_a_connection_serves_call_after_call() -> None:
    """A handshake is paid once."""
    async with serving(Server()) as server, plain(server) as outbound:
        for _ in range(3):
            await outbound.call("GET", f"http://127.0.0.1:{server.port}/")

        assert (len(server.requests), server.connections) == (3, 1)


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1:{port}/",
        "https://localhost:{port}/",
        "https://[::1]:{port}/",
        "https://2130706433:{port}/",
        "https://0x7f.1:{port}/",
        "http://127.0.0.1:{port}/",
        "https://169.254.169.254/latest/meta-data/",
    ],
)
async def test_nothing_inside_is_reached(url: str) -> None:
    """However it is written: no byte arrives."""
    async with serving(Server()) as server, Outbound(OutboundLimits()) as outbound:
        with pytest.raises(BadInput, match=r"^url: "):
            await outbound.call("GET", url.format(port=server.port))

        assert server.connections == 0


async def test_a_name_that_points_inside_is_refused() -> None:
    """It is judged by where it points to."""

    async def resolve(host: str, port: int) -> Sequence[str]:
        return ["8.8.8.8", "127.0.0.1"]

    async with serving(Server()) as server, Outbound(OutboundLimits(), resolve=resolve) as outbound:
        with pytest.raises(BadInput, match=r"push\.example.*127\.0\.0\.1"):
            await outbound.call("GET", f"https://push.example:{server.port}/")

        assert server.connections == 0


async def test_a_name_is_looked_up_once_and_the_answer_is_what_is_called() -> None:
    """A second answer, which nobody judged, is never asked for."""
    asked: list[str] = []

    async def resolve(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["192.0.2.1"]

    async with serving(Server()) as server:
        limits = OutboundLimits(allowed=(f"http://push.example:{server.port}",))
        async with Outbound(limits, resolve=resolve) as outbound:
            await outbound.call("GET", f"http://push.example:{server.port}/")

        assert asked == ["push.example"]
        assert f"Host: push.example:{server.port}".encode() in server.requests[0]


async def test_the_next_address_is_tried_if_one_refuses() -> None:
    """A host with an IPv6 address that leads nowhere is reached by the other one."""

    async def resolve(host: str, port: int) -> Sequence[str]:
        return ["::1", "127.0.0.1"]

    async with serving(Server()) as server:
        limits = OutboundLimits(allowed=(f"http://push.example:{server.port}",))
        async with Outbound(limits, resolve=resolve) as outbound:
            answer = await outbound.call("GET", f"http://push.example:{server.port}/")

    assert answer.status == 204


async def test_who_cannot_be_reached_was_asked_nothing() -> None:
    """A closed port, an unknown name, a name without addresses."""

    async def resolve(host: str, port: int) -> Sequence[str]:
        if host == "unknown.example":
            raise OSError("no such name")
        return []

    async with serving(Server()) as server:
        port = server.port
    async with Outbound(OutboundLimits(allowed=("127.0.0.1",)), resolve=resolve) as outbound:
        for host in ("unknown.example", "empty.example"):
            with pytest.raises(Unavailable, match=host):
                await outbound.call("GET", f"https://{host}/")
    async with Outbound(OutboundLimits(allowed=("127.0.0.1",))) as outbound:
        with pytest.raises(Unavailable, match=r"127\.0\.0\.1"):
            await outbound.call("GET", f"https://127.0.0.1:{port}/")


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"])
async def test_a_slow_answer_ends_at_the_deadline(answer: bytes) -> None:
    """Whether nothing comes or only the end is missing: it may have been done."""
    async with serving(Server(answer)) as server, plain(server) as outbound:
        with pytest.raises(OutcomeUnknown, match=r"no answer of http://127\.0\.0\.1"):
            await outbound.call("GET", f"http://127.0.0.1:{server.port}/secret", within=0.05)


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", b"?!\r\n\r\n"]
)
async def test_a_connection_that_breaks_leaves_the_outcome_open(answer: bytes) -> None:
    """And the next call gets a new one."""

    async def hang_up(stream: trio.abc.Stream) -> None:
        await stream.aclose()

    async with serving(Server(answer)) as server, plain(server) as outbound:
        server.then = hang_up
        with pytest.raises(OutcomeUnknown):
            await outbound.call("POST", f"http://127.0.0.1:{server.port}/", content=b"x")

        server.then, server.answer = None, b"HTTP/1.1 204 No Content\r\n\r\n"
        assert (await outbound.call("POST", f"http://127.0.0.1:{server.port}/")).status == 204


async def test_a_header_that_cannot_be_written_is_not_repeated() -> None:
    """It may be a cookie, or a credential: errors end up in logs."""
    async with serving(Server()) as server, plain(server) as outbound:
        url, headers = f"http://127.0.0.1:{server.port}/", [("Cookie", "hush\r\nX-Other: 1")]

        with pytest.raises(OutcomeUnknown) as refused:
            await outbound.call("GET", url, headers=headers)

        assert "hush" not in str(refused.value)
        assert server.requests == []


async def test_an_answer_without_end_is_cut() -> None:
    """Memory is bounded by our limit, not by the peer's goodwill."""

    async def flood(stream: trio.abc.Stream) -> None:
        while True:
            await stream.send_all(b"x" * 65536)

    async with (
        serving(Server(b"HTTP/1.1 200 OK\r\n\r\n")) as server,
        plain(server, max_answer=Size(1000)) as outbound,
    ):
        server.then = flood

        with pytest.raises(TooLarge, match="1000 bytes"):
            await outbound.call("GET", f"http://127.0.0.1:{server.port}/")


async def test_an_answer_in_chunks_of_a_byte_is_cut() -> None:
    """Each chunk costs as much as a large one: their number is bounded, too."""
    chunks = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 2000
    async with serving(Server(chunks)) as server, plain(server) as outbound:
        with pytest.raises(TooLarge, match="1000 small pieces"):
            await outbound.call("GET", f"http://127.0.0.1:{server.port}/")


async def test_an_answer_in_many_packets_is_whole() -> None:
    """As a network gives it: their number is no reason to refuse it."""
    chunks = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunks += (b"80\r\n" + b"x" * 128 + b"\r\n") * 2000 + b"0\r\n\r\n"
    async with serving(Server(chunks)) as server, plain(server) as outbound:
        answer = await outbound.call("GET", f"http://127.0.0.1:{server.port}/")

    assert len(answer.body) == 256_000


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 100 Continue\r\n\r\n" * 1000 + b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        + b"1\r\nx\r\n" * 900
        + b"0\r\n\r\n",
    ],
    ids=["100 Continue", "chunks"],
)
async def test_others_have_turns_while_a_tedious_answer_is_read(answer: bytes) -> None:
    """Who answers in a thousand parts, all sent at once, stops nobody else until they are parsed."""
    turns = 0

    async def neighbour(_stream: trio.abc.Stream) -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    async with serving(Server(answer)) as server, plain(server) as outbound:
        server.then = neighbour  # from when all of it is on its way

        await outbound.call("GET", f"http://127.0.0.1:{server.port}/")

    assert turns >= 10


async def test_an_answer_just_at_its_limit_is_whole() -> None:
    """The limit is what is allowed; one byte more is not, also if it came at once."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789"
    async with serving(Server(answer)) as server, plain(server) as outbound:
        url = f"http://127.0.0.1:{server.port}/"

        assert (await outbound.call("GET", url, max_answer=10)).body == b"0123456789"
        with pytest.raises(TooLarge):
            await outbound.call("GET", url, max_answer=9)


async def test_tls_is_verified() -> None:
    """A certificate that nobody vouches for is as good as no server."""
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(CERTIFICATE)
    async with serving(Server(), tls) as server:
        url = f"https://127.0.0.1:{server.port}/"
        async with Outbound(OutboundLimits(allowed=("127.0.0.1",))) as outbound:
            with pytest.raises(Unavailable, match="CERTIFICATE_VERIFY_FAILED"):
                await outbound.call("GET", url)
        trusting = OutboundLimits(allowed=("127.0.0.1",), ca_file=str(CERTIFICATE))
        async with Outbound(trusting) as outbound:
            assert (await outbound.call("GET", url)).status == 204


async def test_one_slow_host_leaves_room_for_others() -> None:
    """A call that waits for a place ends at its own deadline."""
    async with (
        serving(Server(b"")) as slow,
        plain(slow, max_connections=1, timeout=Duration(0.05)) as outbound,
    ):
        url = f"http://127.0.0.1:{slow.port}/"
        outcomes: list[Exception] = []

        async def call() -> None:
            try:
                await outbound.call("GET", url)
            except (Unavailable, OutcomeUnknown) as error:
                outcomes.append(error)

        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(call)

        assert len(outcomes) == 3


def test_a_stored_url_is_checked_before_it_is_called() -> None:
    """Who registers a subscription hears at once that it will never work."""
    outbound = Outbound(OutboundLimits())

    outbound.check("https://push.example/a")
    with pytest.raises(BadInput, match=r"^endpoint: "):
        outbound.check("https://192.168.1.1/a", "endpoint")


@pytest.mark.parametrize(
    "limits",
    [{"allowed": ("https://h",)}, {"max_connections": 0}, {"timeout": Duration(0)}],
)
def test_wrong_limits_are_an_error_at_the_start(limits: dict[str, Any]) -> None:
    """Not at the first call."""
    with pytest.raises(ValueError, match="expected"):
        OutboundLimits(**limits)
