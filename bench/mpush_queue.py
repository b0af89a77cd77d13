"""Mpush: a device that is away for long, and devices that have nothing to say.

queue    20,000 pushes to a device that is away, each answered `offline`; then it logs in, and acknowledges
         what comes as it comes: all of them arrive, once, in their order. It logs in again: nothing is left
idle     5,000 devices that are logged in, at rest: what each costs in memory, and what a login costs
"""

import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

from bench.fanout import named
from bench.load import Dialogue, LoadFailed, Subscribers
from bench.mpush import starts
from bench.mpush_load import SILENCE, Load, Phone, Pushers
from bench.mpush_servers import PEER, MpushServer
from bench.scale import Bench
from bench.tables import Report, Table, Verdict, percentiles
from tools.servers.daemon import Missing

AWAY = "away"  # the device
CALLERS = 16
WARM = 200  # devices that come and go first


@dataclass(frozen=True, slots=True)
class Queue:
    """What became of the queue at one server."""

    pushed: Sequence[float]  # seconds, of each push
    pushing: float  # seconds, of all
    push_cpu: float
    arriving: float  # seconds, from the begin of the login to the last message
    arrive_cpu: float
    got: int
    twice: int


def queue(bench: Bench) -> Report:
    """Nothing of a long queue is lost."""
    count = bench.scale.mpush_queued
    rows, missing, verdicts = [], [], []
    for start in starts(bench):
        try:
            with start as server, named(server.name):
                found = _queue(server, count, bench.scale.mpush_quiet)
        except Missing as error:
            missing.append(f"not run: {error}")
            continue
        rows.append(_row(server.name, found, count))
        if server.name != PEER:
            what = f"{server.name}: {count:,} messages for a device that is away"
            said = f"{count - found.got:,} lost, {found.twice:,} came twice"
            verdicts.append(Verdict(what, said, "0 lost", found.got == count))
    columns = (
        "server",
        "pushed",
        "pushes/s",
        "ms p50/p99",
        "CPU µs/push",
        "arrived",
        "lost",
        "twice",
        "seconds",
        "messages/s",
        "CPU µs/message",
    )
    title = (
        f"Mpush: {count:,} pushes by {CALLERS} callers to a device that is away; then it logs in"
    )
    return Report([Table(title, columns, rows, missing)], verdicts)


def _queue(server: MpushServer, count: int, quiet: float) -> Queue:
    with closing(Phone(server, AWAY)):
        pass  # it exists
    cpu, began = server.cpu, time.monotonic()
    with (
        closing(Pushers(server.http, CALLERS, name=AWAY, word=b"offline\n")) as pushers,
        closing(Load(pushers)) as load,
    ):
        pushed = load.push_all(count)
    pushing, push_cpu = time.monotonic() - began, server.cpu - cpu
    cpu, began = server.cpu, time.monotonic()
    with closing(Phone(server, AWAY)) as phone:
        while len(phone.got) < count and phone.wait(SILENCE):
            phone.hear()
        arriving, arrive_cpu = time.monotonic() - began, server.cpu - cpu
        while phone.wait(quiet):
            phone.hear()
    got = set(phone.got)
    if list(dict.fromkeys(phone.mids)) != sorted(set(phone.mids)):
        raise LoadFailed("messages came out of their order")
    if len(set(phone.mids)) != len(got):
        raise LoadFailed(f"{len(got)} messages have {len(set(phone.mids))} mids")
    with closing(Phone(server, AWAY)) as phone_again:
        if phone_again.wait(quiet) and phone_again.hear():
            raise LoadFailed(f"{len(phone_again.got)} came again, though acknowledged")
    twice = len(phone.got) - len(got)
    return Queue(pushed, pushing, push_cpu, arriving, arrive_cpu, len(got), twice)


def _row(name: str, found: Queue, count: int) -> list[str]:
    return [
        name,
        f"{count:,}",
        f"{count / found.pushing:,.0f}",
        percentiles(found.pushed),
        f"{found.push_cpu / count * 1e6:.0f}",
        f"{found.got:,}",
        f"{count - found.got:,}",
        f"{found.twice:,}",
        f"{found.arriving:.2f}",
        f"{found.got / found.arriving:,.0f}",
        f"{found.arrive_cpu / count * 1e6:.0f}",
    ]


def idle(bench: Bench) -> Report:
    """Memory of a device at rest, and what it costs to log in."""
    count = bench.scale.mpush_devices
    rows, missing = [], []
    for start in starts(bench):
        try:
            with start as server, named(server.name):
                rows.append(_rest(server, count))
        except Missing as error:
            missing.append(f"not run: {error}")
    title = f"Mpush: {count:,} devices logged in, at rest"
    columns = ("server", "devices", "KB/device", "first logins/s", "CPU µs", "again/s", "CPU µs")
    missing.append("a first login makes the device known: ours writes it into SQL.")
    return Report([Table(title, columns, rows, missing)])


def _rest(server: MpushServer, count: int) -> list[str]:
    with Subscribers.connect(server.devices, _logins(server, "warm", WARM)):
        pass
    before = server.resident()
    first = _come(server, count)
    row = [server.name, f"{count:,}"]
    with Subscribers.connect(server.devices, _logins(server, "phone", count)):
        row.append(f"{(server.resident() - before) / count / 1000:.2f}")
    again = _come(server, count)
    return [*row, *first, *again]


def _come(server: MpushServer, count: int) -> list[str]:
    cpu, began = server.cpu, time.monotonic()
    with Subscribers.connect(server.devices, _logins(server, "phone", count)):
        seconds, cpu = time.monotonic() - began, server.cpu - cpu
    return [f"{count / seconds:,.0f}", f"{cpu / count * 1e6:.0f}"]


def _logins(server: MpushServer, name: str, count: int) -> list[Dialogue]:
    return [server.login(f"{name}{number}") for number in range(count)]
