"""How much of everything: the numbers of the issues, a quick look, and next to nothing for the tests."""

from dataclasses import dataclass

from bench import servers
from bench.machine import Cores


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """The load of every benchmark. The defaults are the issue's."""

    subscribers: int = 1_000  # of one key
    rounds: int = 5  # of each server in a fan-out, interleaved
    pushes: int = 200  # one after the other, in each round
    at_once: int = 64
    bursts: int = 5  # of `at_once` pushes, in each round
    warm_pushes: int = 50  # of a server of Socket.IO before anything counts
    socketio_clients: int = 5_000  # at rest, and that connect
    socketio_rounds: int = 3  # of each server of Socket.IO, in turn
    latency_pushes: int = 400  # over light-push's REST, at a steady rate
    mpush_rounds: int = 3  # of each server of Mpush, in turn
    mpush_seconds: float = 4.0  # of each load
    mpush_queued: int = 20_000  # messages for a device that is away
    mpush_quiet: float = 3.0  # seconds without a message: longer than until one is sent again
    mpush_devices: int = 5_000  # at rest
    idle_clients: int = 15_000
    idle_peer_clients: int = 15_000
    idle_seconds: float = 30.0  # of every client's heartbeat, and of the measurement
    keys: int = 10_000  # in one push
    key_pushes: int = 7
    runs: int = 3  # of wrk with each expire, and of the stream
    wrk_seconds: int = 8
    stream_pushes: int = 40_000
    stream_keys: int = 100
    hop_rounds: int = 7  # local and attached, in turn
    hop_pushes: int = 40  # one after the other, in each round
    cluster_comets: tuple[int, ...] = (1, 2, 3)
    cluster_keys: int = 120
    cluster_seconds: float = 3.0  # of each load
    moved_clients: int = 10_000
    group_sizes: tuple[int, ...] = (1, 10, 100, 1_000, 10_000)  # 1 = a user
    group_pushes: int = 100  # to each; a tenth to the large ones
    login_calls: int = 500  # and 5 times as many tokens
    store_kinds: tuple[str, ...] = ("memory", "sqlite", "redis", "postgresql", "mariadb")
    store_seconds: float = 3.0  # of each load


FULL = Scale()
QUICK = Scale(
    rounds=3,
    socketio_clients=1_000,
    socketio_rounds=1,
    latency_pushes=100,
    mpush_rounds=1,
    mpush_seconds=1.0,
    mpush_queued=2_000,
    mpush_devices=1_000,
    pushes=50,
    bursts=2,
    idle_clients=3_000,
    idle_peer_clients=1_000,
    idle_seconds=5.0,
    keys=2_000,
    key_pushes=3,
    wrk_seconds=2,
    stream_pushes=8_000,
    hop_rounds=3,
    hop_pushes=10,
    cluster_seconds=1.0,
    moved_clients=1_000,
    store_seconds=1.0,
    group_sizes=(1, 10, 100, 1_000),
    group_pushes=30,
    login_calls=50,
)


@dataclass(frozen=True, slots=True)
class Bench:
    """What every benchmark is given: `run(bench) -> Report`."""

    cores: Cores
    scale: Scale
    ours: servers.Start = servers.appmsg  # the tests have others
    peers: bool = True  # run others' servers beside ours
