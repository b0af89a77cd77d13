"""kazoo, seen from trio: one client of ZooKeeper, whose calls are awaited and whose news arrive in order.

    async with open_client(options, on_link=..., on_change=...) as client:
        await client.children(["/a", "/b"])     in one go: sent together, answered in order
        on_link(Link.SUSPENDED)                 the servers are away
        on_change("/a")                         what was read there is no longer so; None: of all

kazoo lives in three threads of its own. They never touch what is ours: each callback only hands a
function over to trio. What kazoo does not say, or does not do, is made up for here:

- A request wakes kazoo's thread by a byte into a socket that blocks when some 280 wait in it, so the
  calls that are owed an answer are bounded.
- An answer may never come, when a session ends in the wrong moment, so every call has a deadline.
- It waits up to an hour between two dials, and a whole session time for a host that does not answer.
- It ends for good when the credentials are refused, or when a server says what it cannot read.
- It keeps for itself what the server made of the session time that we asked for.
- Its log would have a line per dial, and at level debug the credentials.

Source: kazoo 2.11 client.py, protocol/connection.py; measured in research/trio.md section 4.
"""

import contextlib
import enum
import importlib.util
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import accumulate
from typing import Any

import trio
from kazoo.client import KazooClient
from kazoo.exceptions import (
    AuthFailedError,
    ConnectionClosedError,
    ConnectionLoss,
    KazooException,
    NoAuthError,
    NodeExistsError,
    NoNodeError,
    NotEmptyError,
    OperationTimeoutError,
    SessionExpiredError,
)
from kazoo.handlers.threading import SequentialThreadingHandler
from kazoo.protocol.states import KazooState, KeeperState
from kazoo.retry import KazooRetry
from kazoo.security import CREATOR_ALL_ACL

from appmodel.core.znodes import Znode
from appmodel.errors import ConfigError, Forbidden, OutcomeUnknown, Unavailable

PIPELINE = 64  # calls sent together
MAX_OWED = 128  # calls without an answer; more than 280 would block
REDIAL = {"max_tries": -1, "delay": 0.1, "backoff": 2, "max_delay": 1.0}  # seconds
_AWAY = (
    AuthFailedError,
    ConnectionClosedError,
    ConnectionLoss,
    OperationTimeoutError,
    SessionExpiredError,
)

_quiet = logging.getLogger("kazoo.client")
_quiet.setLevel(logging.ERROR)


class Link(enum.Enum):
    """How we stand with ZooKeeper."""

    CONNECTED = enum.auto()
    SUSPENDED = enum.auto()  # no server can be reached: the session may end, or live on
    LOST = enum.auto()  # the session is over, and with it what was ephemeral


@dataclass(frozen=True, slots=True, kw_only=True)
class ZooKeeperOptions:
    """Where ZooKeeper is, and how long we wait for it. Times in seconds."""

    hosts: Sequence[str] = ("127.0.0.1:2181",)
    session_timeout: float = 30.0  # that we ask for
    connect_timeout: float = 2.0  # of one host
    call_timeout: float = 5.0
    credentials: str = field(default="", repr=False)  # "user:password"; "" = none
    sasl: bool = False  # prove them by SASL DIGEST-MD5; else by ZooKeeper's scheme "digest"
    creator_only: bool = False  # what we create is for the same credentials only


