"""The registry of a cluster: who is alive, as ZooKeeper knows it.

One loop does everything: when something has changed, the tree is read (watched_tree.py); if it says
something else than before, there is a new view; and if it does not say what this process announces, that
is mended (core/mending.py). A change is a watch that fires, a connection that is back, a node to
announce; and once in a while all is read again without any reason.

    ZooKeeper is      the view          trouble
    there             follows it        None
    away              stays             since when; after the session time: others may not see us
    back, same session   follows it     None
    back, new session    follows it     None, as soon as the same nodes are registered again

After ZooKeeper was away, all sessions may be over, and every node registers again in its own time. So a
node that was in the view and is not in the tree keeps its place for one session time.

Source: spec/gopush.md section 4, where a process that loses ZooKeeper for a moment kills itself (C3), comets
know the ring only from a web node (C6), and a change of data is never seen.
"""

import random
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog
import trio

from appmodel.core.cluster import ClusterView, Node, RingKind, Role, with_absent
from appmodel.core.mending import Create, Delete, Plan, Rewrite, Step, doubles, plan
from appmodel.core.znodes import (
    DEFAULT_ROOTS,
    Reading,
    Roots,
    Wish,
    encode_node,
    encode_wish,
    read_tree,
)
from appmodel.errors import BadInput, ConfigError, Forbidden, OutcomeUnknown, Unavailable
from appmodel.io.watched_tree import WatchedTree
from appmodel.io.zookeeper import Link, ZooKeeperClient, ZooKeeperOptions, open_client

MAX_LINES = 10  # of the log about nonsense in LINES_PAUSE; all of it is counted
LINES_PAUSE = 60.0  # seconds: a stranger who writes all day must not fill our disk
WAITING = 5.0  # seconds between two log lines while ZooKeeper is awaited at the start
GLANCE = 0.5  # seconds between two looks at the clock while ZooKeeper is away
PAUSE = 0.1  # seconds before the first new try; doubles
MAX_PAUSE = 5.0  # up to here

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Away:
    """ZooKeeper cannot be reached."""

    since: float  # Unix time
    began: float  # trio's time
    until: float  # trio's time: what the session may have lived for


