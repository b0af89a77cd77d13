"""`POST /v2/push/stream`: single-key pushes with a ttl, one a line, over one request.

    {"to":"s17@user","msg":{...},"ttl":60}     in: chunks of 256 lines, as fast as the server takes them
    {"id":...}                                 out: a line for each, in order

The clock runs from the first byte in until every line is answered and every subscriber has every
message. Each key has one subscriber, which keeps what it gets: every message once, ids rising.
"""

import select
import socket
import time
from dataclasses import dataclass

from bench.load import LoadFailed, Subscribers
from bench.messages import body, check_order
from bench.scale import Bench
from bench.servers import LONG, Server
from bench.tables import Report, Table, Verdict, spread

BAR = 8_000  # pushes/s
TTL = 60  # seconds
LINES = 256  # of a chunk
WRITE = 1 << 16  # bytes offered to the socket at a time
STALL = 30.0  # seconds without a byte after which it has failed


@dataclass(frozen=True, slots=True)
class Run:
    """One request."""

    pushes: int
    seconds: float
    cpu: float  # seconds of the server
    load_cpu: float  # seconds of this process


def push_stream(bench: Bench) -> Report:
    """Pushes/s end to end, several requests one after the other."""
    keys = [f"s{number}@user" for number in range(bench.scale.stream_keys)]
    pushes = bench.scale.stream_pushes // len(keys) * len(keys)
    with (
        bench.ours(bench.cores) as server,
        Subscribers.connect(
            server.port, [server.dialogue(key, LONG) for key in keys]
        ) as subscribers,
    ):
        size = _learn_size(server, subscribers, keys)
        runs = [_run(server, subscribers, keys, pushes, size) for _ in range(bench.scale.runs)]
    title = "/v2/push/stream, single-key pushes with ttl, SQLite"
    table = Table(
        f"Stream: {title}, {len(keys)} keys, {len(runs)} requests",
        ("server", "offered", "answered", "delivered", "pushes/s", "CPU µs/push", "server", "load"),
        [
            [
                server.name,
                *[f"{pushes * len(runs):,}"] * 3,  # a run ends with all of them, or not at all
                spread([run.pushes / run.seconds for run in runs], 0),
                spread([run.cpu / run.pushes * 1e6 for run in runs], 1),
                f"{sum(run.cpu for run in runs) / sum(run.seconds for run in runs):.0%}",
                f"{sum(run.load_cpu for run in runs) / sum(run.seconds for run in runs):.0%}",
            ]
        ],
    )
    rate = sorted(run.pushes / run.seconds for run in runs)[len(runs) // 2]
    return Report([table], [Verdict(title, f"{rate:,.0f}/s", f">= {BAR:,}/s", rate >= BAR)])


def _learn_size(server: Server, subscribers: Subscribers, keys: list[str]) -> int:
    with _dial(server) as caller:
        caller.sendall(_request(server, keys, len(keys)))
        return subscribers.receive_alike()


def _run(server: Server, subscribers: Subscribers, keys: list[str], pushes: int, size: int) -> Run:
    request = _request(server, keys, pushes)
    subscribers.keep()
    with _dial(server) as caller:
        cpu, load_cpu, start = server.cpu, time.process_time(), time.monotonic()
        answer = _exchange(caller, request, subscribers, pushes * size)
        done = Run(
            pushes, time.monotonic() - start, server.cpu - cpu, time.process_time() - load_cpu
        )
    lines = _lines(answer)
    if len(lines) != pushes or any(b'"id"' not in line for line in lines):
        raise LoadFailed(f"{pushes} lines were answered by {len(lines)}: {answer[:600]!r}")
    for text in subscribers.kept():
        check_order(text, pushes // len(keys))
    return done


def _exchange(
    caller: socket.socket, request: bytes, subscribers: Subscribers, deliveries: int
) -> bytes:
    """Send all, read all, until the answer has ended and so many bytes were delivered."""
    caller.setblocking(False)
    poller = select.epoll()
    poller.register(caller, select.EPOLLIN | select.EPOLLOUT)
    poller.register(subscribers, select.EPOLLIN)
    unsent, answer = memoryview(request), bytearray()
    with poller:
        while deliveries > 0 or not answer.endswith(b"\r\n0\r\n\r\n"):
            events = dict(poller.poll(STALL))
            if not events:
                raise LoadFailed(f"nothing for {STALL:g} s, {deliveries} bytes not delivered")
            deliveries -= subscribers.receive_ready()
            ready = events.get(caller.fileno(), 0)
            if ready & select.EPOLLOUT and unsent:
                unsent = unsent[caller.send(unsent[:WRITE]) :]
                if not unsent:
                    poller.modify(caller, select.EPOLLIN)
            if ready & ~select.EPOLLOUT:
                answer += _receive(caller)
    return bytes(answer)


def _receive(caller: socket.socket) -> bytes:
    data = caller.recv(1 << 18)
    if not data:
        raise LoadFailed("the server closed the stream before its answer ended")
    return data


def _dial(server: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.ports["api"]), STALL)


def _request(server: Server, keys: list[str], pushes: int) -> bytes:
    """The whole request, made before the clock runs."""
    head = (
        f"POST /v2/push/stream HTTP/1.1\r\nHost: 127.0.0.1:{server.ports['api']}\r\n"
        "Content-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    lines = [
        b'{"to":"%b","msg":%b,"ttl":%d}\n' % (keys[number % len(keys)].encode(), body(number), TTL)
        for number in range(pushes)
    ]
    chunks = [b"".join(lines[first : first + LINES]) for first in range(0, pushes, LINES)]
    return head.encode() + b"".join(b"%x\r\n%b\r\n" % (len(c), c) for c in [*chunks, b""])


def _lines(answer: bytes) -> list[bytes]:
    """The lines of a chunked answer with status 200."""
    head, _, rest = answer.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200 "):
        raise LoadFailed(f"the stream was answered {answer[:300]!r}")
    chunks, position = [], 0
    while position < len(rest):
        end = rest.index(b"\r\n", position)
        position = end + 2 + int(rest[position:end], 16) + 2
        chunks.append(rest[end + 2 : position - 2])
    return b"".join(chunks).splitlines()
