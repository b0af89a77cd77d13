"""`appmsg node` and `appmsg ring` against a real ZooKeeper: what operators see and wish."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

import msgspec
import pytest
import trio
from kazoo.client import KazooClient

from appmodel.core.cluster import Handover, Node, Role, State, Status
from appmodel.core.znodes import Roots, encode_node
from appmodel.io.calls import STATUS
from appmodel.runtime import cli
from tests.appmodel.io.loopback import serving
from tests.shared_zookeeper import new_roots, shared_server

PATIENCE = 40.0  # seconds


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str


Run = Callable[..., Done]


class Tree:
    """Where a test's nodes lie; it can put some there."""

    def __init__(self, zk: KazooClient, roots: Roots) -> None:
        self.zk, self.roots = zk, roots

    def add(self, node: Node) -> str:
        """A process that lives as long as the test."""
        entry = f"{self.roots.home(node)}/"
        return str(
            self.zk.create(entry, encode_node(node), ephemeral=True, sequence=True, makepath=True)
        )

    def parent(self, name: str) -> bytes:
        """What is wished of a comet, as it lies there."""
        return bytes(self.zk.get(f"{self.roots.comet}/{name}")[0])


@pytest.fixture
def tree() -> Iterator[Tree]:
    zk = KazooClient(",".join(shared_server().hosts))
    zk.start()
    try:
        yield Tree(zk, new_roots())
    finally:
        zk.stop()
        zk.close()