class ZooKeeperClient:
    """Calls of one KazooClient. Each ends within `call_timeout`, and is in order with the others.

    Raises:
        Unavailable: no server is there; nothing was done.
        OutcomeUnknown: no answer came; it may have happened, or happen yet. So if it is cancelled.
        Forbidden: our credentials do not allow it.
    """

    def __init__(
        self,
        options: ZooKeeperOptions,
        *,
        on_link: Callable[[Link], None],
        on_change: Callable[[str | None], None],
    ) -> None:
        self._options = options
        self._on_link = on_link
        self._on_change = on_change
        self._token = trio.lowlevel.current_trio_token()
        self._owed = 0
        self.session_time = options.session_timeout  # seconds, as the server grants them
        self.is_refused = False  # the servers did not accept our credentials
        self._kazoo = _kazoo_client(options)
        self._kazoo.add_listener(self._hear_state)
        self._hear_session_time()

    async def start(self) -> None:
        """Begin to dial; `on_link` tells when it is connected."""
        await trio.to_thread.run_sync(self._kazoo.start_async)

    async def stop(self) -> None:
        """End the session, so that what is ephemeral goes at once. Gives up after `call_timeout`."""
        self._kazoo.remove_listener(self._hear_state)  # that it ends now is no news
        deadline = trio.current_time() + self._options.call_timeout
        with trio.CancelScope(shield=True, deadline=deadline):
            await trio.to_thread.run_sync(self._stop, abandon_on_cancel=True)

    @property
    def session(self) -> int | None:
        """The id of the session; None while not connected."""
        identity = self._kazoo.client_id
        return int(identity[0]) if identity is not None and identity[0] else None

    @property
    def has_ended(self) -> bool:
        """Whether kazoo has given up, so that only a new client can go on; or has not begun yet."""
        return self._kazoo.client_state in (KeeperState.CLOSED, KeeperState.AUTH_FAILED)

    async def children(self, paths: Sequence[str]) -> list[list[str] | None]:
        """The names below each path, sorted, and watched; None where there is no such node."""
        call = partial(self._kazoo.get_children_async, watch=self._hear_change)
        answers = await self._ask([partial(call, path) for path in paths])
        return [
            None if isinstance(answer, NoNodeError) else sorted(_good(answer, path))
            for path, answer in zip(paths, answers, strict=True)
        ]

    async def read(self, paths: Sequence[str]) -> list[Znode | None]:
        """What lies at each path, watched; None where there is no such node."""
        call = partial(self._kazoo.get_async, watch=self._hear_change)
        answers = await self._ask([partial(call, path) for path in paths])
        return [
            None if isinstance(answer, NoNodeError) else _znode(*_good(answer, path))
            for path, answer in zip(paths, answers, strict=True)
        ]

    async def make(self, path: str) -> bool:
        """Make a node that stays, and those above it. False: it was deleted at the same time."""
        return await self._create(path, []) is not None

    async def announce(self, home: str, data: bytes) -> str | None:
        """Make an entry that dies with the session below `home`, which may be missing; its path.

        None: `home` was deleted at the same time, try again.
        """
        entry = partial(self._kazoo.create_async, f"{home}/", data, ephemeral=True, sequence=True)
        return await self._create(home, [entry])

    async def rewrite(self, path: str, data: bytes) -> bool:
        """Replace what lies at `path`. False: there is nothing."""
        (answer,) = await self._ask([partial(self._kazoo.set_async, path, data)])
        if isinstance(answer, NoNodeError):
            return False
        _good(answer, path)
        return True

    async def delete(self, path: str) -> bool:
        """Remove what lies at `path`, if it is there. False: something lies below."""
        (answer,) = await self._ask([partial(self._kazoo.delete_async, path)])
        if isinstance(answer, NoNodeError | NotEmptyError):
            return isinstance(answer, NoNodeError)
        _good(answer, path)
        return True

    async def _create(self, path: str, then: list[Callable[[], Any]]) -> str | None:
        """All levels of `path`, sent together with what comes `then`: nobody can delete in between.

        Returns the path that was made last; None if something was deleted. Only the last outcome counts: a level that we may not make is there already.
        """
        levels = accumulate(f"/{name}" for name in path.strip("/").split("/"))
        makes = [partial(self._kazoo.create_async, level) for level in levels]
        answers = await self._ask([*makes, *then])
        last = answers[-1]
        if isinstance(last, NoNodeError):
            for answer in answers:
                if isinstance(answer, NoAuthError):
                    _good(answer, path)
            return None
        return path if isinstance(last, NodeExistsError) else str(_good(last, path))

    async def _ask(self, calls: Sequence[Callable[[], Any]]) -> list[Any]:
        """The answer to each call, or the KazooException that it failed with."""
        answers: list[Any] = []
        for at in range(0, len(calls), PIPELINE):
            if self.session is None:
                raise Unavailable("ZooKeeper is away")
            if self._owed + PIPELINE > MAX_OWED:
                raise Unavailable("ZooKeeper owes too many answers")
            pending = [self._begin(call) for call in calls[at : at + PIPELINE]]
            with trio.move_on_after(self._options.call_timeout) as patience:
                for _, done in pending:
                    await done.wait()
            if patience.cancelled_caught:
                seconds = self._options.call_timeout
                raise OutcomeUnknown(f"ZooKeeper did not answer within {seconds:g} s")
            answers += [_answer(result) for result, _ in pending]
        return answers

    def _begin(self, call: Callable[[], Any]) -> tuple[Any, trio.Event]:
        done = trio.Event()
        self._owed += 1

        def finish() -> None:
            if not done.is_set():  # kazoo may say it twice
                self._owed -= 1
                done.set()

        result = call()
        result.rawlink(lambda _: self._hand_over(finish))
        return result, done

    def _hear_change(self, event: Any) -> None:
        """In kazoo's thread. Always the same bound method, so kazoo keeps one watch per path."""
        self._hand_over(self._on_change, event.path)

    def _hear_state(self, state: str) -> None:
        """In kazoo's thread."""
        if self._kazoo.client_state == KeeperState.AUTH_FAILED:
            self.is_refused = True
        links = {KazooState.CONNECTED: Link.CONNECTED, KazooState.SUSPENDED: Link.SUSPENDED}
        self._hand_over(self._on_link, links.get(state, Link.LOST))

    def _hear_session_time(self) -> None:
        """kazoo tells nobody what was granted but its own loop, which reads for two thirds of it."""
        connection = self._kazoo._connection  # noqa: SLF001  kazoo is pinned; there is no public way
        connect = connection._connect  # noqa: SLF001

        def remember(*address: Any) -> tuple[float, float]:
            read_timeout, connect_timeout = connect(*address)  # ms
            self.session_time = read_timeout * 1.5 / 1000
            return read_timeout, connect_timeout

        connection._connect = remember  # noqa: SLF001

    def _hand_over(self, function: Callable[..., object], *arguments: object) -> None:
        with contextlib.suppress(trio.RunFinishedError):  # nobody is left who could want to know
            self._token.run_sync_soon(function, *arguments)

    def _stop(self) -> None:
        self._kazoo.stop()
        self._kazoo.close()


