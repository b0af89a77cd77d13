"""The registry on real ZooKeeper servers: who is seen, by whom, and what strangers can do to it."""

import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec
import pytest
import structlog.testing
import trio
from kazoo.client import KazooClient
from kazoo.security import ACL, ANYONE_ID_UNSAFE, READ_ACL_UNSAFE, Permissions

from appmodel.core.cluster import ClusterView, Node, Role, State
from appmodel.core.znodes import Roots, Wish, encode_node
from appmodel.errors import BadInput, ConfigError, Forbidden, Unavailable
from appmodel.io.registry_zookeeper import MAX_LINES, ZooKeeperRegistry, open_zookeeper
from appmodel.io.watched_tree import MAX_NODES, MAX_PROCESSES
from tests.contract.registry import COMET, PATIENCE, until
from tests.shared_zookeeper import SESSION, new_roots, options, shared_server
from tools.servers.daemon import Missing
from tools.servers.ports import free_port
from tools.servers.zookeeper import Server, ensemble, hosts, leader, zookeeper

C1 = Node(Role.COMET, "c1", 7, rpc="h:1", ws=("h:2",))
NOT_CREATE = Permissions.ALL & ~Permissions.CREATE
SECOND = msgspec.structs.replace(C1, incarnation=8, rpc="h:8")


class Stranger:
    """Somebody else with access to the tree, who blocks."""

    def __init__(self, zk: Any, roots: Roots) -> None:
        self.zk = zk
        self.roots = roots

    def puts(self, path: str, data: bytes, **kind: bool) -> str:
        return str(self.zk.create(f"{self.roots.comet}/{path}", data, makepath=True, **kind))

    def lists(self, path: str = "") -> list[str]:
        return list(self.zk.get_children(f"{self.roots.comet}{path}"))


@contextmanager
def a_stranger(roots: Roots) -> Iterator[Stranger]:
    zk = KazooClient(",".join(shared_server().hosts))
    zk.start()
    try:
        yield Stranger(zk, roots)
    finally:
        zk.stop()
        zk.close()


@pytest.fixture
def roots() -> Roots:
    return new_roots()


@pytest.fixture
def stranger(roots: Roots) -> Iterator[Stranger]:
    with a_stranger(roots) as stranger:
        yield stranger


def joining(roots: Roots, **changes: Any) -> Any:
    """One more process, on the shared server."""
    return open_zookeeper(options(shared_server().hosts, **changes), roots)


@pytest.fixture
async def ours(roots: Roots) -> AsyncIterator[ZooKeeperRegistry]:
    async with joining(roots) as registry:
        yield registry


@pytest.fixture
async def theirs(roots: Roots) -> AsyncIterator[ZooKeeperRegistry]:
    async with joining(roots) as registry:
        yield registry


async def eventually(holds: Callable[[], bool]) -> None:
    """Wait for something that nobody tells us."""
    with trio.fail_after(PATIENCE):
        while not holds():  # noqa: ASYNC110  nobody sets an event for it
            await trio.sleep(0.02)


def end_session(registry: ZooKeeperRegistry) -> None:
    """As the servers do it when they have heard nothing for the session's time."""
    client = registry._client
    assert client is not None
    double = KazooClient(",".join(shared_server().hosts), client_id=client._kazoo.client_id)
    double.start()
    double.stop()
    double.close()


async def test_the_next_process_of_a_name_takes_over(
    ours: ZooKeeperRegistry, theirs: ZooKeeperRegistry
) -> None:
    """It stands by until the one before it goes; the ring knows one of them at a time."""
    await ours.register(C1)
    await theirs.register(SECOND)
    standby = msgspec.structs.replace(SECOND, state=State.STANDBY)
    await until(ours, lambda view: view.nodes == (C1, standby))
    assert ours.view.comets == {"c1": C1}

    await ours.withdraw(C1)

    for registry in (ours, theirs):
        await until(registry, lambda view: view.nodes == (SECOND,))


