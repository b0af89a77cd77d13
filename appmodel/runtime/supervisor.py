"""Several workers of one node, each a process of its own: start them, keep them running, roll them.

    dies             it is started again after a pause, with jitter, that doubles each time
    is drained       by an operator: it ends and is not started again, and its ports are closed
    SIGHUP           one after the other is replaced: the new process starts beside the old one, under its
                     name and at its ports, and once it is ready the old one drains. If it does not get
                     ready, the old one stays, and so do those that had no turn yet
    SIGTERM, SIGINT  all drain; who takes too long is killed, after a second signal at once
    SIGKILL          nothing can be done here: the workers see the end of their lines, and drain

The first start is given up if a worker refuses its settings (exit code 2). Later ones are not: the
settings may have been changed meanwhile, and may be again.

A worker is asked to stop by the end of its line, not by a signal: a service manager may send its own
SIGTERM to each process beside ours, and a worker takes a second one for impatience. Each is a session of
its own, so that Ctrl-C is for the supervisor alone.

Plain synchronous code: it sleeps in one select until a worker speaks, a signal comes or a time is due.

Source: research/trio.md section 10.
"""

import random
import selectors
import signal
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from math import inf

import structlog

from appmodel.errors import ConfigError, PushError
from appmodel.runtime import systemd
from appmodel.runtime.children import Child, Signals
from appmodel.runtime.config import require_safe
from appmodel.runtime.crew import Crew, Opened, Place, Use, close_all
from appmodel.runtime.service import Address, NodePart, Ready, raise_open_files
from appmodel.runtime.settings import Settings
from appmodel.runtime.worker import Word

REFUSED = 2  # the exit code of a process whose settings are wrong
BOOT = 10.0  # seconds for imports, on top of what a node may take to start

Reload = Callable[[], Crew | None]
"""Reads the settings again: the workers that they ask for, or None for a single one.

Raises ConfigError."""

log = structlog.get_logger(__name__)


def find_crew(parts: Sequence[NodePart], settings: Settings) -> Crew | None:
    """The workers that the settings ask for; None if there is to be one, in this process.

    Raises:
        ConfigError: there cannot be several here.
    """
    crews = [part.crew(settings) for part in parts if part.crew is not None]
    crew = next((crew for crew in crews if crew.workers > 1), None)
    if crew is None:
        return None
    path = f"{crew.part}.workers"
    if len(parts) > 1:
        expected = f"expected 1 beside other parts; `appmsg {crew.part}` can be several"
        raise ConfigError(path, crew.workers, expected)
    if settings.registry.kind == "embedded":
        expected = 'expected 1, or registry.kind = "zookeeper": each worker is a node of the ring'
        raise ConfigError(path, crew.workers, expected)
    for listener in crew.listeners:
        if listener.use is not Use.NODES:
            require_safe(listener.path, listener.host, settings.auth)
    return crew


def supervise(
    crew: Crew,
    command: Sequence[str],
    *,
    reload: Reload,
    began: float | None = None,
    on_ready: Ready = lambda addresses, seconds: None,
) -> int:
    """Run the workers until SIGTERM or SIGINT, or until all of them were drained; the exit code.

    Args:
        command: starts a worker; `--set SECTION.KEY=VALUE` is added for what distinguishes it.
        reload: asked at SIGHUP. New names, hosts, ports and numbers of workers need a restart.
        began: `time.monotonic()` of the start of the process.
        on_ready: told the shared addresses, once all workers serve.

    Returns:
        0; 1 if a worker failed while it stopped; 2 if one refused its settings at the first start.

    Raises:
        ConfigError: an address is taken or wrong.
    """
    began = time.monotonic() if began is None else began
    raise_open_files(0)  # ten sockets for each worker
    with Signals() as signals, selectors.DefaultSelector() as selector:
        supervisor = _Supervisor(crew, command, reload, selector)
        return supervisor.run(signals, lambda: _announce(supervisor.places, crew, began, on_ready))


def _announce(places: Sequence[Place], crew: Crew, began: float, on_ready: Ready) -> None:
    seconds = round(time.monotonic() - began, 3)
    urls = places[0].shared_urls()
    log.info("ready", node=crew.node, workers=crew.workers, seconds=seconds, addresses=urls)
    on_ready([Address(path, url) for path, url in urls.items()], seconds)