class ZooKeeperRegistry:
    """A `Registry` whose nodes are in ZooKeeper. Made by `open_zookeeper`."""

    def __init__(
        self, options: ZooKeeperOptions, roots: Roots, ring: RingKind, refresh: float
    ) -> None:
        self._options, self._roots, self._refresh = options, roots, refresh
        self._view = ClusterView(0, (), ring)
        self._tree = WatchedTree(roots)
        self._reading = Reading()
        self._announced: dict[tuple[Role, str], Node] = {}
        self._client: ZooKeeperClient | None = None
        self._away: _Away | None = None
        self._link: Link | None = None  # what the client said last
        self._patient_until = 0.0  # trio's time: who is missing may still come back
        self._withdrawn: set[tuple[Role, str]] = set()
        self._warned = False  # that others may not see us
        self.problem: str | None = None  # why we cannot do our work although ZooKeeper is there
        self._wake = trio.Event()
        self._changed = trio.Event()  # of the view, or of what is settled
        self._asked = self._settled = 0  # announcements: made, and found in place
        self._doubles: set[str] = set()  # paths of others at our addresses
        self._session: int | None = None  # in which they were found
        self._ours: set[str] = set()  # paths of what we have made, and not seen gone
        self.opened = trio.Event()  # there is a view, or a problem
        self._lines, self._lines_until = MAX_LINES, 0.0  # left for the log; until trio's time
        self.nonsense = 0  # entries that could not be understood, ever

    @property
    def view(self) -> ClusterView:
        """The last known view."""
        return self._view

    @property
    def wishes(self) -> Mapping[str, Wish]:
        """What operators wish of comets, by name, as of the last view."""
        return self._reading.wishes

    @property
    def trouble(self) -> str | None:
        """Why the view may be old, or others may not see us; None = all is well."""
        if self._away is None:
            return self.problem
        text = f"ZooKeeper is away since {_instant(self._away.since)}"
        if self._announced and trio.current_time() >= self._away.until:
            text += ", longer than our session: others may not see us any more"
        return text

    async def register(self, node: Node) -> None:
        """Announce `node`, or change what is known of the node of that role and name.

        Returns when it is in our view too; or, with a warning, after two `call_timeout`s: then it
        will be there as soon as ZooKeeper is. Cancelling leaves the announcement in force.

        Raises:
            BadInput: others would not understand it: its name, an address or a number.
            Forbidden: ZooKeeper does not allow it, and it has not been registered before.
        """
        encode_node(node)
        is_new = (node.role, node.name) not in self._announced
        self._withdrawn.discard((node.role, node.name))
        self._announced[node.role, node.name] = node
        if not await self._settle() and is_new and self.problem is not None:
            self._announced.pop((node.role, node.name), None)
            raise Forbidden(self.problem)

    async def withdraw(self, node: Node) -> None:
        """Take back an announcement. Nothing happens if it is gone or of a newer incarnation.

        Waits like `register`. If ZooKeeper is away, the entry goes with the session.
        """
        known = self._announced.get((node.role, node.name))
        if known is None or known.incarnation > node.incarnation:
            await trio.lowlevel.checkpoint()
            return
        del self._announced[node.role, node.name]
        self._withdrawn.add((node.role, node.name))
        await self._settle()

    async def wait_newer(self, version: int) -> ClusterView:
        """The first view with a version above `version`. Cancelling is safe."""
        while self._view.version <= version:
            await self._changed.wait()
        return self._view

    async def wish(self, name: str, wish: Wish) -> None:
        """Lay `wish` over what the processes of a comet say; the empty one takes it back.

        It ends with the last process of that name.

        Raises:
            BadInput: there is no such comet, or a weight is out of its range.
            Unavailable, OutcomeUnknown, Forbidden: ZooKeeper did not take it, or did not say so.
        """
        comets = sorted({node.name for node in self._view.nodes if node.role is Role.COMET})
        expected = f"a comet that is registered: {', '.join(comets) or 'there is none'}"
        if name not in comets:
            raise BadInput("node", name, expected)
        if self._client is None:
            raise Unavailable("ZooKeeper is away")
        if not await self._client.rewrite(f"{self._roots.comet}/{name}", encode_wish(wish)):
            raise BadInput("node", name, expected)

    async def run(self) -> None:
        """Follow ZooKeeper until cancelled; then end the session, and with it what was announced."""
        while True:
            self._link = None
            async with open_client(
                self._options, on_link=self._hear_link, on_change=self._hear_change
            ) as client:
                self._client = client
                await self._follow(client)
                self._client = None
                if client.is_refused:
                    self._object("ZooKeeper refuses our credentials")
            log.warning("zookeeper client ended", then="another one is made")
            await trio.sleep(random.uniform(0, MAX_PAUSE))  # noqa: S311  jitter is no secret

    async def _follow(self, client: ZooKeeperClient) -> None:
        """One round after the other, until the client has ended."""
        failures = 0
        while True:
            self._wake = trio.Event()
            if client.session is not None:
                try:
                    await self._round(client, client.session)
                    failures = 0
                except (Unavailable, OutcomeUnknown, Forbidden) as error:
                    if isinstance(error, Forbidden):
                        self._object(str(error))
                    self._tree.forget(None)
                    pause = min(PAUSE * 2.0**failures, MAX_PAUSE)
                    failures = min(failures + 1, 10)
                    await trio.sleep(random.uniform(0, pause))  # noqa: S311
                    self._wake.set()
            with trio.move_on_after(self._pause(client)) as waited:
                await self._wake.wait()
            if waited.cancelled_caught:
                self._tree.forget(None)
            self._warn_when_unseen()
            if client.has_ended and (waited.cancelled_caught or self._link is Link.LOST):
                return

    def _pause(self, client: ZooKeeperClient) -> float:
        """Seconds to the next round, unless something changes."""
        if client.session is None:
            return GLANCE
        patience = self._patient_until - trio.current_time()
        return min(self._refresh, patience) if patience > 0 else self._refresh

    async def _round(self, client: ZooKeeperClient, session: int) -> None:
        """Read all, tell what is new, mend what is ours."""
        asked = self._asked
        tree = await self._tree.read(client, self._ours)
        self._ours &= tree.keys()
        if self._away is not None:
            self._patient_until = trio.current_time() + client.session_time
        reading = read_tree(tree, self._roots)
        nonsense = {**reading.nonsense, **self._tree.excess}
        self._publish(Reading(reading.entries, reading.wishes, nonsense))
        steps = plan(reading, tree, self._announced.values(), session, self._roots)
        await self._carry_out(client, steps)
        if not steps.announce:
            self._tell_doubles(reading)
            self._be_settled(asked, session)

    async def _carry_out(self, client: ZooKeeperClient, steps: Plan) -> None:
        """Each step that succeeds fires a watch, and so leads to the next round."""
        forbidden: Forbidden | None = None
        for step in (*steps.announce, *steps.tidy):
            try:
                done = await self._take(client, step)
            except Forbidden as error:
                if not isinstance(step, Delete):  # what others left behind may stay
                    forbidden = error
                continue
            if not done and not isinstance(step, Delete):
                self._wake.set()  # somebody deleted what is above it: once more
        if forbidden is not None:
            raise forbidden

    async def _take(self, client: ZooKeeperClient, step: Step) -> bool:
        match step:
            case Create(home, data):
                made = await client.announce(home, data)
                self._ours |= {made} if made is not None else set()
                return made is not None
            case Rewrite(path, data):
                return await client.rewrite(path, data)
            case Delete(path):
                return await client.delete(path)

    def _publish(self, reading: Reading) -> None:
        told = self._reading.nonsense
        new = [(path, why) for path, why in reading.nonsense.items() if told.get(path) != why]
        self.nonsense += len(new)
        self._complain(new)
        self._reading = reading
        nodes = reading.nodes
        if trio.current_time() < self._patient_until:
            known = [n for n in self._view.nodes if (n.role, n.name) not in self._withdrawn]
            nodes = with_absent(nodes, known)
        if nodes != self._view.nodes:
            version, ring = self._view.version + 1, self._view.ring_kind
            self._view = ClusterView(version, nodes, ring)
            self._tell()

    def _tell_doubles(self, reading: Reading) -> None:
        found = {entry.path: entry.node for entry in doubles(reading, self._announced.values())}
        for path in found.keys() - self._doubles:
            address = found[path].rpc
            log.error("our address is announced by another process", address=address, path=path)
        self._doubles = set(found)

    def _complain(self, nonsense: Sequence[tuple[str, str]]) -> None:
        """A few lines now and then."""
        now = trio.current_time()
        if now >= self._lines_until:
            self._lines, self._lines_until = MAX_LINES, now + LINES_PAUSE
        told = nonsense[: max(self._lines, 0)]
        for path, why in told:
            log.warning("nonsense in the registry", path=path, why=why)
        if len(nonsense) > len(told) and self._lines >= 0:
            log.warning("more nonsense in the registry", count=len(nonsense) - len(told))
            self._lines = -1  # enough is said
        self._lines -= len(told)

    def _be_settled(self, asked: int, session: int) -> None:
        """All that was announced is in place, and the view is that of now."""
        if self._away is not None:
            kept = "the same" if session == self._session else "a new one"
            seconds = round(trio.current_time() - self._away.began, 1)
            log.info("zookeeper is back", seconds=seconds, session=kept)
        self._settled, self._session, self._away, self.problem = asked, session, None, None
        self.opened.set()
        self._tell()

    async def _settle(self) -> bool:
        """Wait until what is announced now is in place; False if it cannot be, or not in time."""
        self._asked += 1
        asked = self._asked
        self.problem = None  # it may have been about something else
        self._look()
        with trio.move_on_after(2 * self._options.call_timeout):
            while self._settled < asked and self.problem is None:
                await self._changed.wait()
        if self._settled < asked:
            log.warning("registry not told yet", why=self.trouble or "ZooKeeper is slow")
        return self._settled >= asked

    def _object(self, problem: str) -> None:
        """ZooKeeper is there, and does not let us do our work."""
        if self.problem != problem:
            log.error("registry refuses", why=problem)
        self.problem = problem
        self.opened.set()
        self._tell()

    def _hear_link(self, link: Link) -> None:
        self._link = link
        if link is not Link.CONNECTED and self._away is None and self.opened.is_set():
            now = trio.current_time()
            lives = self._client.session_time if self._client is not None else 0.0
            self._away = _Away(time.time(), now, now + lives)
            self._warned = not self._announced
            log.warning("zookeeper is away", then="the last view stays")
        if link is Link.LOST and self._session is not None:
            self._session = None
            log.warning("registry session is over", then="nodes are registered again")
        self._hear_change(None)

    def _hear_change(self, path: str | None) -> None:
        self._tree.forget(path)
        self._look()

    def _look(self) -> None:
        """Something may have changed."""
        self._wake.set()

    def _warn_when_unseen(self) -> None:
        if self._away is not None and not self._warned and trio.current_time() >= self._away.until:
            self._warned = True
            log.warning("others may not see us", seconds=self._away.until - self._away.began)

    def _tell(self) -> None:
        self._changed.set()
        self._changed = trio.Event()