async def test_a_standby_takes_over_when_the_leader_drains(
    ours: ZooKeeperRegistry, theirs: ZooKeeperRegistry
) -> None:
    """Its keys have an owner while its clients move."""
    await ours.register(C1)
    await theirs.register(SECOND)

    await ours.register(msgspec.structs.replace(C1, state=State.DRAINING))

    await until(theirs, lambda view: view.comets == {"c1": SECOND})


async def test_a_lost_session_registers_again_by_itself(
    ours: ZooKeeperRegistry, theirs: ZooKeeperRegistry
) -> None:
    """The same node; its keys go to the standby of its name, if there is one."""
    await ours.register(C1)
    await theirs.register(SECOND)

    with structlog.testing.capture_logs() as logs:
        await trio.to_thread.run_sync(end_session, ours)
        standby = msgspec.structs.replace(C1, state=State.STANDBY)
        for registry in (ours, theirs):
            await until(registry, lambda view: view.nodes == (SECOND, standby))
        await eventually(lambda: ours.trouble is None)

    events = [line["event"] for line in logs]
    assert events.count("registry session is over") == 1
    assert {"zookeeper is away", "zookeeper is back"} <= set(events)


async def test_an_entry_that_claims_our_address_is_of_a_dead_process(
    roots: Roots, stranger: Stranger
) -> None:
    """It is gone at once, not after its session: there is no double and no standby."""
    before = msgspec.structs.replace(C1, incarnation=3)
    await trio.to_thread.run_sync(
        lambda: stranger.puts("c1/", encode_node(before), ephemeral=True, sequence=True)
    )
    async with joining(roots) as registry:
        assert registry.view.nodes == (before,)

        await registry.register(C1)

        assert registry.view.nodes == (C1,)


async def test_two_processes_with_one_address_are_told_of_it(
    ours: ZooKeeperRegistry, theirs: ZooKeeperRegistry
) -> None:
    """Once, in the log of both; after it nothing changes any more."""
    with structlog.testing.capture_logs() as logs:
        await ours.register(C1)
        await theirs.register(msgspec.structs.replace(SECOND, rpc=C1.rpc))
        told = "our address is announced by another process"
        await eventually(lambda: len([line for line in logs if line["event"] == told]) == 2)
        version = ours.view.version
        await ours.register(msgspec.structs.replace(C1, weight=2))

    lines = [line for line in logs if line["event"] == told]
    assert len(lines) == 2
    assert {line["address"] for line in lines} == {C1.rpc}
    assert len({line["path"] for line in lines}) == 2
    assert ours.view.version == version + 1


async def test_a_process_that_is_killed_leaves_after_its_session(
    roots: Roots, ours: ZooKeeperRegistry
) -> None:
    """And its persistent parent too."""
    await ours.register(COMET)
    script = (
        "import sys; from kazoo.client import KazooClient\n"
        "zk = KazooClient(sys.argv[1], timeout=1.0); zk.start()\n"
        "zk.create(sys.argv[2], sys.argv[3].encode(), ephemeral=True, sequence=True, makepath=True)\n"
        "sys.stdin.read()"
    )
    arguments = [*shared_server().hosts, f"{roots.comet}/c2/", '{"rpc":["h:1"]}']
    with subprocess.Popen(  # noqa: ASYNC220  it takes a millisecond
        [sys.executable, "-c", script, *arguments], stdin=subprocess.PIPE
    ) as dying:
        await until(ours, lambda view: "c2" in view.comets)

        dying.kill()

    await until(ours, lambda view: view.comets.keys() == {COMET.name})
    with a_stranger(roots) as stranger:
        await eventually(lambda: stranger.lists() == [COMET.name])


async def test_the_last_one_of_a_name_takes_the_parent_with_it(
    ours: ZooKeeperRegistry, stranger: Stranger
) -> None:
    """Spec C5: otherwise the name would be on the ring for ever."""
    await ours.register(C1)

    await ours.withdraw(C1)

    await eventually(lambda: stranger.lists() == [])