@dataclass(slots=True)
class _Post:
    """A place, and who works there."""

    place: Place
    now: Child | None = None
    next: Child | None = None  # starts beside `now`, to replace it
    going: Child | None = None  # was replaced, and drains
    start_at: float = inf  # when a dead one is started again
    pause: float = 0.0  # seconds: the last one
    left: Opened = field(default_factory=dict)  # the sockets of a dead one, for its successor

    @property
    def children(self) -> list[Child]:
        """All processes."""
        return [each for each in (self.now, self.next, self.going) if each is not None]

    @property
    def is_changing(self) -> bool:
        """Whether one begins or ends."""
        now = self.now
        return (
            self.next is not None
            or self.going is not None
            or (now is not None and (not now.is_ready or now.is_leaving))
        )

    @property
    def is_settled(self) -> bool:
        """Whether its worker serves, or was drained."""
        if self.now is not None:
            return self.now.is_ready
        return self.start_at == inf and not self.place.is_open

    @property
    def due(self) -> float:
        """When somebody has to look here, at the latest."""
        return min([self.start_at, *(each.due for each in self.children)])

    def close(self) -> None:
        """Listen no more."""
        self.place.close()
        close_all(self.left)
        self.left = {}


def _how(code: int) -> str:
    """How a process has ended: "exit code 1", "SIGKILL"."""
    if code >= 0:
        return f"exit code {code}"
    known = {number.value: number.name for number in signal.Signals}  # not all real-time ones
    return known.get(-code, f"signal {-code}")


