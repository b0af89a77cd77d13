"""The message nodes as one: whoever of them answers first.

    0 s      a well node is asked                   each process begins with another one, and stays with it
    hedge    no answer: the next well node too      the first answer counts
    half of the time left: a suspect node too       so also when the well ones hang

They share what they keep, so the next one takes what one of them cannot. If it was not reached, that is
always safe. If the outcome is unknown, or still open, it is safe for what may happen twice: reads, and
whatever is known again by its push id or name. `delete` and `sweep` count what they did: they are asked
of one node at a time, and not again when it may have done it.

A node that was silent for the time of a hedge, failed, or refused to store is suspect: it is asked
last until it has answered a probe, a small read that nobody waits for. Only well nodes are hedged to:
when the store itself is slow all nodes are suspect soon, and it is not asked twice.

A process that was frozen, or whose machine stood still, finds its deadlines over although nobody here
could ask or hear. Then the time of a call begins anew, once, if it is safe to ask again.

Source: ours. "Hedged requests": Dean and Barroso, The Tail at Scale (2013).
"""

import hashlib
import math
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Generic, Self, TypeVar

import trio

from appmodel.core.cluster import Node
from appmodel.core.interfaces import Registry
from appmodel.core.message import Feed, Save, Saved
from appmodel.errors import NotStored, OutcomeUnknown, PushError, Unavailable
from appmodel.io.calls import DELETE, FEED, SWEEP, Call, RemoteStore
from appmodel.io.rpc_client import Pending, RpcClient
from appmodel.io.rpc_strangers import RpcCounts

Argument = TypeVar("Argument")
Result = TypeVar("Result")

ONCE = frozenset({DELETE.method, SWEEP.method})  # what must not happen twice
STANDSTILL = 1.0  # seconds by which a wait is late: then it was not the node that was silent
PROBE_PAUSE = 1.0  # seconds between a probe that failed and the next
PROBE_TIME = 30.0  # seconds for its answer: a frozen node gives it when it wakes up


def rank(caller: str, node: str) -> bytes:
    """Callers prefer message nodes of low rank: each other ones, and the others stay when one comes."""
    return hashlib.blake2b(f"{caller}/{node}".encode(), digest_size=8).digest()


class SharedStore(RemoteStore):
    """The `OfflineStore` of all message nodes."""

    async def save(self, saves: Sequence[Save]) -> list[Saved]:
        try:
            return await super().save(saves)
        except NotStored:
            raise
        except Unavailable as error:
            raise NotStored(str(error)) from None


class MessageNodes:
    """A `Caller` whose calls are answered by one of the message nodes."""

    def __init__(
        self,
        registry: Registry,
        client: Callable[[Node], RpcClient],
        *,
        hedge: float,
        me: str,
        counts: RpcCounts,
    ) -> None:
        """`client` may raise Unavailable. `hedge` in seconds. `me`: who asks, so where it begins."""
        self._registry = registry
        self._client = client
        self._hedge = hedge
        self._me = me
        self._ranked: tuple[int, list[Node]] = (-1, [])  # of a version of the view
        self._suspects: dict[str, _Suspect] = {}  # by address
        self._counts = counts

    async def call(
        self,
        call: Call[Argument, Result],
        argument: Argument,
        *,
        timeout: float,  # noqa: ASYNC109  it is shared by all nodes
    ) -> Result:
        """The first answer. Cancelling is safe; what was sent is still carried out.

        It takes at most `timeout` seconds; as many again, and the standstill, if this process stood still.

        Raises:
            Unavailable: none of them was reached, or there are none: nothing was done.
            OutcomeUnknown: one of them may have done it.
            PushError: what a node answered, and no other may have done it.
        """
        nodes = self._in_order()
        with _Race(call, argument, timeout, self._hedge, self._suspect) as race:
            if await self._ask_in_turn(nodes, race):
                return race.answers[0]
            if race.begins_anew() and await self._ask_in_turn(nodes, race):
                return race.answers[0]
            raise race.failure()

    async def _ask_in_turn(self, nodes: list[Node], race: "_Race[Argument, Result]") -> bool:
        """Whether one has answered in the time of the race."""
        for number, node in enumerate(nodes, 1):
            self._counts.hedges += race.is_open
            race.ask(node, self._client)
            following = nodes[number] if number < len(nodes) else None
            if await race.is_won(self._ask_next_at(following, race)):
                return True
            if race.is_refused:
                break
        return await race.is_won(race.end)  # by one that was asked beside the one that refused

    def _in_order(self) -> list[Node]:
        """The well ones first; among them always the same."""
        view = self._registry.view
        version, ranked = self._ranked
        if version != view.version:
            ranked = sorted(view.messages, key=lambda node: rank(self._me, node.name))
            self._ranked = view.version, ranked
            present = {node.rpc for node in ranked}
            self._suspects = {a: s for a, s in self._suspects.items() if a in present}
        if not self._suspects:
            return ranked
        for node in ranked:
            suspect = self._suspects.get(node.rpc)
            if suspect is not None and suspect.has_recovered(node, self._client):
                del self._suspects[node.rpc]
        return sorted(ranked, key=lambda node: node.rpc in self._suspects)

    def _suspect(self, node: Node) -> None:
        self._suspects.setdefault(node.rpc, _Suspect())

    def _ask_next_at(self, following: Node | None, race: "_Race[Argument, Result]") -> float:
        """When the following node is asked too, if nobody has answered."""
        if following is None or race.is_once:
            return race.end
        now = trio.current_time()
        if following.rpc in self._suspects:
            return now + (race.end - now) / 2
        return min(race.end, now + self._hedge)