async def test_who_leaves_properly_is_gone_at_once(roots: Roots, ours: ZooKeeperRegistry) -> None:
    """Spec C4: the session is closed, nobody waits for its end."""
    async with joining(roots, session_timeout=10.0) as leaving:
        await leaving.register(C1)
        await until(ours, lambda view: view.nodes == (C1,))

    with trio.fail_after(8):
        await until(ours, lambda view: view.nodes == ())


async def test_a_wish_is_laid_over_what_a_node_says(
    ours: ZooKeeperRegistry, theirs: ZooKeeperRegistry
) -> None:
    """Everybody sees it, the node itself too, until it is taken back."""
    await ours.register(C1)
    await until(theirs, lambda view: view.nodes == (C1,))

    await theirs.wish("c1", Wish(state="draining", weight=3))

    wished = msgspec.structs.replace(C1, state=State.DRAINING, weight=3)
    for registry in (ours, theirs):
        await until(registry, lambda view: view.nodes == (wished,))
        assert registry.wishes == {"c1": Wish("draining", 3)}
    await theirs.wish("c1", Wish())
    await until(ours, lambda view: view.nodes == (C1,))


async def test_a_wish_ends_with_the_node(ours: ZooKeeperRegistry, stranger: Stranger) -> None:
    """Who comes back is not drained again."""
    await ours.register(C1)
    await ours.wish("c1", Wish(state="draining"))
    await ours.withdraw(C1)
    await eventually(lambda: stranger.lists() == [])

    await ours.register(C1)

    assert ours.view.comets == {"c1": C1}


@pytest.mark.parametrize("name", ["c2", "", "c1/0000000000", "../x"])
async def test_a_wish_for_nobody_is_refused(ours: ZooKeeperRegistry, name: str) -> None:
    """With the names that there are."""
    await ours.register(C1)

    with pytest.raises(BadInput, match="a comet that is registered: c1"):
        await ours.wish(name, Wish(weight=1))


async def test_nonsense_is_told_once_and_does_nothing(
    ours: ZooKeeperRegistry, stranger: Stranger
) -> None:
    """Bytes, wrong types, a wrong kind of node: a line and a count each; the others are there."""
    await ours.register(C1)
    with structlog.testing.capture_logs() as logs:

        def litter() -> None:
            stranger.puts("c1/", b"\xff\x00\xfe", ephemeral=True, sequence=True)
            stranger.puts("c2/", b'{"weight": 10e9}', ephemeral=True, sequence=True)
            stranger.puts("c3/", b"x" * 100_000, ephemeral=True, sequence=True)
            stranger.puts("c4/lock", encode_node(C1), ephemeral=True)
            stranger.puts("c5/0000000000", b'{"rpc":["h:1"]}')
            stranger.puts("sp ace", b"")
            stranger.puts("last/", b'{"rpc":["h:1"]}', ephemeral=True, sequence=True)

        await trio.to_thread.run_sync(litter)
        await until(ours, lambda view: "last" in view.comets)
        await ours.register(msgspec.structs.replace(C1, weight=2))

    assert set(ours.view.comets) == {"c1", "last"}
    lines = [line for line in logs if line["event"] == "nonsense in the registry"]
    assert len(lines) == ours.nonsense == 6
    assert all(line["why"] and line["path"].startswith(stranger.roots.comet) for line in lines)
    assert {"c1", "c2", "c3", "c4", "c5", "sp ace"} <= set(stranger.lists())


