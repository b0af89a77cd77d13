"""What a worker is handed: sockets instead of new ones, and a line to its supervisor."""

import json
import os
import socket
from collections.abc import Iterator

import pytest
import trio
import trio.testing

from appmodel.errors import ConfigError
from appmodel.io.listener import bound_to, open_sockets
from appmodel.runtime.worker import VARIABLE, Line, Sockets, Word, is_worker, take_handed


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """The supervisor's end of a line, and the worker's."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def test_a_listener_gets_the_sockets_that_were_handed_over_for_it() -> None:
    """Wherever the settings say that it should be: the supervisor has looked at them already."""
    handed = open_sockets("127.0.0.1", 0)
    sockets = Sockets({"comet.tcp": handed})

    got = sockets.open("comet.tcp", "192.0.2.1", 1)
    others = sockets.open("comet.websocket", "127.0.0.1", 0)

    assert got == handed
    assert bound_to(others) != bound_to(handed)
    for each in (*handed, *others):
        each.close()


def test_the_environment_says_what_was_handed_over(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    """By descriptors, once: a process that this one starts must not take them for its own."""
    ours, theirs = ends
    [listening] = open_sockets("127.0.0.1", 0)
    where = bound_to([listening])
    handed = {"sockets": {"comet.tcp": [listening.detach()]}, "line": theirs.detach()}
    environ = {VARIABLE: json.dumps(handed)}
    assert is_worker(environ)

    sockets, line = take_handed(environ)

    [got] = sockets.open("comet.tcp", "", 0)
    assert bound_to([got]) == where
    assert got.getblocking() is got.get_inheritable() is False
    line.say(Word.READY)
    assert ours.recv(100) == b"ready\n"
    assert not is_worker(environ)
    got.close()
    line.close()


def test_a_process_that_was_started_by_hand_has_nothing_to_take() -> None:
    """Its line never ends, and nobody listens to what it says."""
    sockets, line = take_handed({})

    line.say(Word.READY)
    opened = sockets.open("comet.tcp", "127.0.0.1", 0)

    assert len(opened) == 1
    opened[0].close()


@pytest.mark.parametrize("text", ["", "x", "{}", '{"sockets":{},"line":-1}', '{"line":9}'])
def test_what_no_supervisor_wrote_is_refused(text: str) -> None:
    """It names the variable, and nothing is taken from descriptors that may be anybody's."""
    with pytest.raises(ConfigError, match=f"^{VARIABLE} = "):
        take_handed({VARIABLE: text})


def test_a_descriptor_that_is_no_socket_is_refused() -> None:
    """Such as a number that was written by hand."""
    reader, writer = os.pipe()
    try:
        with pytest.raises(ConfigError, match=f"^{VARIABLE} = "):
            take_handed({VARIABLE: json.dumps({"sockets": {}, "line": reader})})
    finally:
        os.close(reader)
        os.close(writer)


async def test_the_line_ends_with_the_supervisor(
    ends: tuple[socket.socket, socket.socket], autojump_clock: trio.testing.MockClock
) -> None:
    """Whatever it has said before; and who is gone need not be told anything."""
    ours, theirs = ends
    line = Line(theirs)
    ours.send(b"a newer supervisor may have something to say")

    with trio.move_on_after(1) as waiting:
        await line.wait_end()
    assert waiting.cancelled_caught
    ours.close()

    await line.wait_end()
    line.say(Word.LEAVING)
