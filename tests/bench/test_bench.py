"""The benches measure what they say: small runs against the real node, and runs that must fail."""

import os
import shutil
import time
from collections.abc import Callable, Iterator

import pytest

from bench import (
    fanout,
    idle,
    keys,
    logins,
    machine,
    rest,
    run,
    servers,
    socketio,
    socketio_clients,
    socketio_latency,
    socketio_servers,
    stream,
)
from bench.frames import client_frame, frame_size, server_frame
from bench.load import LoadFailed, Subscribers
from bench.machine import Cores, cpu_seconds
from bench.messages import SIZE, body, check_order
from bench.scale import Bench, Scale
from bench.servers import LONG, Server
from bench.tables import Report, Table, Verdict, percentiles, spread, verdict_table

TINY = Scale(
    subscribers=20,
    rounds=2,
    runs=2,
    pushes=3,
    at_once=4,
    bursts=2,
    idle_clients=50,
    idle_peer_clients=50,
    idle_seconds=0.2,
    keys=30,
    key_pushes=2,
    wrk_seconds=1,
    stream_pushes=600,
    stream_keys=10,
    login_calls=3,
    warm_pushes=1,
    socketio_clients=50,
    socketio_rounds=1,
    latency_pushes=5,
)
OURS_ALONE = Bench(Cores.split(), TINY, peers=False)


@pytest.fixture
def sink() -> Iterator[Server]:
    """The bare send loop: a server that does nothing wrong."""
    with servers.floor(Cores.split()) as server:
        yield server


@pytest.mark.parametrize(
    ("benchmark", "columns"),
    [
        (fanout.one, {"offered": "120", "delivered": "120"}),
        (fanout.many, {"offered": "320", "delivered": "320"}),
        (idle.memory, {"clients": "50"}),
        (idle.heartbeats, {"heartbeats": "50", "answered": "50"}),
        (keys.one_push, {"offered": "30", "delivered": "30"}),
        (stream.push_stream, {"offered": "1,200", "answered": "1,200", "delivered": "1,200"}),
    ],
)
def test_a_benchmark_of_the_node_delivers_what_it_offers(
    benchmark: Callable[[Bench], Report], columns: dict[str, str]
) -> None:
    """Each benchmark runs against the real node, and its counts are those of its load."""
    report = benchmark(OURS_ALONE)

    [table] = report.tables
    first = dict(zip(table.columns, table.rows[0], strict=True))
    assert {name: first[name] for name in columns} == columns
    assert report.verdicts


def test_logins_are_let_in_and_garbage_is_not() -> None:
    """Each kind of call got the answer that it measures: otherwise the run would have failed."""
    report = logins.logins(OURS_ALONE)

    [table] = report.tables
    assert [row[1] for row in table.rows] == ["3", "15", "6", "15"] * 2


@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")
def test_every_push_that_wrk_saw_answered_is_delivered_once() -> None:
    """Delivered may exceed answered only by what wrk had under way at its end."""
    report = rest.push_private(OURS_ALONE)

    [table] = report.tables
    assert len(table.rows) == 2
    for row in table.rows:
        answered, delivered = (int(row[column].replace(",", "")) for column in (1, 2))
        assert 0 < answered <= delivered <= answered + TINY.runs * rest.CALLERS
    assert all(verdict.reached is not None for verdict in report.verdicts)


def test_peers_play_the_same_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every server that can run here is offered the same and delivers all of it."""
    monkeypatch.setattr(servers, "PEERS", (servers.python_websockets, servers.nats))  # no npm here

    report = fanout.one(Bench(Cores.split(), TINY, ours=servers.floor, peers=True))

    [table] = report.tables
    delivered = {row[0]: row[3] for row in table.rows}
    assert delivered == dict.fromkeys(("send() loop", "Python websockets", "nats-server"), "120")
    assert [verdict.reached for verdict in report.verdicts] == [None]  # it is about Node ws


def test_a_room_is_pushed_to_in_turn_beside_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every server delivers what it was offered, one by one and at once, and ours is judged by a peer's rounds."""
    monkeypatch.setattr(socketio_servers, "OURS", (socketio_servers.comet,))
    others = (socketio_servers.python_socketio,)  # no npm here
    monkeypatch.setattr(socketio_servers, "PEERS", others)
    monkeypatch.setattr(socketio, "PEER", "python-socketio")

    report = socketio.fan_out(Bench(Cores.split(), TINY))

    one, many = report.tables
    assert isinstance(one, Table)
    assert isinstance(many, Table)
    assert [(row[0], row[3]) for row in one.rows] == [("comet", "60"), ("python-socketio", "60")]
    assert {row[3] for row in many.rows} == {"160"}
    assert len(report.verdicts) == 2
    assert all(verdict.reached is not None for verdict in report.verdicts)


def test_clients_of_socketio_rest_and_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """What they cost is told; without a peer only our own bar is."""
    monkeypatch.setattr(socketio_servers, "OURS", (socketio_servers.comet,))
    report = socketio_clients.clients(OURS_ALONE)

    [table] = report.tables
    assert isinstance(table, Table)
    assert [row[:2] for row in table.rows] == [["comet", "50"]]
    judged = [verdict.reached is not None for verdict in report.verdicts]
    assert judged == [True, False, False, False]


