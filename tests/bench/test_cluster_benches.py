"""The benches of a cluster: small runs with real nodes and servers, and what must end a run."""

import socket
from collections.abc import Callable, Iterator

import pytest

from bench import cluster_push, hop, moving, stores
from bench.frames import server_frame
from bench.load import LoadFailed
from bench.machine import Cores
from bench.messages import Numbers, body
from bench.nodes import names_of
from bench.nomads import Nomad, Nomads
from bench.scale import Bench, Scale
from bench.tables import Report

TINY = Scale(
    subscribers=20,
    hop_rounds=2,
    hop_pushes=2,
    cluster_comets=(2,),
    cluster_keys=6,
    cluster_seconds=0.3,
    moved_clients=30,
    store_kinds=("memory",),
    store_seconds=0.2,
)
HEAD = b"HTTP/1.1 101 Switching Protocols\r\n\r\n"


def small(benchmark: Callable[[Bench], Report]) -> Report:
    """What it reports; skipped if a server is not installed here."""
    report = benchmark(Bench(Cores.split(), TINY, peers=False))
    if not report.tables:
        pytest.skip(report.verdicts[0].measured)
    return report


def test_a_hop_is_measured_for_one_key_and_for_many() -> None:
    """Local and attached, with and without a ttl, each with its ratio; the two of issue 3 are judged."""
    report = small(hop.hop)

    [table] = report.tables
    assert [row[0].rpartition(", ")[2] for row in table.rows] == ["ttl 0", "ttl 60"] * 2
    assert all(float(cell.split()[0]) > 0 for row in table.rows for cell in row[1:])
    assert [verdict.reached is None for verdict in report.verdicts] == [False, False]


def test_pushes_through_a_cluster_are_timed_to_their_last_subscriber() -> None:
    """A run ends when each push was answered and has reached everybody, so there is a row or an error."""
    report = small(cluster_push.cluster_push)

    [table] = report.tables
    assert [row[:2] for row in table.rows] == [["2", "0"], ["2", "60"]]
    assert all(int(row[2].replace(",", "")) > 0 for row in table.rows)


def test_all_clients_move_there_and_back_and_lose_nothing() -> None:
    """They join the comet that comes and leave the one that stops; every message comes once."""
    report = small(moving.moving)

    assert [verdict.reached for verdict in report.verdicts] == [True, True]


def test_a_store_is_asked_over_rpc() -> None:
    """Saves a second and what fetches wait, of each store."""
    report = small(stores.stores)

    [table] = report.tables
    [row] = table.rows
    assert row[0] == "memory"
    assert int(row[1].replace(",", "")) > 0


@pytest.mark.parametrize("cut", range(0, 280, 7))
def test_numbers_are_read_from_a_stream_however_it_is_cut(cut: int) -> None:
    """Each message counts once, also if a read ends in the middle of it."""
    stream = b"".join(b'{"msg":%b,"mid":1,"gid":0}' % body(number) for number in (7, 8))
    numbers = Numbers()

    assert numbers.receive(stream[:cut]) + numbers.receive(stream[cut:]) == [7, 8]


def test_names_belong_to_the_comet_that_is_asked_for() -> None:
    """Every name has one owner."""
    mine, others = names_of("c1", 2, 50), names_of("c2", 2, 50)

    assert len({*mine, *others}) == 100


@pytest.fixture
def nomad() -> Iterator[Nomad]:
    """One that was welcomed."""
    client = Nomad("u1@user")
    ours, theirs = socket.socketpair()
    with theirs:
        client.attach(ours, 40_001)
        client.hear(HEAD + server_frame(b"+h\r\n"))
        yield client
        client.hang_up()


def message(number: int, message_id: int) -> bytes:
    """As a comet sends it."""
    return server_frame(b'{"msg":%b,"mid":%d,"gid":0}' % (body(number), message_id))


def test_a_nomad_remembers_its_last_id_and_goes_where_it_is_told(nomad: Nomad) -> None:
    """The address is in the reason of the close frame."""
    reason = b"\x0f\xa0moved ws://127.0.0.1:40002"

    for data in (message(1, 100), message(2, 101)[:9], message(2, 101)[9:]):
        nomad.hear(data)
    nomad.hear(b"\x88" + bytes((len(reason),)) + reason)

    assert nomad.received == [1, 2]
    assert nomad.last_id == 101
    assert nomad.moved_to() == 40_002


@pytest.mark.parametrize("message_id", [100, 99])
def test_a_nomad_takes_no_id_twice(nomad: Nomad, message_id: int) -> None:
    """Then the run has failed, not only its row."""
    nomad.hear(message(1, 100))

    with pytest.raises(LoadFailed, match=f"got id {message_id} after 100"):
        nomad.hear(message(2, message_id))


def test_a_nomad_that_is_refused_ends_the_run() -> None:
    """Whatever the server says instead of a welcome."""
    client = Nomad("u1@user")
    ours, theirs = socket.socketpair()
    with ours, theirs:
        client.attach(ours, 40_001)

        with pytest.raises(LoadFailed, match="refused"):
            client.hear(b"HTTP/1.1 503 Service Unavailable\r\n\r\n")


def test_a_server_that_hangs_up_on_a_nomad_ends_the_run() -> None:
    """A client that is not told where to go was lost."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        nomads = Nomads(["u1@user"])
        nomads.dial(nomads.clients[0], port)
        server.accept()[0].close()

        with pytest.raises(LoadFailed, match="did not say where to go"):
            nomads.roam(5.0)
        nomads.clients[0].hang_up()


def test_the_peak_is_the_busiest_second() -> None:
    """Wherever it begins."""
    assert moving.peak([0.0, 0.9, 1.0, 1.5, 1.8, 1.9, 3.0]) == 5
    assert moving.peak([]) == 0


def test_lost_messages_are_counted() -> None:
    """Of those that were pushed, by whom they were for."""
    nomads = Nomads(["u1@user", "u2@user"])
    first, second = nomads.clients
    first.received = [0, 2]

    assert moving.missing([first, second, first], nomads.clients) == 1
