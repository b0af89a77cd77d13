"""Others' clients of Socket.IO and Engine.IO, each in its own process, converse with a comet that echoes.

What they say and must hear: conversations.mjs, engine_conversations.mjs, python_conversations.py.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from tests.clients.socketio.installed import HERE, why_not_installed

LIMIT = 60.0  # seconds for all conversations of a client
NODE = {  # how many conversations there are: none may be lost
    "socket.io-client-2": 29,
    "socket.io-client-3": 29,
    "socket.io-client-4": 29,
    "engine.io-client-3": 26,
    "engine.io-client-6": 26,
}
PYTHON = 18

Process = subprocess.Popen[str]


@contextmanager
def echo(ping_interval: float, ping_timeout: float) -> Iterator[str]:
    """The address of a comet in a process of its own."""
    command = [sys.executable, "-m", "tests.conformance.socketio_echo", "--port", "0"]
    command += ["--ping-interval", str(ping_interval), "--ping-timeout", str(ping_timeout)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        yield next(line for line in server.stdout if line.startswith("http://")).rstrip("/\n")
    finally:
        server.terminate()
        server.communicate()


@pytest.fixture(scope="module")
def clients() -> Iterator[dict[str, Process]]:
    """Every client that is here, already conversing: they mostly wait."""
    commands = {"python-socketio": ["-m", "tests.clients.socketio.python_conversations"]}
    commands["python-socketio"].insert(0, sys.executable)
    if not why_not_installed():
        for name in NODE:
            script = (
                "conversations.mjs" if name.startswith("socket") else "engine_conversations.mjs"
            )
            commands[name] = ["node", str(HERE / script), name]
    with ExitStack() as stack:
        addresses = [stack.enter_context(echo(25, 20)), stack.enter_context(echo(0.3, 2))]
        yield {
            name: stack.enter_context(started([*command, *addresses]))
            for name, command in commands.items()
        }


@contextmanager
def started(command: list[str]) -> Iterator[Process]:
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=HERE.parents[2]
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def check(client: Process, conversations: int) -> None:
    """All conversations were had, and none went wrong."""
    out, err = client.communicate(timeout=LIMIT)

    said = [json.loads(line) for line in out.splitlines()]
    wrong = {one["name"]: one["error"] for one in said if one["error"]}
    assert wrong == {}
    assert len(said) == conversations, err


@pytest.mark.parametrize("library", NODE)
def test_javascript(clients: dict[str, Process], library: str) -> None:
    """The original's own clients, of each revision: they notice no difference."""
    if why_not_installed():
        pytest.skip(why_not_installed())

    check(clients[library], NODE[library])


def test_python(clients: dict[str, Process]) -> None:
    """And a client of somebody else's."""
    check(clients["python-socketio"], PYTHON)
