"""Calls to the back ends of namespaces: one while a client waits to come in, one after it has gone.

    ask    at once, within `timeout`; at most `at_once` of a namespace are under way, others wait their turn
    tell   from a queue: again after 1, 2, 4 ... s if nobody answered, or with 408, 429 or 5xx; `tries` in all

Each namespace has a lane of its own for what is told, so a back end that is away keeps nobody else's waiting.
A lane has its limit, and all lanes together have one: what is above is dropped and counted. A call that is told
again has the same `idempotency-key`: a back end that took it and could not say so knows it again.

Addresses are those of tenants: see appmodel/io/outbound.py for where they may lead. Redirects are not followed.
Source: spec/liutian-push.md 3.4 and W29; the original has no time-out, no retry and no limit.
"""

import random
import secrets
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import structlog
import trio

from appmodel.errors import BadInput, OutcomeUnknown, PushError
from appmodel.io.contain import contain_bugs
from appmodel.io.outbound import Outbound
from comet.config import CallbacksConfig
from comet.core.lightpush_calling import Call, Reply

log = structlog.get_logger("comet")

FIRST_PAUSE = 1.0  # seconds before the second try, at most; doubles up to `max_pause`
AGAIN = frozenset({408, 429})  # statuses that mean: later; and so do 500 and above
ERRORS = 500


class Callbacks:
    """Calls back ends. `run` must be running for what is told."""

    def __init__(self, outbound: Outbound, config: CallbacksConfig) -> None:
        self._outbound, self._config = outbound, config
        self._turns: dict[str, trio.CapacityLimiter] = {}  # by namespace, while somebody is asked
        self._lanes: dict[str, _Lane] = {}  # by namespace, while there is something to tell
        self._nursery: trio.Nursery | None = None
        self._idle = trio.Event()
        self._idle.set()
        self._silent: set[str] = set()  # namespaces whose back end did not answer the last question
        self.waiting = 0  # calls that are to be told
        self.asked = 0
        self.failures = 0  # questions without an answer
        self.told = 0
        self.dropped = 0  # not told: the queue was full, or all tries were in vain
        self.bugs = 0  # of those, the ones that a bug of ours ended

    async def ask(self, call: Call) -> Reply:
        """What a back end answers. Cancelling is safe.

        Raises:
            PushError: nothing, within `timeout`.
        """
        self.asked += 1
        try:
            with self._turn(call.namespace) as turn, trio.fail_after(self._config.timeout):
                async with turn:
                    reply = await self._send(call)
        except trio.TooSlowError:
            self._fail(call, f"no answer within {self._config.timeout:g} s")
            raise OutcomeUnknown("the back end did not answer in time") from None
        except PushError as error:
            self._fail(call, str(error))
            raise
        if call.namespace in self._silent:
            self._silent.discard(call.namespace)
            log.info("back end answers again", namespace=call.namespace)
        return reply

    def tell(self, call: Call) -> None:
        """Make this call, soon, and again until it has come through. Dropped if too much waits."""
        lane = self._lanes.get(call.namespace)
        waits_here = len(lane.calls) if lane is not None else 0
        if (
            self._nursery is None
            or self.waiting >= self._config.backlog
            or waits_here >= self._config.backlog_per_namespace
        ):
            self.dropped += 1
            return
        if lane is None:
            lane = self._lanes[call.namespace] = _Lane()
        lane.calls.append(call)
        self.waiting += 1
        self._idle = trio.Event() if self._idle.is_set() else self._idle
        if lane.workers < self._config.told_at_once:
            lane.workers += 1
            self._nursery.start_soon(self._work, call.namespace, lane)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Tell, until cancelled; what waits then is lost."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            task_status.started()
            try:
                await trio.sleep_forever()
            finally:
                self._nursery = None
                if self.waiting:
                    log.warning("back ends were not told who has gone", calls=self.waiting)

    async def settled(self) -> None:
        """Return when nothing waits to be told."""
        await self._idle.wait()

    @contextmanager
    def _turn(self, namespace: str) -> Iterator[trio.CapacityLimiter]:
        """Its questions go through one limiter, which lives while there are any."""
        turn = self._turns.setdefault(namespace, trio.CapacityLimiter(self._config.at_once))
        try:
            yield turn
        finally:
            seen = turn.statistics()
            if not seen.borrowed_tokens and not seen.tasks_waiting:
                self._turns.pop(namespace, None)

    async def _send(self, call: Call) -> Reply:
        answer = await self._outbound.call(
            call.method,
            call.url,
            headers=call.headers,
            content=call.content,
            within=self._config.timeout,
        )
        return Reply(answer.status, answer.body)

    def _fail(self, call: Call, reason: str) -> None:
        self.failures += 1
        if call.namespace not in self._silent:  # a line for each client would be a flood
            self._silent.add(call.namespace)
            log.warning("back end does not answer", namespace=call.namespace, reason=reason)

    async def _work(self, namespace: str, lane: "_Lane") -> None:
        while lane.calls:
            call = lane.calls.popleft()
            name, came_through = secrets.token_hex(16), False
            try:
                # what a hostile back end may answer with must not end the comet
                with contain_bugs("telling a back end", self._count_bug):
                    came_through = await self._insist(call, name)
            finally:
                self.waiting -= 1
            self.told += came_through
            self.dropped += not came_through
        lane.workers -= 1
        if not lane.workers:
            del self._lanes[namespace]
        if not self.waiting:
            self._idle.set()

    def _count_bug(self, _bug: BaseException) -> None:
        self.bugs += 1

    async def _insist(self, call: Call, name: str) -> bool:
        """Call until somebody has taken it; False if that never happens."""
        named = replace(call, headers=(*call.headers, ("idempotency-key", name)))
        pause, reason = FIRST_PAUSE, ""
        for attempt in range(self._config.tries):
            if attempt:
                await trio.sleep(random.uniform(pause / 2, pause))  # noqa: S311  jitter is no secret
                pause = min(2 * pause, self._config.max_pause)
            try:
                reply = await self._send(named)
            except BadInput as error:  # it may not be called, and will not be in a minute
                reason = str(error)
                break
            except PushError as error:
                reason = str(error)
                continue
            if reply.status not in AGAIN and reply.status < ERRORS:
                return True
            reason = f"status {reply.status}"
        log.warning("back end was not told who has gone", namespace=call.namespace, reason=reason)
        return False


class _Lane:
    """What one back end is to be told."""

    __slots__ = ("calls", "workers")

    def __init__(self) -> None:
        self.calls: deque[Call] = deque()
        self.workers = 0
