"""What a worker gets from the supervisor that started it: listening sockets, and a line between the two.

    APPMSG_WORKER={"sockets":{"comet.websocket":[5,6],"comet.tcp":[7]},"line":9}    descriptors

    the worker says     ready      it serves
                        leaving    an operator wants it to end, so it must not be started again
    the worker hears    the end    the supervisor asks it to stop, or is gone: either way it drains

A process that was started by hand opens its sockets itself and talks to nobody; its parts see no
difference. The other side is supervisor.py.
"""

import enum
import os
import socket
from collections.abc import Mapping, MutableMapping, Sequence
from contextlib import suppress
from typing import Annotated

import msgspec
import trio

from appmodel.errors import ConfigError
from appmodel.io.listener import open_sockets

VARIABLE = "APPMSG_WORKER"

Descriptor = Annotated[int, msgspec.Meta(ge=0)]


class Word(enum.StrEnum):
    """What a worker says, a line each."""

    READY = "ready"
    LEAVING = "leaving"


class Handed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The descriptors that a worker is started with."""

    sockets: dict[str, tuple[Descriptor, ...]]  # by the path of the listener in the configuration
    line: Descriptor

    @property
    def descriptors(self) -> tuple[int, ...]:
        """All of them."""
        return (self.line, *(fd for fds in self.sockets.values() for fd in fds))


class Sockets:
    """Where a part gets its listening sockets."""

    def __init__(self, handed: Mapping[str, Sequence[socket.socket]] | None = None) -> None:
        self._handed = dict(handed or {})

    def open(self, path: str, host: str, port: int) -> list[socket.socket]:
        """Those that were handed over for the listener at `path`, else new ones, see `open_sockets`.

        Args:
            path: of the listener in the configuration, such as "comet.websocket".

        Raises:
            ConfigError: there are none for it, and the address is taken or wrong.
        """
        handed = self._handed.pop(path, None)
        return list(handed) if handed is not None else open_sockets(host, port)


class Line:
    """A worker's end of the line."""

    def __init__(self, end: socket.socket | None = None) -> None:
        """`end`: of a socket pair; None: there is no supervisor."""
        self._end = end
        if end is not None:
            end.setblocking(False)

    def say(self, word: Word) -> None:
        """Tell the supervisor; nothing happens if there is none any more."""
        if self._end is not None:
            with suppress(OSError):
                self._end.send(f"{word}\n".encode())

    def close(self) -> None:
        """This process has ended, as far as the supervisor can hear."""
        if self._end is not None:
            self._end.close()

    async def wait_end(self) -> None:
        """Until the supervisor wants this process to stop, or is gone. Cancelling is safe."""
        if self._end is None:
            await trio.sleep_forever()
        while True:
            await trio.lowlevel.wait_readable(self._end)
            try:
                if not self._end.recv(64):
                    return
            except BlockingIOError:
                continue
            except OSError:
                return


def is_worker(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether a supervisor has started this process."""
    return VARIABLE in environ


def take_handed(environ: MutableMapping[str, str] = os.environ) -> tuple[Sockets, Line]:
    """What this process was started with; a second call finds nothing.

    Raises:
        ConfigError: the variable was not written by a supervisor.
    """
    text = environ.pop(VARIABLE, None)
    if text is None:
        return Sockets(), Line()
    try:
        handed = msgspec.json.decode(text, type=Handed)
        sockets = {path: [_adopt(fd) for fd in fds] for path, fds in handed.sockets.items()}
        return Sockets(sockets), Line(_adopt(handed.line))
    except (msgspec.DecodeError, OSError) as error:
        raise ConfigError(
            VARIABLE, text, f"expected what a supervisor hands over ({error})"
        ) from None


def _adopt(descriptor: int) -> socket.socket:
    adopted = socket.socket(fileno=descriptor)
    adopted.setblocking(False)
    adopted.set_inheritable(False)
    return adopted
