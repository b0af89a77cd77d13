"""A process of the cluster: starts its parts, and stops them in the reverse order.

    start     message, comet, web: a part that answers needs those before it
    SIGTERM   web stops accepting and finishes, then comet says goodbye, then message: exit 0
    late      a part that needs longer than node.drain_timeout is cut off: exit 1, and its name is logged
    again     a second signal cuts off all of them
    leave     a part may ask for all that itself: its node was drained by an operator
    line      the end of a worker's line (worker.py) is a SIGTERM of its supervisor
    crash     an error out of a part ends the process with its traceback: a supervisor restarts it

Parts are found by the entry points `appmsgsrv.nodes`, so that no package imports another; their sections of the
configuration by `appmsgsrv.sections`, for nodes may share a file and need not be able to run what else it names.
"""

import contextlib
import faulthandler
import gc
import resource
import secrets
import signal
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, fields
from importlib.metadata import entry_points
from typing import Protocol

import msgspec
import structlog
import trio

from appmodel.core.credentials import Credentials
from appmodel.core.interfaces import Registry
from appmodel.core.revocations import Revocations
from appmodel.errors import ConfigError, PushError, Unavailable
from appmodel.io.database import Database
from appmodel.io.peers import Peers
from appmodel.io.rpc_link import RpcLimits
from appmodel.io.rpc_strangers import RpcCounts
from appmodel.io.user_tokens import UserTokens
from appmodel.runtime import systemd
from appmodel.runtime.config import Secret, load_secret, make_secret
from appmodel.runtime.crew import Crew
from appmodel.runtime.databases import open_database
from appmodel.runtime.logins import open_tokens
from appmodel.runtime.logs import dropped_lines
from appmodel.runtime.metrics import Metrics
from appmodel.runtime.ops import Health
from appmodel.runtime.registries import observe_registry, open_registry
from appmodel.runtime.settings import Settings
from appmodel.runtime.worker import Line, Sockets, Word, take_handed

PARTS, SECTIONS = "appmsgsrv.nodes", "appmsgsrv.sections"
ORDER = ("message", "comet", "web")
# A node holds very many objects that live long and few that are garbage in cycles: a look at all of
# them takes 100 ms with 100,000 connections, so it is rare, and what was made before "ready" is left out.
# `appmsg` sets it before it imports the parts: looking for garbage among modules is a tenth of the start.
COLLECT = (10_000, 20, 1_000)
PATIENCE = 1.0  # seconds on top of node.drain_timeout, for a part that uses all of it
LAST_RESORT = 3.0  # seconds for what was cut off to end by itself

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Address:
    """Where a part can be reached: "WebSocket", "ws://127.0.0.1:6968/sub"."""

    name: str
    url: str


Leave = Callable[[str], None]
"""Stops the whole process as SIGTERM does, and for good: a supervisor does not start it again.

Told why, for the log. It returns at once; the parts see their `stop`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What a part gets from the process that it lives in."""

    settings: Settings
    parts: frozenset[str]  # all that live in this process, this one included
    registry: Registry
    peers: Peers
    database: Database  # connects when it is first used
    metrics: Metrics
    health: Health
    credentials: Credentials
    revocations: Revocations
    tokens: UserTokens
    rpc_secret: bytes | None  # of the cluster; None: calls on loopback only
    rpc_limits: RpcLimits
    rpc_counts: RpcCounts  # of all that this process calls, and that call it
    sockets: Sockets  # where listeners get theirs
    leave: Leave


class Serve(Protocol):
    """The life of a part."""

    async def __call__(
        self,
        context: Context,
        stop: trio.Event,
        *,
        task_status: trio.TaskStatus[list[Address]],
    ) -> None:
        """Open, `started(addresses)`, serve until `stop`, drain, return."""


@dataclass(frozen=True, slots=True)
class NodePart:
    """One of message, comet, web, and what it does."""

    name: str
    serve: Serve
    crew: Callable[[Settings], Crew] | None = None  # of the workers; None: there is only one


def find_parts(names: Collection[str] = ORDER) -> dict[str, NodePart]:
    """Those parts that are installed, by name, in the order of their start. Nothing else is imported.

    A part that is not run costs nothing then: web is 40 MB, and a third of the time to start.
    """
    entries = {entry.name: entry for entry in entry_points(group=PARTS)}
    return {name: entries[name].load() for name in ORDER if name in names and name in entries}


def find_sections() -> dict[str, type[msgspec.Struct]]:
    """The root section of each part that is installed, by its name."""
    entries = {entry.name: entry for entry in entry_points(group=SECTIONS)}
    return {name: entries[name].load() for name in ORDER if name in entries}


Ready = Callable[[Sequence[Address], float], None]
"""Told the addresses, and the seconds since the start, once all parts serve."""