@asynccontextmanager
async def open_zookeeper(
    options: ZooKeeperOptions,
    roots: Roots = DEFAULT_ROOTS,
    *,
    ring: RingKind = RingKind.SHA,
    refresh: float = 30.0,
    start_timeout: float = 30.0,
) -> AsyncIterator[ZooKeeperRegistry]:
    """A registry with its first view; what it announces goes when the block ends.

    Args:
        refresh: seconds after which the tree is read although nothing has changed.
        start_timeout: seconds to wait for ZooKeeper, with a line of the log now and then.

    Raises:
        Unavailable: ZooKeeper did not answer in time.
        ConfigError: it does not accept the credentials, or does not let them read.
    """
    registry = ZooKeeperRegistry(options, roots, ring, refresh)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(registry.run)
            await _wait_opened(registry, options, start_timeout)
            yield registry
            nursery.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        if len(group.exceptions) > 1:
            raise
        raise group.exceptions[0] from None


async def _wait_opened(
    registry: ZooKeeperRegistry, options: ZooKeeperOptions, seconds: float
) -> None:
    hosts = ", ".join(options.hosts)
    end = trio.current_time() + seconds
    while not registry.opened.is_set():
        left = end - trio.current_time()
        if left <= 0:
            text = (
                f"no ZooKeeper answered within {seconds:g} s (registry.zookeeper.hosts = {hosts})"
            )
            raise Unavailable(text)
        with trio.move_on_after(min(left, WAITING)) as patience:
            await registry.opened.wait()
        if patience.cancelled_caught:
            log.warning("waiting for zookeeper", hosts=hosts, seconds_left=round(left))
    if registry.problem is not None:
        shown = "********" if options.credentials else ""
        raise ConfigError("registry.zookeeper.credentials", shown, registry.problem)


def _instant(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
