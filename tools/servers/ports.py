"""Ports of loopback for servers that must know theirs before they start, and keep it when they come back.

    free_port()         12_000 .. 31_999, given to nobody else as long as this process lives
    free_ports(3, 10)   three of them, ten apart: range(20_000, 20_030, 10)
    give_back(ports)    they may be given again

A port that was only looked for is lost on a busy machine: between the look and the server's bind(2) the
kernel gives it to a client, or another test process finds it too. So these lie below the ports that
Linux gives away by itself (/proc/sys/net/ipv4/ip_local_port_range begins at 32768), and each is noted
under a name in the abstract namespace of Unix sockets, which the kernel forgets with its process.
"""

import os
import random
import socket
from collections.abc import Iterable
from itertools import takewhile

LOWEST, HIGHEST = 12_000, 32_000  # of the kernel's own there are none below
TRIES = 1000
NOTE = "\0appmsg/port/{}"  # an abstract name: no file, the same for every user of the machine

_notes: dict[int, int] = {}  # by port: the descriptor that holds its name


def free_port() -> int:
    """A port that is free, and that nobody who asks here will be given. See `free_ports`."""
    return free_ports(1)[0]


def free_ports(size: int, step: int = 1) -> range:
    """So many that are free, `step` apart, and that nobody who asks here will be given while this process lives.

    Raises:
        RuntimeError: there are none.
    """
    for _ in range(TRIES):
        first = random.randrange(LOWEST, HIGHEST - step * (size - 1))
        ports = range(first, first + step * size, step)
        taken = list(takewhile(_take, ports))
        if len(taken) == size:
            return ports
        give_back(taken)
    raise RuntimeError(f"no {size} ports of {LOWEST} to {HIGHEST - 1} are free")


def give_back(ports: Iterable[int]) -> None:
    """Those whose servers will not come back."""
    for port in ports:
        os.close(_notes.pop(port))


def _take(port: int) -> bool:
    with socket.socket() as sock, socket.socket(socket.AF_UNIX) as note:
        try:
            sock.bind(("", port))
            note.bind(NOTE.format(port))
        except OSError:
            return False
        _notes[port] = note.detach()
    return True
