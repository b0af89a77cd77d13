"""One message of a user to groups of 10 to 10,000 members, all online on one comet, on a phone each.

    POST /app/client/device/push {"msg":{"toUserName":"g10000@qun",...}}          ttl 600 s

The clock runs from the first byte of the request to the last byte at the last member: find the members,
their names and sessions, save it for everybody, write it to every phone. `statements`: SQL of the application's
database per push, without what runs beside it; the messages are stored in the same kind of database.
"""

import re
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from statistics import median

from bench import company
from bench.entry import CompanyEntry
from bench.load import LoadFailed, Subscribers
from bench.scale import Bench
from bench.servers import LONG, Server, appmsg
from bench.tables import Report, Table, Verdict, spread
from tools.servers.daemon import Missing
from tools.servers.postgres import postgres

LAST = 0.4  # seconds to the last of 10,000 members
RATIO = 1.5  # CPU of a push to 10 members, to that of a push to one user
STATEMENTS = 3
TTL = 600  # seconds
SECRET = "a secret of the benchmarks, long enough to sign with"
REPORTED = 3.0  # seconds for the comet to have written 10,000 sessions


@dataclass(frozen=True, slots=True)
class Timed:
    """One push."""

    to_last: float  # seconds
    cpu: float  # seconds of the server
    statements: int


def groups(bench: Bench) -> Report:
    """Latency to the last member, CPU and statements, on SQLite and on PostgreSQL."""
    tables: list[Table] = []
    verdicts: list[Verdict] = []
    for kind in ("SQLite", "PostgreSQL"):
        try:
            with _database(kind) as settings:
                found = _measure(bench, settings)
        except Missing as missing:
            verdicts.append(Verdict.not_measured(f"groups, {kind}", "", str(missing)))
            continue
        tables.append(_table(kind, found))
        verdicts += _verdicts(kind, found)
    return Report(tables, verdicts)


@contextmanager
def _database(kind: str) -> Iterator[dict[str, str]]:
    """Settings of a node that keeps both people and messages there; all tables are made."""
    with tempfile.TemporaryDirectory() as name:
        if kind == "SQLite":
            url = f"sqlite:///{name}/app.db"
            company.make_tables(url)
            yield {"APPMSG_DATABASE__URL": url}
            return
        Path(name).chmod(0o755)
        with postgres(Path(name)) as server:
            for database in ("people", "messages"):
                server.execute(f"CREATE DATABASE {database}")
            company.make_tables(server.url("people"))
            yield {
                "APPMSG_DATABASE__URL": server.url("people"),
                "APPMSG_MESSAGE__STORE": "sql",
                "APPMSG_MESSAGE__SQL__URL": server.url("messages"),
            }


def _measure(bench: Bench, settings: dict[str, str]) -> dict[int, list[Timed]]:
    sizes = bench.scale.group_sizes
    found: dict[int, list[Timed]] = {}
    with ExitStack() as stack:
        server = stack.enter_context(
            appmsg(bench.cores, settings | {"APPMSG_AUTH__SECRET": SECRET})
        )
        url = settings["APPMSG_DATABASE__URL"]
        token = company.found(url, SECRET.encode(), users=max(sizes) + 1, groups=sizes[1:])
        entry = stack.enter_context(
            closing(CompanyEntry(server.ports["app"], token, sender=company.SENDER, ttl=TTL))
        )
        for size in sizes:
            found[size] = _push_to(bench, server, entry, size)
    return found


def _push_to(bench: Bench, server: Server, entry: CompanyEntry, size: int) -> list[Timed]:
    """`size` 1 is a user, anything else the group of that size."""
    to = f"g{size}@qun" if size > 1 else f"{company.uid(1)}@user"
    phones = [server.dialogue(f"{company.uid(n)}_iOS-d1@user", LONG) for n in range(1, size + 1)]
    rounds = bench.scale.group_pushes if size < 1000 else bench.scale.group_pushes // 10
    timed: list[Timed] = []
    with Subscribers.connect(server.port, phones) as members:
        time.sleep(REPORTED)
        entry.push(to, 0)
        entry.confirm()  # before any waiting: a refusal would be silence
        each = members.receive_alike()
        for number in range(1, max(rounds, 2) + 1):
            statements, cpu, began = _statements(server), server.cpu, time.monotonic()
            entry.push(to, number)
            members.receive(each)
            to_last = time.monotonic() - began
            entry.confirm()
            used = server.cpu - cpu
            timed.append(Timed(to_last, used, _statements(server) - statements))
    return timed


def _statements(server: Server) -> int:
    """What the node has sent to the application's database."""
    connection = HTTPConnection("127.0.0.1", server.ports["api"], timeout=5)
    try:
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
    finally:
        connection.close()
    found = re.search(r"^database_statements_total (\S+)$", text, re.MULTILINE)
    if found is None:
        raise LoadFailed("/metrics does not count statements")
    return int(float(found[1]))


def _table(kind: str, found: dict[int, list[Timed]]) -> Table:
    return Table(
        f"Groups: a user's message, members online on one comet, {kind}",
        ("members", "pushes", "ms to last", "CPU ms", "CPU µs/member", "statements"),
        [_row(size, pushes) for size, pushes in found.items()],
    )


def _row(size: int, pushes: Sequence[Timed]) -> list[str]:
    return [
        f"{size:,}" if size > 1 else "1 (a user)",
        str(len(pushes)),
        spread([push.to_last * 1000 for push in pushes], 1),
        spread([push.cpu * 1000 for push in pushes], 2),
        spread([push.cpu / size * 1e6 for push in pushes], 1),
        f"{min(push.statements for push in pushes)}-{max(push.statements for push in pushes)}",
    ]


def _verdicts(kind: str, found: dict[int, list[Timed]]) -> list[Verdict]:
    largest = max(found)
    last = median(push.to_last for push in found[largest])
    one, ten = (median(push.cpu for push in found[size]) for size in (1, 10))
    # what runs beside a push counts too (sessions, notes, counters): the quietest push of each size tells
    most = max(min(push.statements for push in pushes) for pushes in found.values())
    return [
        Verdict(
            f"{largest:,} members, {kind}, to the last",
            f"{last * 1000:.0f} ms",
            f"<= {LAST * 1000:.0f} ms",
            last <= LAST,
        ),
        Verdict(
            f"CPU of 10 members to that of one, {kind}",
            f"{ten / one:.2f}",
            f"<= {RATIO}",
            ten / one <= RATIO,
        ),
        Verdict(f"statements of a push, {kind}", str(most), f"<= {STATEMENTS}", most <= STATEMENTS),
    ]