@pytest.fixture
def run(
    tree: Tree,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Run:
    """`appmsg node ...`, or another command, with the settings of this cluster."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "appmsg.toml").write_text(
        f"""
        registry.kind = "zookeeper"
        [registry.zookeeper]
        hosts = {json.dumps(shared_server().hosts)}
        comet_root = "{tree.roots.comet}"
        message_root = "{tree.roots.message}"
        web_root = "{tree.roots.web}"
        """
    )

    def run_command(*arguments: str, command: str = "node") -> Done:
        monkeypatch.setattr(sys, "argv", ["appmsg", command, *arguments])
        code: object = 0
        try:
            cli.main()
        except SystemExit as ended:
            code = ended.code
        out, err = capsys.readouterr()
        return Done(code if isinstance(code, int) else 0, out, err)

    return run_command


def eventually(holds: Callable[[], bool]) -> None:
    """Wait for something that nobody tells us."""
    end = time.monotonic() + PATIENCE
    while not holds() and time.monotonic() < end:
        time.sleep(0.02)


@contextmanager
def running(function: Callable[[], None]) -> Iterator[None]:
    """Beside the block, in a thread."""
    thread = Thread(target=function)
    thread.start()
    yield
    thread.join()


@contextmanager
def comet_answering(answers: list[Status]) -> Iterator[str]:
    """A comet's address, and what it answers call by call; the last one for ever."""
    left = list(answers)
    address: list[str] = []
    tokens: list[trio.lowlevel.TrioToken] = []
    started, ended = Event(), trio.Event()

    async def status(_: None) -> Status:
        await trio.lowlevel.checkpoint()
        return left.pop(0) if len(left) > 1 else left[0]

    async def serve() -> None:
        tokens.append(trio.lowlevel.current_trio_token())
        async with serving(dict([STATUS.answered_by(status)]), secret=None) as served:
            address.append(served.address)
            started.set()
            await ended.wait()

    thread = Thread(target=trio.run, args=[serve])
    thread.start()
    assert started.wait(PATIENCE)
    try:
        yield address[0]
    finally:
        tokens[0].run_sync_soon(ended.set)
        thread.join()


def comet(name: str, rpc: str = "", **fields: object) -> Node:
    node = Node(Role.COMET, name, time.time_ns(), rpc=rpc, ws=("127.0.0.1:7",))
    return msgspec.structs.replace(node, **fields)


BUSY = Status(connections=40, keys=30, attached=20, forwarded=10)


def test_all_nodes_are_listed(run: Run, tree: Tree) -> None:
    """What a comet does not answer, and what others do not say, is a question mark."""
    with comet_answering([BUSY]) as address:
        tree.add(comet("c1", address, weight=3))
        tree.add(comet("c2", "127.0.0.1:9"))
        tree.add(Node(Role.MESSAGE, "m1", rpc="127.0.0.1:8070"))
        tree.add(Node(Role.WEB, "w1"))

        done = run("list")

    lines = [line.split() for line in done.out.splitlines()]
    assert done.code == 0
    assert lines[0][:5] == ["ROLE", "NAME", "STATE", "WEIGHT", "CONNECTIONS"]
    assert lines[1][:7] == ["comet", "c1", "ready", "3", "40", "30", "20"]
    assert lines[1][-2:] == [f"rpc={address}", "ws=127.0.0.1:7"]
    assert lines[2][:7] == ["comet", "c2", "ready", "1", "?", "?", "?"]
    assert lines[3] == ["message", "m1", "ready", "1", "?", "?", "?", "?", "rpc=127.0.0.1:8070"]
    assert lines[4][:2] == ["web", "w1"]


def test_the_list_is_there_for_programs(run: Run, tree: Tree) -> None:
    """Unknown is null."""
    with comet_answering([BUSY]) as address:
        tree.add(comet("c1", address))
        tree.add(Node(Role.MESSAGE, "m1", rpc="127.0.0.1:8070"))

        first, second = json.loads(run("list", "--json").out)

    assert (first["name"], first["connections"], first["rpc"]) == ("c1", 40, address)
    assert 0 <= first["age"] < PATIENCE
    assert (second["role"], second["connections"], second["age"]) == ("message", None, None)


def test_weight_and_drain_are_wishes_beside_each_other(run: Run, tree: Tree) -> None:
    """Each command changes its own, and leaves the other."""
    tree.add(comet("c1"))

    assert run("weight", "c1", "4").out == "c1: weight 4\n"
    assert run("drain", "c1", "--no-wait").out == "c1: draining\n"
    assert json.loads(tree.parent("c1")) == {"wish": {"state": "draining", "weight": 4}}
    assert run("undrain", "c1").out == "c1: not draining\n"

    assert json.loads(tree.parent("c1")) == {"wish": {"weight": 4}}


def handing(moved: int, left: int, lost: int = 0) -> Status:
    return Status(left, left, left, 0, Handover(moved, left, lost, peak=50))


def test_drain_shows_how_far_it_is(run: Run, tree: Tree) -> None:
    """Until nobody is left."""
    answers = [BUSY, handing(10, 30), handing(30, 10), handing(40, 0)]
    with comet_answering(answers) as address:
        tree.add(comet("c1", address))

        done = run("drain", "c1")

    assert done.code == 0
    assert done.out.splitlines() == [
        "moved 10, left 30, lost 0, at most 50/s",
        "moved 30, left 10, lost 0, at most 50/s",
        "moved 40, left 0, lost 0, at most 50/s",
        "c1: drained",
    ]


@pytest.mark.parametrize(
    ("end", "message"),
    [
        (handing(30, 0, lost=10), "c1: moved 30, left 0, lost 10"),
        (handing(30, 10), "c1: not drained in time: moved 30, left 10"),
        (BUSY, "c1: not drained in time: it does not say how far it is"),
    ],
)
def test_a_drain_that_was_not_clean_fails(run: Run, tree: Tree, end: Status, message: str) -> None:
    """Clients were lost, or are left when the time is over."""
    with comet_answering([end]) as address:
        tree.add(comet("c1", address))

        done = run("drain", "c1", "--timeout", "600ms")

    assert done.code == 1
    assert done.err.startswith(f"appmsg: {message}")


def test_a_comet_that_is_drained_may_go(run: Run, tree: Tree) -> None:
    """It ends by itself when nobody is left."""
    entry = tree.add(comet("c1", "127.0.0.1:9"))

    def delete_when_drained() -> None:
        eventually(lambda: b"draining" in tree.parent("c1"))
        tree.zk.delete(entry)

    with running(delete_when_drained):
        done = run("drain", "c1")

    assert (done.code, done.out) == (0, "c1: drained, and gone\n")


def test_events_are_lines(run: Run, tree: Tree) -> None:
    """First who is there; then what happens to them."""
    entry = tree.add(comet("c1"))
    tree.add(Node(Role.WEB, "w1"))

    def delete_when_watched() -> None:
        eventually(lambda: entry in tree.zk.command(b"wchp"))
        tree.zk.delete(entry)

    with running(delete_when_watched):
        done = run("watch", "--count", "3")

    lines = [line.split("\t")[1:] for line in done.out.splitlines()]
    assert lines == [
        ["node joined", "comet", "c1", "it registered as ready"],
        ["node joined", "web", "w1", "it registered as ready"],
        ["node left", "comet", "c1", "it stopped, or its session is over"],
    ]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["drain", "c9"], 1, "appmsg: node: got 'c9', expected a comet that is registered: c1"),
        (["weight", "c9", "1"], 1, "appmsg: node: got 'c9'"),
        (["drain", "c1", "--timeout", "soon"], 1, "--timeout: got 'soon', expected a duration"),
        (["list", "--set", "registry.kind=embedded"], 2, 'registry.kind = \'embedded\': expected "zookeeper"'),
        (
            ["list", "--set", 'registry.zookeeper.hosts=["127.0.0.1:9"]', "--set", "node.start_timeout=300ms"],
            1,
            "no ZooKeeper answered within 0.3 s (registry.zookeeper.hosts = 127.0.0.1:9)",
        ),
        (["list", "--set", "registry.zookeeper.acl=creator"], 2, "credentials: missing"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_said(
    run: Run, tree: Tree, arguments: list[str], code: int, message: str
) -> None:
    """On stderr, last, and not with 0."""
    tree.add(comet("c1"))

    done = run(*arguments)

    assert (done.code, done.out) == (code, "")
    assert message in done.err.splitlines()[-1]
    assert "Traceback" not in done.err


def test_ring_asks_the_registry(run: Run, tree: Tree) -> None:
    """The comets that share the keys now, with the weights that operators wished; not our own name."""
    tree.add(comet("c1"))
    tree.add(comet("c2", state=State.DRAINING))
    assert run("u1@user", command="ring").out == "c1\n"

    tree.add(comet("c3"))
    assert run("weight", "c1", "0").code == 0

    assert run("u1@user", "u2@user", command="ring").out == "u1@user\tc3\nu2@user\tc3\n"
    assert run("u1@user", "--node", "n7", command="ring").out == "n7\n"


def test_without_a_comet_no_key_has_an_owner(run: Run) -> None:
    """A registry that is empty is no reason to answer our own name."""
    done = run("u1@user", command="ring")

    assert (done.code, done.out) == (1, "")
    assert "u1@user: no comet is ready and has a weight" in done.err


@pytest.mark.parametrize("command", ["list", "drain", "undrain", "weight", "watch"])
def test_every_command_of_node_explains_itself(run: Run, command: str) -> None:
    """With an example that can be pasted."""
    assert "Example" in run(command, "--help").out