async def test_a_heap_of_nonsense_is_bounded(roots: Roots, stranger: Stranger) -> None:
    """So many are read and no more, and the log says so in few lines."""

    def litter() -> None:
        stranger.zk.ensure_path(roots.message)
        made = [stranger.zk.create_async(f"{roots.message}/{i}") for i in range(MAX_NODES + 100)]
        for each in made:
            each.get()

    await trio.to_thread.run_sync(litter)
    with structlog.testing.capture_logs() as logs:
        async with joining(roots) as registry:
            await registry.register(C1)

            assert registry.view.nodes == (C1,)
            assert registry.nonsense == MAX_NODES + 1
    assert len([line for line in logs if "nonsense" in line["event"]]) < 20


async def test_nonsense_that_changes_all_day_does_not_fill_the_log(
    ours: ZooKeeperRegistry, stranger: Stranger
) -> None:
    """Each is counted; the log has a few lines, and says that there is more."""
    path = await trio.to_thread.run_sync(
        partial(stranger.puts, "c9/0000000001", b"0", ephemeral=True)
    )
    with structlog.testing.capture_logs() as logs:
        for number in range(1, 3 * MAX_LINES):
            seen = ours.nonsense
            await trio.to_thread.run_sync(stranger.zk.set, path, b"%d" % number)
            await eventually(lambda seen=seen: ours.nonsense > seen)  # type: ignore[misc]  # mypy: a default in a lambda

    lines = [line["event"] for line in logs if "nonsense" in line["event"]]
    assert len(lines) <= MAX_LINES + 1
    assert lines[-1] == "more nonsense in the registry"


async def test_what_strangers_do_to_our_entry_is_mended(
    ours: ZooKeeperRegistry, stranger: Stranger
) -> None:
    """Overwritten, or deleted, or all of the tree taken away: it is there again."""
    await ours.register(C1)
    root = stranger.roots.comet

    def overwrite(path: str) -> None:
        stranger.zk.set(path, b"nonsense")

    def delete(path: str) -> None:
        stranger.zk.delete(path)

    def delete_all(path: str) -> None:
        together = stranger.zk.transaction()
        for each in (path, f"{root}/c1", root):
            together.delete(each)
        assert together.commit() == [True] * 3

    for harm in (overwrite, delete, delete_all):
        version = ours.view.version
        (entry,) = await trio.to_thread.run_sync(stranger.lists, "/c1")

        await trio.to_thread.run_sync(harm, f"{root}/c1/{entry}")

        await until(ours, lambda view, seen=version: view.version > seen and view.nodes == (C1,))  # type: ignore[misc]  # mypy: a default in a lambda


async def test_a_node_that_nobody_would_understand_is_refused(ours: ZooKeeperRegistry) -> None:
    """Before anything is written."""
    with pytest.raises(BadInput, match="host:port"):
        await ours.register(Node(Role.COMET, "c1", rpc="nowhere"))

    assert ours.view.nodes == ()


async def test_the_server_decides_on_the_session_time(roots: Roots) -> None:
    """Twenty ticks at most: we must know, for after it others do not see us."""
    async with joining(roots, session_timeout=600.0) as registry:
        client = registry._client
        assert client is not None

        await eventually(lambda: client.session_time == 10.0)


async def test_a_registry_of_creators_is_closed_to_others(roots: Roots) -> None:
    """With digest credentials; without them neither reading nor writing goes, and that is said."""
    secret = "operator:a-long-password"
    async with joining(roots, credentials=secret, creator_only=True) as registry:
        await registry.register(C1)

        with pytest.raises(ConfigError, match="ZooKeeper does not allow it") as refused:
            async with joining(roots):
                pass
        with pytest.raises(ConfigError):
            async with joining(roots, credentials="operator:wrong"):
                pass
        async with joining(roots, credentials=secret, creator_only=True) as other:
            assert other.view.nodes == (C1,)
    assert "password" not in str(refused.value)


