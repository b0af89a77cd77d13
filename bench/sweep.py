"""How long a push to one key with very many subscribers keeps everybody else waiting.

    python -m bench.sweep [SUBSCRIBERS]      default 100,000

The hub, the channel and the sweeper are the comet's; a subscriber does one real send(2) a write, all
on one datagram socket, for no machine has that many descriptors to spare. Another task takes turns and
notes the longest stretch between two of them: in the loop's own CPU time, which is what we cause, and in
elapsed time, which has what other processes of the machine took.
"""

import socket
import sys
import time
from collections.abc import Sequence

import trio

from appmodel.core.names import parse_key
from comet.core.hub import Hub
from comet.core.message import Message
from comet.io.live import Counts
from comet.io.sweeper import Sweeper
from comet.protocol.dialect import Dialect
from comet.protocol.gopush_ws import WsDialect

ROUNDS = 5
LIMIT_MS = 20.0  # what the loop may be kept at most


class Sender:
    """A subscriber that writes to the shared socket."""

    __slots__ = ("_socket", "cursor", "dialect", "held", "place")
    name = ""

    def __init__(self, sock: socket.socket, dialect: Dialect) -> None:
        self._socket = sock
        self.dialect = dialect
        self.cursor = 0
        self.held: list[Message] | None = None
        self.place = 0

    def offer(self, frames: bytes) -> bool:
        try:
            return self._socket.send(frames) > 0
        except BlockingIOError:
            return False

    def hold(self, messages: Sequence[Message]) -> None:
        raise AssertionError("nobody is replayed here")


async def measure(subscribers: int) -> tuple[float, float, float]:
    """Longest CPU stretch and longest elapsed stretch between two turns (ms), CPU per write (µs)."""
    hub, dialect = Hub(), WsDialect(version="1", limit=100)
    sweeper = Sweeper(hub, Counts())
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sink,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as source,
    ):
        sink.bind(("127.0.0.1", 0))
        source.connect(sink.getsockname())
        source.setblocking(False)
        for _ in range(subscribers):
            channel = hub.open(parse_key("giant"))
            hub.join(channel, Sender(source, dialect))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(sweeper.run)
            await trio.lowlevel.checkpoint()
            began = time.thread_time()
            cpu = elapsed = 0.0
            for number in range(1, ROUNDS + 1):
                offered = trio.Event()
                hub.accept(channel, Message(number, b'"%b"' % (b"x" * 98), stored=False), 0)
                sweeper.wake(offered)
                turn, turn_cpu = time.perf_counter(), time.thread_time()
                while not offered.is_set():
                    await trio.lowlevel.checkpoint()
                    now, now_cpu = time.perf_counter(), time.thread_time()
                    elapsed, cpu = max(elapsed, now - turn), max(cpu, now_cpu - turn_cpu)
                    turn, turn_cpu = now, now_cpu
            per_write = (time.thread_time() - began) / (ROUNDS * subscribers)
            nursery.cancel_scope.cancel()
    return cpu * 1e3, elapsed * 1e3, per_write * 1e6


def main() -> None:
    """Measure and print."""
    subscribers = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    cpu, elapsed, per_write = trio.run(measure, subscribers)
    print(f"one push to {subscribers:,} subscribers of one key, {ROUNDS} times")
    print(f"  the loop was kept at most   {cpu:6.1f} ms of CPU   (must be <= {LIMIT_MS:g})")
    print(f"  between two turns at most   {elapsed:6.1f} ms elapsed, other processes included")
    print(f"  CPU per write               {per_write:6.2f} µs")


if __name__ == "__main__":
    main()
