"""One push to 10,000 keys with one subscriber each, ttl 60, stored in SQLite before anybody sees it.

    POST /v2/push {"to":["u0@user",...,"u9999@user"],"msg":{...},"ttl":60}

The clock runs from the first byte of the request to the last byte at the last subscriber. The first
push meets a store that has never heard of the keys; it is shown apart.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from statistics import median

from bench.entry import OrderEntry
from bench.load import Subscribers
from bench.messages import body
from bench.scale import Bench
from bench.servers import LONG, Server
from bench.tables import Report, Table, Verdict, spread

BAR = 0.4  # seconds
TTL = 60  # seconds


@dataclass(frozen=True, slots=True)
class Timed:
    """One push."""

    to_last: float  # seconds from the request to the last subscriber
    to_answer: float  # seconds from the request to the end of its answer
    cpu: float  # seconds of the server


def one_push(bench: Bench) -> Report:
    """Time to the last subscriber and to the answer, CPU per delivery."""
    names = [f"u{number}@user" for number in range(bench.scale.keys)]
    with (
        bench.ours(bench.cores) as server,
        Subscribers.connect(
            server.port, [server.dialogue(name, LONG) for name in names]
        ) as clients,
        closing(OrderEntry(server.ports["api"], names, TTL)) as caller,
    ):
        sizes: list[int] = []
        first = _push(server, caller, 0, lambda: sizes.append(clients.receive_alike()))
        receive = partial(clients.receive, sizes[0])
        pushes = range(1, bench.scale.key_pushes + 1)
        again = [_push(server, caller, number, receive) for number in pushes]
    return _report(len(names), first, again)


def _push(server: Server, caller: OrderEntry, number: int, receive: Callable[[], None]) -> Timed:
    message = body(number)
    cpu, start = server.cpu, time.monotonic()
    caller.push(message)
    receive()
    to_last = time.monotonic() - start
    caller.confirm()
    return Timed(to_last, time.monotonic() - start, server.cpu - cpu)


def _report(keys: int, first: Timed, again: Sequence[Timed]) -> Report:
    title = f"one push to {keys:,} keys with one subscriber each, ttl {TTL}, SQLite"
    table = Table(
        f"Many keys: {title}",
        ("", "pushes", "offered", "delivered", "ms to last", "ms to answer", "CPU µs/delivery"),
        [_row("keys new to the store", keys, [first]), _row("keys known", keys, again)],
    )
    slowest = max(push.to_last for push in (first, *again))
    typical = median(push.to_last for push in again)
    measured = f"{typical * 1000:.0f} ms (slowest {slowest * 1000:.0f} ms)"
    return Report([table], [Verdict(title, measured, f"<= {BAR * 1000:.0f} ms", typical <= BAR)])


def _row(what: str, keys: int, pushes: Sequence[Timed]) -> list[str]:
    deliveries = keys * len(pushes)
    return [
        what,
        str(len(pushes)),
        f"{deliveries:,}",
        f"{deliveries:,}",  # a push ends when each subscriber has every byte, or not at all
        spread([push.to_last * 1000 for push in pushes], 0),
        spread([push.to_answer * 1000 for push in pushes], 0),
        spread([push.cpu / keys * 1e6 for push in pushes], 1),
    ]
