"""Socket.IO: a push to a room of 1,000 clients, alone and 64 at once, beside others' servers.

Each server is started anew for each round and is alone on the machine with the load, which warms it up first;
rounds alternate (A B C A B C). A push is 100 bytes of JSON, and goes in as in fanout.py: the next one (or the
next 64) when the last client has what came before.
"""

from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass

from bench import socketio_servers
from bench.fanout import COLUMNS, NOTE, Contestant, Round, bursts, named, row, verdict
from bench.load import Subscribers
from bench.messages import SIZE, body
from bench.scale import Bench
from bench.servers import LONG, Start
from bench.tables import Report, Table, Verdict
from tools.servers.daemon import Missing

PEER = "socket.io"
ONE_BAR, MANY_BAR = 0.6, 0.1  # of it


@dataclass(frozen=True, slots=True)
class Played:
    """One server's round."""

    server: str
    one: Round
    many: Round


def fan_out(bench: Bench) -> Report:
    """CPU per delivery to a room, both ways."""
    scale = bench.scale
    rounds: dict[str, list[Played]] = {}
    missing: dict[str, None] = {}
    for _ in range(scale.socketio_rounds):
        for start in starts(bench):
            try:
                played = _play(bench, start)
            except Missing as error:
                missing[f"not run: {error}"] = None
                continue
            rounds.setdefault(played.server, []).append(played)
    one = f"one push to a room of {scale.subscribers:,}, {scale.pushes} one after the other"
    many = (
        f"{scale.at_once} pushes at once to a room of {scale.subscribers:,}, {scale.bursts} times"
    )
    tables: list[Table] = []
    verdicts: list[Verdict] = []
    for title, name, bar in ((one, "one", ONE_BAR), (many, "many", MANY_BAR)):
        found: dict[str, list[Round]] = {
            server: [getattr(each, name) for each in played] for server, played in rounds.items()
        }
        rows = [row(server, of_one) for server, of_one in found.items()]
        heading = f"Socket.IO: {title}, {scale.socketio_rounds} rounds in turn"
        tables.append(Table(heading, COLUMNS, rows, [NOTE, *missing]))
        verdicts += [
            verdict(f"{ours}: {title}", found[ours], found.get(PEER), peer=PEER, bar=bar)
            for ours in ours_of(found)
        ]
    return Report(tables, verdicts)


def ours_of(servers: Iterable[str]) -> list[str]:
    """Those that are judged."""
    return [name for name in servers if name in socketio_servers.OUR_NAMES]


def starts(bench: Bench) -> Sequence[Start]:
    """Ours, and those of others if they are wanted."""
    return [*socketio_servers.OURS, *(socketio_servers.PEERS if bench.peers else ())]


def _play(bench: Bench, start: Start) -> Played:
    scale = bench.scale
    with start(bench.cores) as server, named(server.name):
        dialogues = (server.dialogue(f"c{number}", LONG) for number in range(scale.subscribers))
        with (
            Subscribers.connect(server.port, dialogues) as clients,
            closing(server.entry(SIZE, scale.at_once)) as entry,
        ):
            contestant = Contestant(server, clients, entry)
            contestant.play(_ones(scale.warm_pushes))
            contestant.play(list(bursts(1, scale)))
            contestant.play(_ones(scale.pushes))
            contestant.play(list(bursts(1, scale)))
        *_, one, many = contestant.rounds
        return Played(server.name, one, many)


def _ones(count: int) -> Sequence[Sequence[bytes]]:
    return [[body(1 + number)] for number in range(count)]