def run(
    parts: Iterable[NodePart],
    settings: Settings,
    *,
    began: float | None = None,
    on_ready: Ready = lambda addresses, seconds: None,
) -> int:
    """Run `parts` until SIGTERM or SIGINT; the exit code of the process.

    Args:
        parts: in the order of their start.
        began: `time.monotonic()` of the start of the process.

    Raises:
        PushError: a part cannot start: a wrong setting, a taken port, a store that does not open.
    """
    sockets, line = take_handed()
    began = time.monotonic() if began is None else began
    process = _Process(list(parts), settings, began, sockets, line)
    raise_open_files(settings.node.open_files)
    try:
        trio.run(process.serve, on_ready)
    except BaseExceptionGroup as group:
        error = _single(group)
        if isinstance(error, PushError) and not process.is_ready:
            raise error from None
        log.critical("crashed", exc_info=error)
        return 1
    finally:
        faulthandler.cancel_dump_traceback_later()
    if process.hung:
        log.error("stopped", cut_off=process.hung)
        return 1
    log.info("stopped")
    return 0


def raise_open_files(wanted: int) -> int:
    """Raise the limit of open descriptors as far as is allowed; what it is now."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # a system with a hidden lower bound
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit < wanted:
        log.warning("too few descriptors", limit=limit, wanted=wanted, key="node.open_files")
    return limit


@asynccontextmanager
async def open_context(
    settings: Settings,
    parts: Iterable[str],
    *,
    sockets: Sockets | None = None,
    leave: Leave = lambda reason: None,
) -> AsyncIterator[Context]:
    """What these parts share. Its connections to other nodes live until the block ends."""
    rpc_secret = load_secret("rpc", settings.rpc.secret, settings.rpc.secret_file).encode() or None
    rpc_limits = _rpc_limits(settings)
    rpc_counts = RpcCounts()
    metrics = Metrics()
    async with (
        open_registry(settings) as registry,
        Peers(
            registry,
            secret=rpc_secret,
            limits=rpc_limits,
            me=settings.node.name,
            counts=rpc_counts,
        ) as peers,
        contextlib.AsyncExitStack() as stack,
    ):
        _observe_rpc(metrics, rpc_counts)
        observe_registry(metrics, registry)
        metrics.counter("log_dropped", "Log lines that nobody read in time.", dropped_lines)
        health, names = Health(), frozenset(parts)
        database = await stack.enter_async_context(open_database(settings, names, health))
        metrics.counter(
            "database_statements",
            "SQL statements sent to the application's database.",
            lambda: database.statements,
        )
        secret, revocations = credentials_secret(settings).encode(), Revocations()
        tokens = await stack.enter_async_context(
            open_tokens(settings, secret, database, revocations, peers)
        )
        yield Context(
            settings=settings,
            parts=names,
            registry=registry,
            peers=peers,
            database=database,
            metrics=metrics,
            health=health,
            credentials=Credentials(secret),
            revocations=revocations,
            tokens=tokens,
            rpc_secret=rpc_secret,
            rpc_limits=rpc_limits,
            rpc_counts=rpc_counts,
            sockets=sockets or Sockets(),
            leave=leave,
        )


def credentials_secret(settings: Settings) -> Secret:
    """What signs tickets and access tokens.

    With auth off nothing is checked, and a secret of this process alone will do.

    Raises:
        ConfigError: auth is on, and there is none, and this is not a home node that may make one.
    """
    auth = settings.auth
    secret = load_secret("auth", auth.secret, auth.secret_file)
    if secret:
        return secret
    if auth.mode == "off":
        return Secret(secrets.token_urlsafe(48))
    if not settings.node.home:
        expected = f"a secret, here or in auth.secret_file ({auth.secret_file})"
        raise ConfigError("auth.secret", secret, expected)
    log.warning("made a secret for tickets and access tokens", file=str(auth.secret_file))
    return make_secret(auth.secret_file)


def _observe_rpc(metrics: Metrics, counts: RpcCounts) -> None:
    metrics.gauge("rpc_connections", "Nodes that call this one.", lambda: counts.connections)
    metrics.counter(
        "rpc_refused",
        "Peers that called and were refused, by reason.",
        lambda: counts.refused,
        labels=("reason",),
    )
    metrics.counter(
        "rpc_client_failures",
        "Connections to other nodes that failed, by reason.",
        lambda: counts.failures,
        labels=("reason",),
    )
    metrics.counter(
        "rpc_hedges", "Calls to one more message node: the others hung.", lambda: counts.hedges
    )


def _rpc_limits(settings: Settings) -> RpcLimits:
    given = msgspec.structs.asdict(settings.rpc)
    bounds = {bound.name: given[bound.name] for bound in fields(RpcLimits) if bound.name in given}
    return RpcLimits(**bounds, drain_timeout=settings.node.drain_timeout)


def _single(error: BaseException) -> BaseException:
    """The one error in a group of groups; the group if there are more."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


