"""Answers of the database that are remembered, and never older than a bound (database.staleness).

    write    a change and its note, in one transaction       appmodel/orm/changes.py
    Changes  reads new notes, a few times within the bound   and tells every cache what they name
    Cache    forgets that; while notes cannot be read, what it knows is good for the bound alone

What is served at time t has seen every commit before the last poll of notes began, and that was at most
the bound ago. A note's position is given before its transaction commits, so notes may appear behind newer
ones: each poll reads again what a transaction still open could have left out.
"""

import time
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Generic, NamedTuple, TypeVar

import sqlalchemy as sa
import structlog
import trio
from sqlalchemy.orm import Session

from appmodel.errors import PushError, Unavailable
from appmodel.io.database import Database
from appmodel.orm.changes import Change

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

POLLS = 3  # within the bound
OPEN_FOR = 30.0  # seconds that a transaction may be open: longer than any time-out of ours
KEPT_FOR = 3600.0  # seconds that notes stay in the table
IDLE_FOR = 60.0  # seconds after the last question: then nobody needs the notes
MANY = 2000  # keys in one query: below the 32,766 parameters of SQLite

log = structlog.get_logger(__name__)


class Changes:
    """What is new in the database. `run` must be running; nothing is asked before somebody caches."""

    def __init__(self, database: Database, *, staleness: float) -> None:
        """`staleness`: the bound, in seconds."""
        self._database = database
        self.staleness = staleness
        self._listeners: list[Callable[[Iterable[str] | None], None]] = []
        self._wanted = trio.Event()
        self._asked_at = float("-inf")
        self._polled_at = float("-inf")  # when the last poll that came through began
        self._seen: dict[int, float] = {}  # position -> when we saw it, for the last OPEN_FOR
        self._floor: int | None = None  # all up to it are seen; None = nothing is known yet
        self._pruned_at = 0.0
        database.on_change(self._tell)

    @property
    def is_fresh(self) -> bool:
        """Whether all that was committed before the bound is known. Asking keeps it so."""
        self._asked_at = now = trio.current_time()
        self._wanted.set()
        return now - self._polled_at <= self.staleness

    def listen(self, hear: Callable[[Iterable[str] | None], None]) -> None:
        """`hear(subjects)` for what has changed; None = anything may have."""
        self._listeners.append(hear)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Poll while anybody caches, until cancelled."""
        task_status.started()
        while True:
            await self._wanted.wait()
            began = trio.current_time()
            if began - self._asked_at > IDLE_FOR:
                self._wanted = trio.Event()
                continue
            try:
                await self._poll(began)
            except PushError:
                log.warning("changes not read", where=self._database.where)
            await trio.sleep_until(began + self.staleness / POLLS)

    async def _poll(self, began: float) -> None:
        if self._floor is None or began - self._polled_at > OPEN_FOR / 2:
            await self._begin_anew(began)
            return
        floor = self._floor
        rows = await self._database.read(lambda session: _notes_after(session, floor))
        fresh = [(position, subject) for position, subject in rows if position not in self._seen]
        self._polled_at = began
        self._seen.update((position, began) for position, _ in fresh)
        self._raise_floor(began)
        if fresh:
            self._tell({subject for _, subject in fresh})
        if began - self._pruned_at > KEPT_FOR / 10:
            self._pruned_at = began
            await self._database.write(_prune)

    async def _begin_anew(self, began: float) -> None:
        """We know nothing of what was before: so nobody may remember anything."""
        rows = await self._database.read(_recent_notes)
        self._floor = rows[0]
        self._seen = dict.fromkeys(rows[1], began)
        self._polled_at = began
        self._tell(None)

    def _raise_floor(self, began: float) -> None:
        """Forget what no open transaction can be behind any more."""
        settled = [p for p, seen_at in self._seen.items() if began - seen_at > OPEN_FOR]
        for position in settled:
            del self._seen[position]
        if settled:
            self._floor = max(self._floor or 0, *settled)

    def _tell(self, subjects: Iterable[str] | None) -> None:
        for hear in self._listeners:
            hear(subjects)


class Cache(Generic[K, V]):
    """Remembered answers to "what is K". What waits together is one query."""

    def __init__(
        self,
        database: Database,
        changes: Changes,
        *,
        load: Callable[[Session, Sequence[K]], Mapping[K, V]],
        subject_of: Callable[[K], str],
        limit: int = 10_000,
        keeps_nothing: bool = True,
    ) -> None:
        """
        Args:
            load: answers for many keys at once; a key that it leaves out is nothing (None).
            subject_of: what a change of K is noted under.
            limit: answers that are remembered; the oldest go.
            keeps_nothing: that there is nothing is remembered too; else it is asked again each time.
        """
        self._database, self._changes = database, changes
        self._load, self._subject_of, self._limit = load, subject_of, limit
        self._keeps_nothing = keeps_nothing
        self._known: dict[str, _Known[V]] = {}  # by subject
        self._batch: _Batch[K, V] | None = None  # the one that is being gathered
        self._turn = trio.Lock()
        self._under_way: set[str] = set()  # subjects being read, and not changed since
        changes.listen(self._forget)

    def __len__(self) -> int:
        return len(self._known)

    async def get(self, key: K) -> V | None:
        """What `key` is; None: there is nothing.

        Raises:
            Unavailable: the database is away.
        """
        known = self._known.get(self._subject_of(key))
        if known is not None and known.read_at >= self._oldest():
            return known.value
        return (await self._ask([key])).get(key)

    async def get_all(self, keys: Sequence[K]) -> dict[K, V]:
        """The same for many: what each is, without those that are nothing. Raises as `get`."""
        oldest = self._oldest()
        found: dict[K, V] = {}
        missing: list[K] = []
        for key in keys:
            known = self._known.get(self._subject_of(key))
            if known is None or known.read_at < oldest:
                missing.append(key)
            elif known.value is not None:
                found[key] = known.value
        if missing:
            answers = await self._ask(missing)
            found.update((key, answers[key]) for key in missing if key in answers)
        return found

    def _oldest(self) -> float:
        """Since when an answer must have been read: notes tell of what has changed since any time."""
        changes = self._changes
        return float("-inf") if changes.is_fresh else trio.current_time() - changes.staleness

    async def _ask(self, keys: Sequence[K]) -> Mapping[K, V]:
        batch = self._batch
        if batch is None:
            batch = self._batch = _Batch()
            batch.keys.update(dict.fromkeys(keys))
            with trio.CancelScope(shield=True):  # others wait for it; it has time-outs of its own
                await self._read(batch)
        else:
            batch.keys.update(dict.fromkeys(keys))
            await batch.done.wait()
        if batch.error is not None:
            raise batch.error
        return batch.found

    async def _read(self, batch: "_Batch[K, V]") -> None:
        """In turns: what comes while one is read is the next one."""
        async with self._turn:
            self._batch = None
            try:
                for at in range(0, len(batch.keys), MANY):
                    await self._read_some(batch, list(batch.keys)[at : at + MANY])
            except PushError as error:
                batch.error = error
            except BaseException:
                batch.error = Unavailable("the database was not asked to the end")
                raise
            finally:
                batch.done.set()

    async def _read_some(self, batch: "_Batch[K, V]", keys: list[K]) -> None:
        began = trio.current_time()
        subjects = {self._subject_of(key): key for key in keys}
        self._under_way = set(subjects)
        found = await self._database.read(lambda session: self._load(session, keys))
        batch.found.update(found)
        for subject in self._under_way:
            if not (self._keeps_nothing or subjects[subject] in found):
                continue
            self._known[subject] = _Known(found.get(subjects[subject]), began)
        self._shrink()

    def _forget(self, subjects: Iterable[str] | None) -> None:
        if subjects is None:
            self._known.clear()
            self._under_way.clear()
            return
        for subject in subjects:
            self._known.pop(subject, None)
            self._under_way.discard(subject)

    def _shrink(self) -> None:
        while len(self._known) > self._limit:
            del self._known[next(iter(self._known))]


class _Known(NamedTuple, Generic[V]):
    value: V | None
    read_at: float  # when reading it began


class _Batch(Generic[K, V]):
    """Keys that are asked for together."""

    def __init__(self) -> None:
        self.keys: dict[K, None] = {}
        self.found: dict[K, V] = {}
        self.error: PushError | None = None
        self.done = trio.Event()


def _notes_after(session: Session, position: int) -> list[tuple[int, str]]:
    asked = sa.select(Change.position, Change.subject).where(Change.position > position)
    return [(position, subject) for position, subject in session.execute(asked)]


def _recent_notes(session: Session) -> tuple[int, list[int]]:
    """A floor below which all is settled, and what lies above it already."""
    recent = sa.select(Change.position).where(Change.created > _instant(time.time() - OPEN_FOR))
    positions = list(session.scalars(recent))
    highest = session.scalar(sa.select(sa.func.max(Change.position))) or 0
    return min(positions, default=highest + 1) - 1, positions


def _prune(session: Session) -> None:
    session.execute(sa.delete(Change).where(Change.created < _instant(time.time() - KEPT_FOR)))


def _instant(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