class _Race(Generic[Argument, Result]):
    """One call, and the nodes that have it. Who is still asked when the block ends is not waited for."""

    def __init__(
        self,
        call: Call[Argument, Result],
        argument: Argument,
        timeout: float,
        hedge: float,
        on_fault: Callable[[Node], None],
    ) -> None:
        """Times in seconds. `on_fault` is told of each node that failed, or was silent for too long."""
        self._call, self._argument = call, argument
        self._timeout, self._hedge = timeout, hedge
        self._on_fault = on_fault
        self._stood_still = False  # this process did: a wait was late
        self.end = trio.current_time() + timeout
        self._lot = trio.lowlevel.ParkingLot()
        self._asked: list[tuple[Node, Pending[Result]]] = []
        self.is_once = call.method in ONCE
        self.is_refused = False  # somebody said no: nobody else is to be asked
        self.answers: list[Result] = []
        self._failure: PushError = Unavailable("no message node is registered")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for _, pending in self._asked:
            pending.leave()

    @property
    def is_open(self) -> bool:
        """Somebody was asked and is silent."""
        return bool(self._asked)

    def ask(self, node: Node, client: Callable[[Node], RpcClient]) -> None:
        """One more."""
        left = max(0.0, self.end - trio.current_time())
        try:
            pending = client(node).begin(self._call, self._argument, timeout=left, lot=self._lot)
        except PushError as error:
            self._fail(node, error)
        else:
            self._asked.append((node, pending))

    async def is_won(self, until: float) -> bool:
        """Whether one has answered. Waits for it, as long as there is one to wait for."""
        soon = min(until, trio.current_time() + self._hedge)
        for end in (soon, until):  # how late a short wait is tells that we stood still
            with trio.CancelScope(deadline=end) as patience:
                await self._hear_first()
            if not patience.cancelled_caught:
                return bool(self.answers)
            self._stood_still |= trio.current_time() > end + STANDSTILL
        if not self._stood_still:
            for node, _ in self._asked:
                self._on_fault(node)
        return bool(self.answers)

    def begins_anew(self) -> bool:
        """If it was lost because this process stood still, and may be run again, its time begins now."""
        self.failure()  # what must not happen twice is refused if it is in doubt
        if not self._stood_still or self.is_refused:
            return False
        self.end = trio.current_time() + self._timeout
        return True

    def failure(self) -> PushError:
        """Why there is no answer, and will be none: whoever is silent still is in doubt."""
        asked, self._asked = self._asked, []
        for node, pending in asked:
            pending.leave()
            self._hear(node, pending)
        return self._failure

    async def _hear_first(self) -> None:
        """Return when one has answered, or nobody is left who could."""
        while self._asked and not self.answers:
            done = [each for each in self._asked if each[1].is_done]
            if not done:
                await self._lot.park()
            for each in done:
                self._asked.remove(each)
                self._hear(*each)

    def _hear(self, node: Node, pending: Pending[Result]) -> None:
        try:
            self.answers.append(pending.result())
        except PushError as error:
            self._fail(node, error)

    def _fail(self, node: Node, error: PushError) -> None:
        """A doubt stays: that another node refused does not undo what the first may have done."""
        if not isinstance(self._failure, OutcomeUnknown):
            self._failure = error
        if isinstance(error, Unavailable | OutcomeUnknown):
            self._on_fault(node)
        goes_on = isinstance(error, Unavailable) and not isinstance(error, NotStored)
        goes_on = goes_on or (isinstance(error, OutcomeUnknown) and not self.is_once)
        self.is_refused = self.is_refused or not goes_on


class _Suspect:
    """A node that is asked last, and the small read that will clear it."""

    __slots__ = ("_next_at", "_probe")

    def __init__(self) -> None:
        self._probe: Pending[Feed] | None = None
        self._next_at = -math.inf  # on trio's clock

    def has_recovered(self, node: Node, client: Callable[[Node], RpcClient]) -> bool:
        """Whether the probe is answered. Probes it if that is due; never waits."""
        if self._probe is not None and self._probe.is_done:
            try:
                self._probe.result()
                return True
            except PushError:
                self._probe, self._next_at = None, trio.current_time() + PROBE_PAUSE
        if self._probe is None and trio.current_time() >= self._next_at:
            try:
                self._probe = client(node).begin(FEED, (-1, 1), timeout=PROBE_TIME)
            except PushError:
                self._next_at = trio.current_time() + PROBE_PAUSE
        return False
