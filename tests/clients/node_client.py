"""The JavaScript client in a process of Node, for tests in Python."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

import trio

HERE = Path(__file__).parent
MODULE = HERE.parent.parent / "clients" / "js" / "appmsg.js"


@cache
def why_no_node() -> str:
    """The reason why the JavaScript client cannot be tested here, empty if it can."""
    node = shutil.which("node")
    if node is None:
        return "node is not installed: the JavaScript client is not tested"
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
    major = re.match(r"v(\d+)\.", version)
    if major is None or int(major[1]) < 20:
        return f"node {version.strip()} is too old: the JavaScript client needs 20"
    return ""


class NodeClient:
    """Its events, in order, and its commands."""

    def __init__(self, process: trio.Process) -> None:
        self._process = process
        self._buffer = b""

    async def event(self, *wanted: str) -> dict[str, Any]:
        """The next event that has one of these members; any event if none is named.

        States have `state`, messages `msg`, ids that were stored `kept`.
        """
        while True:
            while b"\n" not in self._buffer:
                assert self._process.stdout is not None
                data = await self._process.stdout.receive_some()
                assert data, "the client has ended"
                self._buffer += data
            line, self._buffer = self._buffer.split(b"\n", 1)
            event: dict[str, Any] = json.loads(line)
            if not wanted or set(wanted) & set(event):
                return event

    async def state(self, wanted: str) -> dict[str, Any]:
        """The next state of that name; others are skipped."""
        while True:
            state = await self.event("state")
            if state["state"] == wanted:
                return state

    async def mids(self, count: int) -> list[int]:
        """The ids of the next messages."""
        return [(await self.event("msg"))["mid"] for _ in range(count)]

    async def tell(self, **command: object) -> None:
        """`acknowledge=mid` or `close=True`."""
        assert self._process.stdin is not None
        await self._process.stdin.send_all(json.dumps(command).encode() + b"\n")


@asynccontextmanager
async def node_client(
    key: str, *, authority: Path | None = None, **options: object
) -> AsyncIterator[NodeClient]:
    """Subscribe to `key` with these options of appmsg.js; `kept` is what the storage holds.

    `authority`: a certificate that it trusts.
    """
    command = ["node", "--no-warnings", "--experimental-websocket", str(HERE / "driver.mjs")]
    command += [MODULE.as_uri(), key, json.dumps(options)]
    async with trio.open_nursery() as nursery:
        process: trio.Process = await nursery.start(_run, command, authority)
        yield NodeClient(process)
        nursery.cancel_scope.cancel()  # kills it


async def _run(
    command: list[str], authority: Path | None, task_status: trio.TaskStatus[trio.Process]
) -> None:
    trust = {} if authority is None else {"NODE_EXTRA_CA_CERTS": str(authority)}
    await trio.run_process(
        command,
        env={**os.environ, **trust},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        check=False,
        deliver_cancel=_kill,
        task_status=task_status,
    )


async def _kill(process: trio.Process) -> None:
    process.kill()