async def test_a_place_that_we_may_only_read_refuses_a_node(
    roots: Roots, ours: ZooKeeperRegistry, stranger: Stranger
) -> None:
    """`register` says so; the view goes on."""
    await ours.register(COMET)
    await trio.to_thread.run_sync(stranger.zk.set_acls, roots.message, READ_ACL_UNSAFE)

    with pytest.raises(Forbidden, match=roots.message):
        await ours.register(Node(Role.MESSAGE, "m1", rpc="h:1"))

    heavy = msgspec.structs.replace(COMET, weight=3)
    await ours.register(heavy)
    assert ours.view.nodes == (heavy,)
    assert ours.trouble is None


async def test_a_node_that_may_not_come_back_holds_up_no_other(
    roots: Roots, ours: ZooKeeperRegistry, stranger: Stranger
) -> None:
    """Somebody took its entry and our permission; the other nodes of the process go on."""
    await ours.register(Node(Role.MESSAGE, "m1", rpc="h:1"))
    await ours.register(COMET)

    def close_messages() -> None:
        stranger.zk.set_acls(roots.message, [ACL(NOT_CREATE, ANYONE_ID_UNSAFE)])
        (entry,) = stranger.zk.get_children(roots.message)
        stranger.zk.delete(f"{roots.message}/{entry}")

    await trio.to_thread.run_sync(close_messages)
    await eventually(lambda: ours.trouble is not None)
    heavy = msgspec.structs.replace(COMET, weight=3)

    await ours.register(heavy)

    await until(ours, lambda view: view.nodes == (heavy,))


async def test_a_start_without_zookeeper_ends_in_time() -> None:
    """With where it was looked for."""
    address = f"127.0.0.1:{free_port()}"

    with pytest.raises(Unavailable, match=f"hosts = {address}"):
        async with open_zookeeper(options((address,)), start_timeout=0.3):
            pass


@pytest.mark.skipif(find_spec("puresasl") is None, reason="kazoo needs pure-sasl for SASL")
async def test_sasl_proves_who_we_are(tmp_path: Path, roots: Roots) -> None:
    """DIGEST-MD5, as the server's JAAS file has it; a wrong password does not start."""
    with own_server(tmp_path, node="right") as server:
        good = options(server.hosts, credentials="node:right", sasl=True, creator_only=True)
        async with open_zookeeper(good, roots) as registry:
            await registry.register(C1)

            wrong = options(server.hosts, credentials="node:wrong", sasl=True)
            with pytest.raises(ConfigError, match="refuses our credentials"):
                async with open_zookeeper(wrong, roots, start_timeout=20):
                    pass
            with pytest.raises(ConfigError, match="does not allow"):
                async with open_zookeeper(options(server.hosts), roots):
                    pass


@contextmanager
def own_server(folder: Path, **users: str) -> Iterator[Server]:
    """One to break, or with users of its own."""
    with ExitStack() as stack:
        try:
            server = stack.enter_context(zookeeper(folder, users=users))
        except Missing as missing:
            pytest.skip(str(missing))
        yield server


@pytest.fixture(scope="module")
def members(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Server]]:
    """Three servers, which a test leaves as it found them: all serving."""
    try:
        with ensemble(tmp_path_factory.mktemp("ensemble")) as servers:
            yield servers
    except Missing as missing:
        pytest.skip(str(missing))


@asynccontextmanager
async def pair_on(servers: list[Server]) -> AsyncIterator[list[ZooKeeperRegistry]]:
    chosen, roots = options(hosts(servers)), new_roots()
    async with open_zookeeper(chosen, roots) as ours, open_zookeeper(chosen, roots) as theirs:
        await ours.register(C1)
        await theirs.register(COMET if COMET.name != "c1" else Node(Role.COMET, "c2", 1))
        for registry in (ours, theirs):
            await until(registry, lambda view: len(view.comets) == 2)
        yield [ours, theirs]


async def views_from(
    nursery: trio.Nursery, registries: list[ZooKeeperRegistry]
) -> list[ClusterView]:
    """Every view that they publish from now on, until the nursery ends."""
    shown: list[ClusterView] = []

    async def collect(registry: ZooKeeperRegistry) -> None:
        view = registry.view
        while True:
            view = await registry.wait_newer(view.version)
            shown.append(view)

    for registry in registries:
        nursery.start_soon(collect, registry)
    return shown