def test_a_push_over_rest_is_timed_to_its_last_client() -> None:
    """Each of them reached every client, and nothing else did."""
    report = socketio_latency.latency(OURS_ALONE)

    [table] = report.tables
    assert isinstance(table, Table)
    assert [row[:3] for row in table.rows] == [["light-push", "5", "100"]]
    [verdict] = report.verdicts
    assert verdict.reached is not None


def test_a_delivery_that_is_missing_ends_the_run(sink: Server) -> None:
    """A benchmark cannot end well with less than it offered."""
    dialogues = [sink.dialogue("bench", LONG)] * 2
    with Subscribers.connect(sink.port, dialogues) as subscribers:
        entry = sink.entry(SIZE, 1)
        entry.push([body(1)])
        size = subscribers.receive_alike()
        entry.push([body(2)])

        with pytest.raises(LoadFailed, match="got nothing for"):
            subscribers.receive(2 * size, timeout=0.1)
        entry.close()


def test_a_delivery_that_comes_twice_ends_the_run(sink: Server) -> None:
    """Nor with more."""
    with Subscribers.connect(sink.port, [sink.dialogue("bench", LONG)]) as subscribers:
        entry = sink.entry(SIZE, 1)
        entry.push([body(1)])
        size = subscribers.receive_alike()
        entry.push([body(2), body(2)])

        with pytest.raises(LoadFailed, match=f"{size} bytes more"):
            subscribers.receive(size)
        entry.close()


@pytest.mark.parametrize(
    ("ids", "complaint"),
    [
        ([1, 2], "got 2 messages, expected 3"),
        ([1, 3, 2], "do not rise"),
        ([1, 2, 2], "do not rise"),
    ],
)
def test_lost_doubled_and_disordered_messages_are_seen(ids: list[int], complaint: str) -> None:
    """What a subscriber of ours got is judged by its ids."""
    text = b"".join(b'{"msg":1,"mid":%d,"gid":0}' % number for number in ids)

    with pytest.raises(LoadFailed, match=complaint):
        check_order(text, 3)


def test_cpu_time_of_a_process_is_the_kernels() -> None:
    """Nanoseconds of all threads, as the process itself sees them."""
    before = time.process_time()
    measured = cpu_seconds(os.getpid())
    after = time.process_time()

    assert before <= measured <= after


def test_bystanders_are_told_from_us(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the machine did, without what we did, over the time that passed."""
    monkeypatch.setattr(machine, "_cpu_of_all", iter([(100.0, 1.0), (130.0, 2.0)]).__next__)
    monkeypatch.setattr(machine, "_cpu_of_us", iter([5.0, 20.0]).__next__)
    monkeypatch.setattr(machine, "yardstick", iter([1.0, 1.5]).__next__)
    monkeypatch.setattr(time, "monotonic", iter([0.0, 10.0]).__next__)

    told = str(machine.Bystanders())

    assert told == (
        "Meanwhile other processes used 1.50 cores and the host took 0.10; "
        "the yardstick was 1.00 µs, then 1.50 µs."
    )


@pytest.mark.parametrize("size", [1, 125, 126, 65_535])
def test_frames_know_their_size(size: int) -> None:
    """The head that is written is the head that is read."""
    frame = server_frame(bytes(size))

    assert frame_size(frame) == len(frame)
    assert len(client_frame(bytes(size))) == len(frame) + 4


def test_messages_have_one_size_and_are_all_different() -> None:
    """Counting bytes counts messages."""
    bodies = [body(number) for number in (0, 1, 99_999_999)]

    assert [len(each) for each in bodies] == [SIZE] * 3
    assert len(set(bodies)) == 3


def test_a_failed_benchmark_does_not_end_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    """Its failure is told in its place and in the exit code."""

    def fails(_: Bench) -> Report:
        raise LoadFailed("half of it is missing")

    def works(_: Bench) -> Report:
        return Report([], [Verdict("speed", "2", "1", reached=True)])

    said, failed = run.run(OURS_ALONE, [fails, works])

    assert failed
    assert "half of it is missing" in said
    assert "speed" in said
    assert capsys.readouterr().out.strip() == said.strip()


def test_tables_align_numbers_on_the_right() -> None:
    """What is read in a column stands in a column."""
    table = Table("T", ("server", "µs"), [("a", "10.0"), ("longer name", "2.0")], ["a note"])

    assert str(table).splitlines() == [
        "## T",
        "",
        "server         µs",
        "-----------------",
        "a            10.0",
        "longer name   2.0",
        "  a note",
    ]


def test_numbers_come_with_their_spread() -> None:
    """A median alone hides a noisy machine."""
    assert spread([3.0, 1.0, 2.0]) == "2.00 (1.00-3.00)"
    assert percentiles([0.001] * 98 + [0.5, 0.5]) == "1.0 / 500.0"


def test_verdicts_say_what_was_missed() -> None:
    """The last table answers the issue's question, row by row."""
    text = str(
        verdict_table(
            [Verdict("a", "1", ">= 2", reached=False), Verdict.not_measured("b", "", "why")]
        )
    )

    assert "NO" in text.splitlines()[4]
    assert "why" in text.splitlines()[5]
