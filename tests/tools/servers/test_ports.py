"""Ports for servers: whoever is given one has it alone."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tools.servers import ports
from tools.servers.ports import free_port, free_ports, give_back

ROOT = Path(__file__).parents[3]
OTHER = (
    "from tools.servers import ports; ports.LOWEST, ports.HIGHEST = {0}, {2} + 1; "
    "print(ports.free_port(), flush=True); input()"
)
ROOM = iter(range(10_500, 11_900, 3))
EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """There are only these three to give: below those of everybody else, so nobody else is given them."""
    first = next(n for n in ROOM if all(is_free(n + i) for i in range(3)))
    monkeypatch.setattr(ports, "LOWEST", first)
    monkeypatch.setattr(ports, "HIGHEST", first + 3)
    return [first, first + 1, first + 2]


def is_free(port: int) -> bool:
    with socket.socket() as sock:
        try:
            sock.bind(("", port))
        except OSError:
            return False
        return True


def test_nobody_is_given_a_port_that_another_process_was_given(few: list[int]) -> None:
    """Although nobody listens there yet; and when that process has ended it is free again."""
    command = [sys.executable, "-c", OTHER.format(*few)]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        theirs = int(other.stdout.readline())
        ours = {free_port(), free_port()}
        other.communicate("\n")

    assert ours | {theirs} == set(few)
    assert free_port() == theirs
    with pytest.raises(RuntimeError, match="no 1 ports"):
        free_port()


def test_what_was_given_back_is_given_again(few: list[int]) -> None:
    """And who needs several gets all or none."""
    one = free_port()
    with pytest.raises(RuntimeError, match="no 3 ports"):
        free_ports(3)
    give_back([one])

    assert list(free_ports(3)) == few


def test_several_ports_are_as_far_apart_as_they_have_to_be() -> None:
    """Workers of a comet count theirs in tens."""
    first, second, third = free_ports(3, 10)

    assert (second - first, third - second) == (10, 10)


def test_a_port_where_somebody_listens_is_not_given(few: list[int]) -> None:
    """On whatever address."""
    with socket.create_server(("127.0.0.2", few[0])), socket.create_server(("", few[1])):
        assert free_port() == few[2]


@pytest.mark.skipif(not EPHEMERAL.exists(), reason="no Linux")
def test_the_kernel_gives_none_of_them_to_a_client() -> None:
    """The port of a server that is being restarted stays free for it."""
    lowest = int(EPHEMERAL.read_text().split()[0])

    assert lowest >= ports.HIGHEST