async def test_nobody_leaves_when_the_leader_is_killed(members: list[Server]) -> None:
    """The view stays as it is, and what happens after is seen."""
    async with pair_on(members) as (ours, theirs):
        versions = [ours.view.version, theirs.view.version]
        killed = leader(members)

        killed.daemon.kill()
        await ours.register(Node(Role.WEB, "w1", 1))

        await until(theirs, lambda view: any(node.role is Role.WEB for node in view.nodes))
        assert [ours.view.version, theirs.view.version] == [v + 1 for v in versions]
        await trio.to_thread.run_sync(killed.daemon.start)


async def test_the_last_view_stays_while_all_servers_are_frozen(members: list[Server]) -> None:
    """Longer than a session: all nodes stay in it, also while each of them comes back; the trouble is told."""
    async with pair_on(members) as pair, trio.open_nursery() as nursery:
        seen = [registry.view.nodes for registry in pair]
        with structlog.testing.capture_logs() as logs:
            for server in members:
                server.daemon.signal(signal.SIGSTOP)
            try:
                for registry in pair:
                    await eventually(lambda r=registry: "is away since" in (r.trouble or ""))  # type: ignore[misc]  # mypy: a default in a lambda
                    await eventually(lambda r=registry: "may not see us" in (r.trouble or ""))  # type: ignore[misc]
                assert [registry.view.nodes for registry in pair] == seen
                shown = await views_from(nursery, pair)
            finally:
                for server in members:
                    server.daemon.signal(signal.SIGCONT)

            for registry in pair:
                await eventually(lambda r=registry: r.trouble is None)  # type: ignore[misc]
                await until(registry, lambda view: len(view.comets) == 2)
            nursery.cancel_scope.cancel()
        assert all(len(view.comets) == 2 for view in shown)
        warned = [line for line in logs if line["event"] == "others may not see us"]
        assert [line["seconds"] for line in warned] == [SESSION, SESSION]


async def test_what_is_asked_while_zookeeper_is_away_happens_when_it_is_back(
    tmp_path: Path,
) -> None:
    """Announcing does not fail and does not block for ever; it is made good."""
    with own_server(tmp_path) as server:
        chosen, roots = options(server.hosts, call_timeout=0.5), new_roots()
        async with open_zookeeper(chosen, roots) as ours:
            await ours.register(C1)
            server.daemon.kill()
            await eventually(lambda: ours.trouble is not None)

            await ours.withdraw(C1)
            await ours.register(SECOND)
            assert ours.view.nodes == (C1,)
            with pytest.raises(Unavailable):
                await ours.wish("c1", Wish(weight=2))
            await trio.to_thread.run_sync(server.daemon.start)

            await until(ours, lambda view: view.nodes == (SECOND,))


def crowd(stranger: Stranger, home: str, size: int) -> None:
    """Entries that look like older processes, by somebody who stays."""
    for number in range(size):
        stranger.puts(f"{home}/{number:010}", b"{}", ephemeral=True)


async def test_a_crowd_in_our_place_makes_us_register_once(
    roots: Roots, stranger: Stranger, ours: ZooKeeperRegistry
) -> None:
    """An entry of ours that lies behind all that is looked at is still known to be there."""
    await trio.to_thread.run_sync(crowd, stranger, "c1", MAX_PROCESSES + 4)

    await ours.register(C1)

    await trio.to_thread.run_sync(stranger.puts, "c2", b"")
    await ours.register(msgspec.structs.replace(C1, weight=2))
    names = await trio.to_thread.run_sync(stranger.lists, "/c1")
    assert len(names) == MAX_PROCESSES + 5
    assert [node.weight for node in ours.view.nodes if node.rpc == C1.rpc] == [2]