class _Supervisor:
    """The loop, and what it knows. Only `run` waits."""

    def __init__(
        self, crew: Crew, command: Sequence[str], reload: Reload, selector: selectors.BaseSelector
    ) -> None:
        shared: dict[str, int] = {}
        self.places = [Place(crew, number, shared) for number in range(1, crew.workers + 1)]
        self._posts = [_Post(place) for place in self.places]
        self._crew = crew
        self._command = command
        self._reload = reload
        self._selector = selector
        self._is_stopping = False
        self._was_ready = False
        self._code = 0
        self._to_roll: deque[_Post] = deque()
        self._rolling: _Post | None = None
        self._roll_began = inf

    def run(self, signals: Signals, on_ready: Callable[[], None]) -> int:
        """Until no process is left, and none is to be started.

        Args:
            on_ready: called once, when all workers serve for the first time.
        """
        self._selector.register(signals, selectors.EVENT_READ)
        with ExitStack() as opened:
            for post in self._posts:
                opened.callback(post.close)
                post.place.open()
            for post in self._posts:
                self._start(post)
            while any(post.children or post.start_at < inf for post in self._posts):
                due = min(post.due for post in self._posts)
                self._selector.select(None if due == inf else max(0.0, due - time.monotonic()))
                for number in signals.read():
                    self._on_signal(number)
                for post in self._posts:
                    self._look_after(post, time.monotonic())
                if not self._was_ready and all(post.is_settled for post in self._posts):
                    self._was_ready = True
                    on_ready()
                    systemd.notify_ready()
                self._go_on_rolling()
        log.info("stopped", code=self._code)
        return self._code

    def _on_signal(self, number: signal.Signals) -> None:
        match number:
            case signal.SIGCHLD:
                pass  # it has woken us up: who has ended is seen in `_look_after`
            case signal.SIGHUP:
                self._roll()
            case _ if self._is_stopping:
                self._kill(self._children(), "a second signal")
            case _:
                log.info("stopping", signal=number.name)
                self._stop()

    def _stop(self) -> None:
        """Ask all to drain and end."""
        self._is_stopping = True
        systemd.notify_stopping()
        self._rolling, self._roll_began = None, inf
        for post in self._posts:
            post.start_at = inf
        for child in self._children():
            self._retire(child)

    def _retire(self, child: Child) -> None:
        child.stop(time.monotonic() + self._crew.drain_timeout + self._crew.restart.patience)

    def _kill(self, children: Iterable[Child], because: str) -> None:
        for child in children:
            log.error("worker killed", worker=child.name, pid=child.pid, because=because)
            child.kill()

    def _children(self) -> list[Child]:
        return [child for post in self._posts for child in post.children]

    def _look_after(self, post: _Post, now: float) -> None:
        for child in post.children:
            code = child.ended()  # before its last words: it says nothing after them
            self._hear(post, child)
            if code is not None:
                self._on_end(post, child, code)
            elif now >= child.due:
                self._kill(
                    [child], "it did not stop in time" if child.is_stopping else "never ready"
                )
        if now >= post.start_at:
            self._start(post)

    def _start(self, post: _Post) -> None:
        """Start a worker at a post that has none. If it cannot be started, try again later."""
        post.start_at = inf
        left, post.left = post.left, {}
        try:
            post.place.open()
            post.now = self._spawn(post.place, left or post.place.open_for_process())
        except (OSError, ConfigError) as error:
            log.warning("worker not started", worker=post.place.name, error=str(error))
            self._start_later(post, served=0.0)

    def _spawn(self, place: Place, of_process: Opened) -> Child:
        """Start a process, which owns `of_process` from now on."""
        try:
            child = Child(place, self._command, of_process)
        except BaseException:
            close_all(of_process)
            raise
        child.due = child.began + self._crew.start_timeout + BOOT
        self._selector.register(child.line, selectors.EVENT_READ)
        log.info("worker started", worker=child.name, pid=child.pid)
        return child

    def _start_later(self, post: _Post, *, served: float) -> None:
        """After a pause. Clients must not wait long where everybody dies: then the ports are closed."""
        restart = self._crew.restart
        last = 0.0 if served >= restart.reset_after else post.pause
        post.pause = min(max(2 * last, restart.pause), restart.max_pause)
        wait = post.pause * random.uniform(0.5, 1.0)  # noqa: S311  # jitter is no secret
        post.start_at = time.monotonic() + wait
        if last == restart.max_pause:
            post.close()
        log.warning("worker starts again", worker=post.place.name, seconds=round(wait, 3))

    def _hear(self, post: _Post, child: Child) -> None:
        words = child.hear()
        if words is None:  # a line that has ended would wake us up for ever
            self._let_go(child)
        for word in words or ():
            if word == Word.READY:
                self._on_ready(post, child)
            elif word == Word.LEAVING and child is post.now:
                log.info("worker is leaving", worker=child.name, pid=child.pid)
                child.is_leaving = True
                post.close()

    def _let_go(self, child: Child) -> None:
        if child.line.fileno() in self._selector.get_map():
            self._selector.unregister(child.line)

    def _on_ready(self, post: _Post, child: Child) -> None:
        child.ready_at = time.monotonic()
        seconds = round(child.ready_at - child.began, 3)
        log.info("worker ready", worker=child.name, pid=child.pid, seconds=seconds)
        if not child.is_stopping:
            child.due = inf
        if child is post.next and post.now is not None:
            post.going, post.now, post.next = post.now, child, None
            self._retire(post.going)

    def _on_end(self, post: _Post, child: Child, code: int) -> None:
        self._let_go(child)
        child.line.close()
        how = _how(code)
        was_asked = child.is_stopping or child.is_leaving
        tell = log.info if was_asked and code == 0 else log.error
        tell("worker ended", worker=child.name, pid=child.pid, how=how)
        if self._is_stopping and code != 0:
            self._code = self._code or 1
        is_lost = False
        if child is post.going:
            post.going = None
        elif child is post.next:
            post.next = None
        else:
            post.now, post.next = post.next, None
            is_lost = post.now is None and not was_asked
        if post is self._rolling and not child.is_ready:
            self._stop_roll(child.name, f"{how} before it was ready")
        if is_lost:
            post.left = child.of_process
            self._on_loss(post, child, code)
        else:
            close_all(child.of_process)

    def _on_loss(self, post: _Post, child: Child, code: int) -> None:
        """Nobody is left at a post, and nobody has wished so."""
        if code == REFUSED and not self._was_ready:
            log.error("given up: a worker refused its settings", worker=child.name)
            self._code = REFUSED
            post.close()
            self._stop()
        else:
            self._start_later(post, served=max(0.0, time.monotonic() - child.ready_at))

    def _roll(self) -> None:
        """Begin to replace all workers; those that were drained are started again."""
        if self._is_stopping:
            return
        try:
            crew = self._reload()
        except PushError as error:
            log.error("not rolled: wrong settings", error=str(error))  # noqa: TRY400  # no bug of ours
            return
        if crew is None or not crew.stands_like(self._crew):
            log.warning("new names, addresses and numbers of workers need a restart")
        if crew is not None:
            timings = {
                name: getattr(crew, name) for name in ("restart", "start_timeout", "drain_timeout")
            }
            self._crew = replace(self._crew, **timings)
        log.info("rolling", workers=len(self._posts))
        systemd.notify_reloading()
        self._roll_began = time.monotonic()
        self._to_roll = deque(self._posts)

    def _go_on_rolling(self) -> None:
        if self._roll_began == inf or (self._rolling is not None and self._rolling.is_changing):
            return
        self._rolling = None
        if not self._to_roll:
            log.info("rolled", seconds=round(time.monotonic() - self._roll_began, 3))
            self._end_roll()
        elif not self._to_roll[0].is_changing:
            self._rolling = self._to_roll.popleft()
            self._replace(self._rolling)

    def _replace(self, post: _Post) -> None:
        if post.now is None:
            self._start(post)
            return
        try:
            post.next = self._spawn(post.place, post.place.open_for_process())
        except (OSError, ConfigError) as error:
            self._stop_roll(post.place.name, str(error))

    def _stop_roll(self, name: str, because: str) -> None:
        left = [post.place.name for post in self._to_roll]
        log.error("roll stopped", worker=name, because=because, not_rolled=[name, *left])
        self._to_roll.clear()
        self._end_roll()

    def _end_roll(self) -> None:
        self._rolling, self._roll_began = None, inf
        if self._was_ready:
            systemd.notify_ready()