class _Process:
    """The parts of this process, from start to stop."""

    def __init__(
        self,
        parts: Sequence[NodePart],
        settings: Settings,
        began: float,
        sockets: Sockets,
        line: Line,
    ) -> None:
        self._running = [_Running(part) for part in parts]
        self._settings = settings
        self._began = began
        self._sockets = sockets
        self._line = line
        self._stop = trio.Event()
        self.is_ready = False

    @property
    def hung(self) -> list[str]:
        """The parts that were cut off."""
        return [running.part.name for running in self._running if running.cut_off]

    async def serve(self, on_ready: Ready) -> None:
        """Start, wait for a signal, stop. An error out of a part comes out of here."""
        async with trio.open_nursery() as outer:
            await outer.start(self._watch_signals, outer.cancel_scope)
            outer.start_soon(self._watch_line, outer.cancel_scope)
            names = [running.part.name for running in self._running]
            async with (
                open_context(
                    self._settings, names, sockets=self._sockets, leave=self._leave
                ) as context,
                trio.open_nursery() as nursery,
            ):
                context.health.add("node", self._state)
                for running in self._running:
                    await self._start(running, context, nursery)
                await trio.lowlevel.checkpoint()  # a part that has crashed already is not ready
                self._announce(on_ready)
                await self._stop.wait()
                for running in reversed(self._running):
                    await self._drain(running)
                self._end_soon()
            outer.cancel_scope.cancel()

    async def _start(self, running: "_Running", context: Context, nursery: trio.Nursery) -> None:
        timeout = self._settings.node.start_timeout
        with trio.move_on_after(timeout) as patience:
            running.addresses = await nursery.start(running.run, context)
        if patience.cancelled_caught:
            raise Unavailable(f"{running.part.name} was not ready within {timeout:g} s")

    def _announce(self, on_ready: Ready) -> None:
        gc.collect()
        gc.freeze()
        seconds = round(time.monotonic() - self._began, 3)
        addresses = [address for running in self._running for address in running.addresses]
        self.is_ready = True
        named = {address.name: address.url for address in addresses}
        log.info("ready", node=self._settings.node.name, seconds=seconds, addresses=named)
        on_ready(addresses, seconds)
        self._line.say(Word.READY)
        systemd.notify_ready()

    async def _drain(self, running: "_Running") -> None:
        """Ask a part to stop. One that does not is cut off, and the next is asked all the same."""
        running.stop.set()
        with trio.move_on_after(self._settings.node.drain_timeout + PATIENCE):
            await running.ended.wait()
            return
        log.error("did not stop in time", part=running.part.name)
        running.scope.cancel()
        with trio.move_on_after(LAST_RESORT):
            await running.ended.wait()

    def _end_soon(self) -> None:
        """What cannot even be cancelled must not keep the process: it shows where it stands."""
        if not all(running.ended.is_set() for running in self._running):
            faulthandler.dump_traceback_later(LAST_RESORT, exit=True)

    async def _watch_signals(
        self, everything: trio.CancelScope, *, task_status: trio.TaskStatus[None]
    ) -> None:
        received = 0
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            task_status.started()
            async for number in signals:
                received += 1
                log.info("stopping", signal=signal.Signals(number).name)
                if received > 1:
                    for running in self._running:
                        if not running.ended.is_set():
                            running.scope.cancel()
                    self._end_soon()
                self._begin_to_stop(everything)

    async def _watch_line(self, everything: trio.CancelScope) -> None:
        await self._line.wait_end()
        log.info("stopping", reason="the supervisor asks for it, or is gone")
        self._begin_to_stop(everything)

    def _leave(self, reason: str) -> None:
        if not self._stop.is_set():
            log.info("leaving", reason=reason)
            self._line.say(Word.LEAVING)
            systemd.notify_stopping()
            self._stop.set()

    def _begin_to_stop(self, everything: trio.CancelScope) -> None:
        if not self.is_ready:  # nobody is served yet
            everything.cancel()
        elif not self._stop.is_set():
            systemd.notify_stopping()
        self._stop.set()

    def _state(self) -> str | None:
        if self._stop.is_set():
            return "stopping"
        return None if self.is_ready else "starting"


@dataclass(slots=True)
class _Running:
    """One part while the process lives."""

    part: NodePart
    addresses: list[Address] = field(default_factory=list)
    stop: trio.Event = field(default_factory=trio.Event)
    ended: trio.Event = field(default_factory=trio.Event)
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)

    @property
    def cut_off(self) -> bool:
        return self.scope.cancel_called

    async def run(self, context: Context, *, task_status: trio.TaskStatus[list[Address]]) -> None:
        try:
            with self.scope:
                await self.part.serve(context, self.stop, task_status=task_status)
        except Exception as error:
            error.add_note(f"in the part {self.part.name!r}")
            raise
        finally:
            self.ended.set()
        if not self.stop.is_set() and not self.cut_off:
            raise RuntimeError(f"the part {self.part.name!r} ended although nobody asked it to")
