"""Sessions of a comet that is several processes, on ZooKeeper: each process answers for its own."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import sqlalchemy as sa

from appmodel.io.engines import make_engine
from appmodel.orm.presence import SessionHolder
from tests.databases import limits
from tests.shared_zookeeper import new_roots, shared_server
from tests.system.test_presence import Client, until, until_there
from tests.system.test_workers import APPMSG, CONFIG, Process, process

pytestmark = pytest.mark.slow

OURS = """
[comet.cluster]
move_legacy = false
[comet.sessions]
grace = "1s"
[database]
url = "sqlite:///app.db"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With a configuration, and a database."""
    roots, hosts = new_roots(), json.dumps(list(shared_server().hosts))
    config = CONFIG.format(hosts=hosts, comet=roots.comet, message=roots.message, web=roots.web)
    (tmp_path / "cluster.toml").write_text(config + OURS)
    subprocess.run([*APPMSG, "migrate", "--config", "cluster.toml"], cwd=tmp_path, check=True)
    return tmp_path


@pytest.fixture
def comet(folder: Path) -> Iterator[Process]:
    """Two workers, beside a message node."""
    with process("message", "m1", folder) as message, process("comet", "c1", folder) as comet:
        message.until("ready", node="m1")
        comet.until("ready", node="c1")
        yield comet


def holders(url: str) -> dict[str, str]:
    """The node that holds each session: one of them."""
    engine = make_engine(limits(url))
    with engine.connect() as connection:
        rows = connection.execute(sa.select(SessionHolder.session_id, SessionHolder.node)).all()
    engine.dispose()
    found = {row.session_id: row.node for row in rows}
    assert len(found) == len(rows), rows
    return found


def test_a_worker_that_is_killed_takes_its_own_sessions_only(folder: Path, comet: Process) -> None:
    """Whoever starts in its place has its name, and holds nothing of what it held; a roll leaves none."""
    url, before = f"sqlite:///{folder}/app.db", comet.workers()
    with ExitStack() as ends:
        for worker in before:
            for number in range(3):
                session = f"u{number}_{worker}"
                Client(comet.announced(worker)["comet.tcp"], session, ends)
        wanted = {f"u{n}_{worker}": worker for worker in before for n in range(3)}
        until(lambda: holders(url), wanted)

        os.kill(before["c1-1"], signal.SIGKILL)
        comet.until("worker ready", worker="c1-1")
        until_there(url, *(session for session, worker in wanted.items() if worker == "c1-2"))

        comet.signal(signal.SIGHUP)
        comet.until("rolled")
        until_there(url)
