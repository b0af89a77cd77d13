"""ZooKeeper for tests: one server that a test session shares, and a part of its tree for each test.

Who only reads and writes shares the server and its own roots keep it apart; who breaks servers starts
its own. Without ZooKeeper such a test is skipped.
"""

import atexit
import functools
import itertools
import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from appmodel.core.znodes import Roots
from appmodel.io.registry_zookeeper import ZooKeeperRegistry, open_zookeeper
from appmodel.io.zookeeper import ZooKeeperOptions
from tools.servers.daemon import Missing
from tools.servers.zookeeper import Server, zookeeper

SESSION = 4.0  # seconds
_numbers = itertools.count(1)


@functools.cache
def shared_server() -> Server:
    """One server for all tests of this process; it ends with it."""
    stack = ExitStack()
    atexit.register(stack.close)
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="zookeeper"))
    try:
        server = stack.enter_context(zookeeper(Path(folder)))
    except Missing as missing:
        pytest.skip(str(missing))
    return server


def new_roots() -> Roots:
    """A place of one's own in the tree."""
    place = f"/test-{os.getpid()}-{next(_numbers)}"
    return Roots(f"{place}/comet", f"{place}/message", f"{place}/web")


def options(hosts: tuple[str, ...], **changes: Any) -> ZooKeeperOptions:
    """Short sessions, so that their end can be seen."""
    return ZooKeeperOptions(hosts=hosts, **{"session_timeout": SESSION, **changes})


@asynccontextmanager
async def open_pair() -> AsyncIterator[tuple[ZooKeeperRegistry, ZooKeeperRegistry]]:
    """Two processes of one cluster, on the shared server."""
    chosen, roots = options(shared_server().hosts), new_roots()
    async with open_zookeeper(chosen, roots) as ours, open_zookeeper(chosen, roots) as theirs:
        yield ours, theirs
