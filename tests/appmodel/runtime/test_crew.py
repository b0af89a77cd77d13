"""Where workers listen, and what each of them is told."""

import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace

import pytest

from appmodel.errors import ConfigError
from appmodel.io.listener import bound_to, open_sockets
from appmodel.runtime.crew import Crew, Listener, Place, RestartConfig, Use, close_all
from appmodel.runtime.service import find_parts, find_sections
from appmodel.runtime.settings import Settings, load_settings
from appmodel.runtime.supervisor import find_crew
from tools.servers.ports import free_ports

ZOOKEEPER = (
    "comet.workers=3",
    "registry.kind=zookeeper",
    'registry.zookeeper.hosts=["127.0.0.1:1"]',
)


def settings(*overrides: str) -> Settings:
    return load_settings(find_sections(), environ={}, overrides=overrides)


def crew(*listeners: Listener, workers: int = 2) -> Crew:
    return Crew("comet", "c1", workers, listeners, RestartConfig(), 1.0, 1.0)


def clients(port: int = 0, advertise: str = "") -> Listener:
    return Listener("comet.tcp", Use.CLIENTS, "127.0.0.1", port, advertise, "tcp://{}")


@contextmanager
def places(crew: Crew) -> Iterator[list[Place]]:
    """All places of a crew, open."""
    shared: dict[str, int] = {}
    made = [Place(crew, number, shared) for number in range(1, crew.workers + 1)]
    try:
        for place in made:
            place.open()
        yield made
    finally:
        for place in made:
            place.close()


def ports(sockets: list[socket.socket]) -> list[int]:
    return [each.getsockname()[1] for each in sockets]


def test_each_worker_has_its_own_port_and_a_share_of_the_common_one() -> None:
    """Its own is the first of its sockets: that is what a part announces."""
    port = free_ports(4, 10)[0]
    with places(crew(clients(port), workers=3)) as made:
        assert [ports(place.sockets["comet.tcp"]) for place in made] == [
            [port + 10, port],
            [port + 20, port],
            [port + 30, port],
        ]
        assert [place.name for place in made] == ["c1-1", "c1-2", "c1-3"]
        assert made[0].shared_urls() == {"comet.tcp": f"tcp://127.0.0.1:{port}"}


def test_port_0_is_any_free_one_but_the_shared_one_is_the_same_for_all() -> None:
    """As for a single node."""
    with places(crew(clients(), Listener("comet.stat", Use.OPERATORS, "127.0.0.1", 0))) as made:
        (own, shared), (other, also_shared) = (ports(place.sockets["comet.tcp"]) for place in made)

        assert shared == also_shared
        assert len({own, other, shared}) == 3
        assert len(ports(made[0].sockets["comet.stat"])) == 1


def test_a_place_that_was_closed_opens_again_where_it_was() -> None:
    """Clients know a worker by its address."""
    with places(crew(clients())) as made:
        before = ports(made[0].sockets["comet.tcp"])

        made[0].close()
        assert not made[0].is_open
        made[0].open()

        assert ports(made[0].sockets["comet.tcp"]) == before


def test_the_advertised_addresses_keep_their_host_and_their_distance() -> None:
    """A forwarder in front maps port by port; calls of other nodes go to whatever port it is."""
    port = free_ports(3, 10)[0]
    calls = Listener("comet.rpc", Use.NODES, "127.0.0.1", 6970, "10.0.0.7:6970")
    with places(crew(clients(port, "push.example:443"), calls)) as made:
        of_process = made[1].open_for_process()
        bound = ports(of_process["comet.rpc"])[0]

        assert made[1].settings(of_process) == [
            "node.name=c1-2",
            "node.home=false",
            "comet.workers=1",
            "comet.tcp.advertise=push.example:463",
            f"comet.rpc.advertise=10.0.0.7:{bound}",
        ]
        close_all(of_process)


@pytest.mark.parametrize(
    ("listener", "said"),
    [
        (clients(65530), "comet.tcp.port = 65530: expected at most 65515"),
        (clients(0, "push.example"), "comet.tcp.advertise = 'push.example': expected host:port"),
        (
            clients(0, "push.example:x"),
            "comet.tcp.advertise = 'push.example:x': expected host:port",
        ),
        (clients(1, "a:65520"), "comet.tcp.advertise = 'a:65520': expected .* worker 2 at 65540"),
    ],
)
def test_what_cannot_be_is_said(listener: Listener, said: str) -> None:
    """With the key to set."""
    with pytest.raises(ConfigError, match=f"^{said}"), places(crew(listener)):
        pass


def test_if_one_address_is_taken_none_stays_open() -> None:
    """So that the next try finds them free."""
    port = free_ports(2, 10)[0]
    with closing(open_sockets("127.0.0.1", 0)[0]) as taken:
        stat = Listener("comet.stat", Use.OPERATORS, "127.0.0.1", bound_to([taken]).port - 10)
        place = Place(crew(clients(port), stat), 1, {})

        with pytest.raises(ConfigError, match=f":{bound_to([taken]).port}"):
            place.open()

    assert not place.is_open
    for again in (*open_sockets("127.0.0.1", port), *open_sockets("127.0.0.1", port + 10)):
        again.close()


def test_the_comets_workers_are_those_of_its_settings() -> None:
    """One listener for each kind of clients, for operators and for nodes; what is off is left out."""
    parts = find_parts()
    given = settings(*ZOOKEEPER, "node.name=c1", "comet.tcp.enabled=false")

    found = find_crew([parts["comet"]], given)

    assert found is not None
    assert (found.part, found.node, found.workers) == ("comet", "c1", 3)
    assert {each.path: (each.use, each.port) for each in found.listeners} == {
        "comet.websocket": (Use.CLIENTS, 6968),
        "comet.socketio": (Use.CLIENTS, 21314),
        "comet.mpush": (Use.CLIENTS, 2245),
        "comet.stat": (Use.OPERATORS, 6972),
        "comet.rpc": (Use.NODES, 6970),
    }
    assert found.stands_like(replace(found, drain_timeout=99.0))
    assert not found.stands_like(replace(found, workers=4))


def test_one_worker_needs_no_supervisor() -> None:
    """Nor does a part that has no workers."""
    parts = find_parts()

    assert find_crew(list(parts.values()), settings()) is None


@pytest.mark.parametrize(
    ("names", "overrides", "said"),
    [
        (
            ["message", "comet", "web"],
            ZOOKEEPER,
            r"comet\.workers = 3: expected 1 beside other parts",
        ),
        (["comet"], ("comet.workers=3",), r'comet\.workers = 3: .*registry\.kind = "zookeeper"'),
        (["comet"], (*ZOOKEEPER, "comet.tcp.host=0.0.0.0"), r"comet\.tcp\.host = '0\.0\.0\.0'"),
    ],
)
def test_several_workers_are_for_a_comet_in_a_cluster(
    names: list[str], overrides: tuple[str, ...], said: str
) -> None:
    """And what no comet may do, several may not do either."""
    parts = find_parts()

    with pytest.raises(ConfigError, match=f"^{said}"):
        find_crew([parts[name] for name in names], settings(*overrides))
