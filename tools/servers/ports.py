"""Ports of loopback for servers that must know theirs before they start, and keep it when they come back.

    free_port()     12_000 .. 31_999, given to nobody else as long as this process lives

A port that was only looked for is lost on a busy machine: between the look and the server's bind(2) the
kernel gives it to a client, or another test process finds it too. So these lie below the ports that
Linux gives away by itself (/proc/sys/net/ipv4/ip_local_port_range begins at 32768), and each is noted
under a name in the abstract namespace of Unix sockets, which the kernel forgets with its process.
"""

import random
import socket
from contextlib import suppress

LOWEST, HIGHEST = 12_000, 32_000  # of the kernel's own there are none below
TRIES = 1000
NOTE = "\0appmsg/port/{}"  # an abstract name: no file, the same for every user of the machine


def free_port() -> int:
    """A port that is free, and that nobody who asks here will be given while this process lives.

    Raises:
        RuntimeError: there is none.
    """
    for _ in range(TRIES):
        port = random.randrange(LOWEST, HIGHEST)
        with suppress(OSError), socket.socket() as sock:
            sock.bind(("", port))
            _note(port)
            return port
    raise RuntimeError(f"no port of {LOWEST} to {HIGHEST - 1} is free")


def _note(port: int) -> None:
    """Take the note, for as long as this process lives. Raises OSError if somebody has it."""
    with socket.socket(socket.AF_UNIX) as note:
        note.bind(NOTE.format(port))
        note.detach()  # the descriptor stays open, and is never closed