@asynccontextmanager
async def open_client(
    options: ZooKeeperOptions,
    *,
    on_link: Callable[[Link], None],
    on_change: Callable[[str | None], None],
) -> AsyncIterator[ZooKeeperClient]:
    """A client that dials until the block ends. Both callbacks run in trio, and must not block.

    Raises:
        ConfigError: SASL is wanted, and its library is not installed.
    """
    client = ZooKeeperClient(options, on_link=on_link, on_change=on_change)
    await client.start()
    try:
        yield client
    finally:
        await client.stop()


class _Handler(SequentialThreadingHandler):  # type: ignore[misc]  # kazoo has no types
    """kazoo's threads, and its dialling, which ends after `connect_timeout` seconds."""

    def __init__(self, connect_timeout: float) -> None:
        super().__init__()
        self._connect_timeout = connect_timeout

    def spawn(self, function: Callable[..., None], *arguments: Any, **options: Any) -> Any:
        """As kazoo's. What ends a thread was logged by kazoo, and its client has ended with it."""

        def run() -> None:
            with contextlib.suppress(Exception):
                function(*arguments, **options)

        return super().spawn(run)

    def create_connection(self, *arguments: Any, **options: Any) -> Any:
        """As kazoo's, but a host that does not answer costs less than a session."""
        options["timeout"] = min(options["timeout"], self._connect_timeout)
        return super().create_connection(*arguments, **options)


def _kazoo_client(options: ZooKeeperOptions) -> Any:
    user, _, password = options.credentials.partition(":")
    if options.sasl and importlib.util.find_spec("puresasl") is None:
        expected = "false, or the package pure-sasl installed: kazoo needs it for SASL"
        raise ConfigError("registry.zookeeper.sasl", True, expected)
    login = {"mechanism": "DIGEST-MD5", "username": user, "password": password}
    digest = {("digest", options.credentials)} if user and not options.sasl else set()
    handler = _Handler(options.connect_timeout)
    return KazooClient(
        hosts=list(options.hosts),
        timeout=options.session_timeout,
        handler=handler,
        default_acl=CREATOR_ALL_ACL if options.creator_only else None,
        auth_data=digest,
        sasl_options=login if options.sasl else None,
        connection_retry=KazooRetry(sleep_func=handler.sleep_func, **REDIAL),
        logger=_quiet,
    )


def _answer(result: Any) -> Any:
    try:
        return result.get(block=False)
    except KazooException as error:
        return error


def _good(answer: Any, path: str) -> Any:
    """The answer if it is one.

    Raises:
        Forbidden, OutcomeUnknown, Unavailable: what kazoo failed with.
    """
    if isinstance(answer, NoAuthError):
        raise Forbidden(f"ZooKeeper does not allow it at {path}")
    if isinstance(answer, _AWAY):
        raise OutcomeUnknown(f"ZooKeeper went away ({type(answer).__name__})")
    if isinstance(answer, KazooException):
        raise Unavailable(f"ZooKeeper refused at {path} ({type(answer).__name__})")
    return answer


def _znode(data: bytes | None, stat: Any) -> Znode:
    return Znode(data or b"", int(stat.ephemeralOwner or 0), int(stat.cversion))
