"""What a client costs that has nothing to say: resident memory, and CPU of its heartbeats.

Memory is what the server's Rss grows by, divided by the clients, at rest: after a few clients have
come and gone (so modules and arenas are there), and after the garbage of 15,000 handshakes has been
collected where a peer can be asked to. Every client has a key of its own. What the kernel holds for
the sockets is in no Rss: it is shown beside, for both ends.
"""

import time

from bench import servers
from bench.frames import client_frame, server_frame
from bench.load import Dialogue, Subscribers
from bench.machine import kernel_bytes
from bench.scale import Bench
from bench.servers import LONG, Server
from bench.tables import Report, Table, Verdict
from tools.servers.daemon import Missing

WARM = 200  # clients that come and go first
HEARTBEAT = 30  # seconds, as our clients promise
MEMORY_BAR = 2.5  # KB
CPU_BAR = 0.03  # of a core


def memory(bench: Bench) -> Report:
    """Resident memory per idle client, ours and the peers'."""
    rows, notes, ours = [], [], 0.0
    for start in [bench.ours, *(servers.PEERS if bench.peers else ())]:
        count = bench.scale.idle_clients if start is bench.ours else bench.scale.idle_peer_clients
        try:
            with start(bench.cores) as server:
                row, each = _memory_row(server, count)
        except Missing as error:
            notes.append(f"not run: {error}")
            continue
        rows.append(row)
        if start is bench.ours:
            ours = each
    title = f"resident memory per idle WebSocket client, {bench.scale.idle_clients:,} clients"
    columns = (
        "server",
        "clients",
        "KB/client",
        "MB before",
        "MB with them",
        "kernel KB/client",
        "subscribed/s",
    )
    notes.append(
        "kernel: growth of its slabs, sockets of the server and of the load generator together."
    )
    table = Table(f"Idle: {title}, keys distinct", columns, rows, notes)
    return Report(
        [table], [Verdict(title, f"{ours:.2f} KB", f"<= {MEMORY_BAR} KB", ours <= MEMORY_BAR)]
    )


def _memory_row(server: Server, count: int) -> tuple[list[str], float]:
    with Subscribers.connect(server.port, _dialogues(server, WARM, LONG)):
        pass
    before, kernel = server.resident(), kernel_bytes()
    start = time.monotonic()
    with Subscribers.connect(server.port, _dialogues(server, count, LONG)) as subscribers:
        seconds = time.monotonic() - start
        subscribers.receive_for(server.chatter)
        after = server.resident()
        kernel = kernel_bytes() - kernel
        each = (after - before) / len(subscribers) / 1000
    row = [
        server.name,
        f"{count:,}",
        f"{each:.2f}",
        f"{before / 1e6:.1f}",
        f"{after / 1e6:.1f}",
        f"{kernel / count / 1000:.1f}",
        f"{count / seconds:,.0f}",
    ]
    return row, each


def heartbeats(bench: Bench) -> Report:
    """CPU of our node while every client sends its heartbeat once, evenly spread, and is answered."""
    count, seconds = bench.scale.idle_clients, bench.scale.idle_seconds
    beat, answer = client_frame(b"h"), server_frame(b"+h\r\n")
    with (
        bench.ours(bench.cores) as server,
        Subscribers.connect(server.port, _dialogues(server, count, HEARTBEAT)) as subscribers,
    ):
        cpu, start = server.cpu, time.monotonic()
        subscribers.say_evenly(beat, len(answer), seconds)
        passed = time.monotonic() - start
        share = (server.cpu - cpu) / passed
    title = f"idle CPU, {count:,} clients with a {seconds:g} s heartbeat"
    table = Table(
        f"Idle: {title}",
        ("server", "heartbeats", "answered", "seconds", "CPU of a core", "CPU µs/heartbeat"),
        [
            [
                server.name,
                f"{count:,}",
                f"{count:,}",
                f"{passed:.1f}",
                f"{share:.2%}",
                f"{share * passed / count * 1e6:.1f}",
            ]
        ],
    )
    return Report(
        [table], [Verdict(title, f"{share:.2%} of a core", f"<= {CPU_BAR:.0%}", share <= CPU_BAR)]
    )


def _dialogues(server: Server, count: int, heartbeat: int) -> list[Dialogue]:
    return [server.dialogue(f"u{number}@user", heartbeat) for number in range(count)]
