"""Saves into SQLite: all that one transaction takes are read, decided and written together.

    read    keys not in memory   one SELECT        push ids seen before   one SELECT
    decide  id and prev of each key                in memory, in the order of the calls
    write   push, receipt, message, key            a few steps per table, however many rows

A step of SQLite gives the GIL back and takes it again, and may then wait 5 ms for a busy event loop.
So rows go in by up to 256 a step: 10,000 keys take 20 ms, and 40 steps a table instead of 10,000.

Decisions see what the transaction itself has decided so far. What the store knows in memory changes
by `Draft.apply`, after the commit; a failed transaction leaves memory as it leaves the file.
"""

import math
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

from appmodel.core.message import Save, Saved
from appmodel.core.names import Key
from message.config import MessageConfig
from message.core.retention import kept_until, message_id, runs_away, step_of, tails_of
from message.stores.notices import Notices

Pairs = dict[Key, tuple[int, int]]
"""The (id, prev) of keys, as first answered to one push id."""


class KeyState(NamedTuple):
    """A key as the writer knows it."""

    id: int  # of its row
    mark: int
    rows: int  # messages; those that sweeps have taken, which expired after `soonest`, are counted still
    soonest: float  # none of them expires before this; Unix seconds


class KnownKeys:
    """The keys used last, between `limit` / 2 and `limit` of them. Forgetting costs a SELECT later."""

    def __init__(self, limit: int) -> None:
        self._half = limit // 2
        self._young: dict[Key, KeyState] = {}
        self._old: dict[Key, KeyState] = {}

    def get(self, key: Key) -> KeyState | None:
        """What is known of `key`, if it is."""
        return self._young.get(key) or self._old.get(key)

    def forget(self, key: Key) -> None:
        """What is known of it does not hold any more."""
        self._young.pop(key, None)
        self._old.pop(key, None)

    def update(self, states: dict[Key, KeyState]) -> None:
        """Know these, which are now the youngest. The old half goes when the young one is full."""
        self._young.update(states)
        if len(self._young) > self._half:
            self._old, self._young = self._young, {}


@dataclass(slots=True)
class Memory:
    """What the single writer knows without reading. Changes after a commit only."""

    keys: KnownKeys
    last_receipt: int
    last_key: int
    highest: int  # mark of all

    @classmethod
    def load(cls, database: sqlite3.Connection, known_keys: int) -> "Memory":
        """What the file says at start. The newest push is never forgotten: it holds the numbering."""
        newest = database.execute("SELECT id + receipts - 1 FROM push ORDER BY id DESC LIMIT 1")
        last_receipt = newest.fetchone() or (0,)
        last_key, highest = database.execute(
            "SELECT coalesce(max(id), 0), coalesce(max(mark), 0) FROM key"
        ).fetchone()
        return cls(KnownKeys(known_keys), last_receipt[0], last_key, highest)


class ManyRows:
    """A statement over `VALUES` that takes many rows in few steps."""

    SIZES = (256, 32, 4, 1)  # rows a step; each is a statement that stays prepared

    def __init__(self, head: str, width: int, tail: str = "") -> None:
        self._width = width
        row = f"({', '.join('?' * width)})"
        self._statements = [
            (size * width, f"{head} VALUES {', '.join([row] * size)} {tail}") for size in self.SIZES
        ]

    def run(self, database: sqlite3.Connection, values: list[Any]) -> None:
        """`values`: the columns of all rows, one after the other."""
        at = 0
        for span, statement in self._statements:
            while len(values) - at >= span:
                database.execute(statement, values[at : at + span])
                at += span


ADD_PUSHES = ManyRows("INSERT INTO push", 9)
ADD_RECEIPTS = ManyRows("INSERT INTO receipt", 4)
ADD_MESSAGES = ManyRows("INSERT INTO message (key_id, mid, push)", 3)
ADD_WITH_TAILS = ManyRows("INSERT INTO message (key_id, mid, push, tail)", 4)
ADD_KEYS = ManyRows("INSERT INTO key", 3)
RAISE_MARKS = ManyRows(
    "UPDATE key SET mark = new.column2 FROM (", 2, ") AS new WHERE key.id = new.column1"
)
FIND_KEYS = """
    SELECT name, id, mark, (SELECT count(*) FROM message WHERE key_id = key.id)
    FROM key WHERE name IN (SELECT value FROM json_each(?))"""
FIND_PUSHES = "SELECT push_id, id, receipts FROM push WHERE kept_until > ? AND push_id IN ({})"
MOST_PUSH_IDS = 256  # asked for in one statement
ANSWERS_OF = "SELECT key_id, mid, prev FROM receipt WHERE id >= ? AND id < ?"
DROP_EXPIRED = """
    DELETE FROM message WHERE key_id = ?
    AND (SELECT expires_at FROM push WHERE id = message.push) <= ? RETURNING push"""
COUNT_ALIVE = """
    SELECT count(*), min(expires_at) FROM message JOIN push ON push.id = message.push
    WHERE key_id = ?"""
DROP_OLDEST = """
    DELETE FROM message WHERE key_id = ? AND mid <= (
        SELECT mid FROM message WHERE key_id = ? ORDER BY mid LIMIT 1 OFFSET ?
    ) RETURNING push"""
RELEASE = """
    UPDATE push SET live = live - 1,
        due = CASE WHEN live > 1 THEN due ELSE kept_until END,
        body = CASE WHEN live > 1 THEN body END
    WHERE id = ?"""


def release(database: sqlite3.Connection, pushes: Iterable[tuple[int]]) -> None:
    """A message of each of these pushes has gone before its time; the last one takes the body."""
    database.executemany(RELEASE, pushes)


class Draft:
    """The saves of one transaction. `prepare`, then `add` each, then `write`; after the commit `apply`."""

    def __init__(
        self,
        database: sqlite3.Connection,
        memory: Memory,
        notices: Notices,
        config: MessageConfig,
        *,
        now: float,
    ) -> None:
        self._database, self._memory, self._notices = database, memory, notices
        self._config, self._now = config, now
        self._before: dict[Key, KeyState] = {}  # as it was when the transaction began
        self._after: dict[Key, KeyState] = {}  # keys that it has changed
        self._receipts_of: dict[bytes, dict[int, tuple[int, int]]] = {}  # from the file, by key id
        self._answered: dict[bytes, list[tuple[Sequence[Key], Saved]]] = defaultdict(list)
        self._last_receipt, self._last_key = memory.last_receipt, memory.last_key
        self._highest = memory.highest
        self._pushes: list[Any] = []  # rows, flat
        self._receipts: list[Any] = []
        self._messages: list[Any] = []
        self._with_tails: list[Any] = []
        self._trims: list[tuple[Key, int]] = []

    def prepare(self, saves: Sequence[Save]) -> None:
        """Read what is needed to decide on `saves`."""
        known, missing = self._memory.keys.get, {}
        for save in saves:
            for key in save.keys:
                state = known(key)
                if state is None:
                    missing[key.stored] = key
                else:
                    self._before[key] = state
        if missing:
            names = msgspec.json.encode(list(missing)).decode()
            for name, key_id, mark, rows in self._database.execute(FIND_KEYS, (names,)):
                # when they expire is not looked up: the first trim will
                self._before[missing[name]] = KeyState(key_id, mark, rows, soonest=0.0)
        self._find_receipts(list({save.push_id for save in saves}))

    def add(self, save: Save) -> Saved:
        """Decide on one save.

        Raises:
            NotStored: the proposed id is of a clock that ran away. Then the transaction must fail.
        """
        first = self._first_answers(save)
        keys = [key for key in save.keys if key not in first] if first else save.keys
        if not keys:
            return _in_order(save.keys, first)
        if runs_away(save.proposed_id, now=self._now, highest=self._highest):
            raise self._notices.runaway(save.proposed_id, self._now)
        saved = self._assign(save, keys)
        self._answered[save.push_id].append((keys, saved))
        return _in_order(save.keys, first | _pairs(keys, saved)) if first else saved

    def write(self) -> None:
        """Put all into the tables, then take out what is above the depth."""
        ADD_PUSHES.run(self._database, self._pushes)
        ADD_RECEIPTS.run(self._database, self._receipts)
        ADD_MESSAGES.run(self._database, self._messages)
        ADD_WITH_TAILS.run(self._database, self._with_tails)
        born: list[Any] = []
        raised: list[Any] = []
        for key, state in self._after.items():
            if state.id > self._memory.last_key:
                born += (state.id, key.stored, state.mark)
            else:
                raised += (state.id, state.mark)
        ADD_KEYS.run(self._database, born)
        RAISE_MARKS.run(self._database, raised)
        least = min(self._config.depth, self._config.queue_depth)
        for key, state in self._after.items():
            if state.rows > least and state.rows > (depth := self._config.depth_of(key)):
                self._after[key] = self._trim(key, state, depth)

    def apply(self) -> None:
        """It is committed: now the memory may know. Cannot fail."""
        memory = self._memory
        memory.keys.update(self._after)
        self._notices.saved += self._last_receipt - memory.last_receipt
        memory.last_receipt, memory.last_key = self._last_receipt, self._last_key
        memory.highest = self._highest
        for key, count in self._trims:
            self._notices.trim(key, count)

    def _find_receipts(self, push_ids: list[bytes]) -> None:
        for at in range(0, len(push_ids), MOST_PUSH_IDS):
            some = push_ids[at : at + MOST_PUSH_IDS]
            room = 1 << (len(some) - 1).bit_length()  # few sizes: the statements stay prepared
            pushes = self._database.execute(
                FIND_PUSHES.format(", ".join("?" * room)),
                [self._now, *some, *[None] * (room - len(some))],
            ).fetchall()
            for push_id, first, count in pushes:
                answers = self._receipts_of.setdefault(push_id, {})
                for key_id, mid, prev in self._database.execute(ANSWERS_OF, (first, first + count)):
                    answers[key_id] = (mid, prev)

    def _first_answers(self, save: Save) -> Pairs:
        """What this push id was answered for these keys, in the file or in this transaction."""
        first: Pairs = {}
        by_id = self._receipts_of.get(save.push_id)
        if by_id:
            for key in save.keys:
                state = self._before.get(key)
                if state is not None and state.id in by_id:
                    first[key] = by_id[state.id]
        for keys, saved in self._answered.get(save.push_id, ()):
            first |= _pairs(keys, saved)
        return first

    def _assign(self, save: Save, keys: Sequence[Key]) -> Saved:
        """Ids for `keys`, none of which has this push yet, and the rows that say so."""
        before, after, expires_at = self._before, self._after, save.expires_at
        push, tails = self._last_receipt + 1, tails_of(save)
        ids: list[int] = []
        prevs: list[int] = []
        for receipt, key in enumerate(keys, push):
            state = after.get(key) or before.get(key)
            if state is None:
                self._last_key += 1
                state = KeyState(self._last_key, 0, 0, math.inf)
            key_id, prev, rows, soonest = state
            mid = message_id(save.proposed_id, prev, step_of(key))
            after[key] = KeyState(key_id, mid, rows + 1, min(soonest, expires_at))
            self._receipts += (receipt, key_id, mid, prev)
            if tails:
                self._with_tails += (key_id, mid, push, tails[key])
            else:
                self._messages += (key_id, mid, push)
            ids.append(mid)
            prevs.append(prev)
        self._last_receipt += len(keys)
        self._highest = max(self._highest, *ids)
        kept, many = kept_until(self._now, expires_at), len(keys)
        self._pushes += (push, save.push_id, expires_at, kept, expires_at, many, 0, many, save.body)
        return Saved(tuple(ids), tuple(prevs))

    def _trim(self, key: Key, state: KeyState, depth: int) -> KeyState:
        """Take out what is expired, then the oldest, until no more than `depth` are there.

        While nothing expires no more of the key is read than what goes: a queue is long.
        """
        database, (_, _, rows, soonest) = self._database, state
        if soonest <= self._now:
            release(database, database.execute(DROP_EXPIRED, (state.id, self._now)).fetchall())
            rows, soonest = database.execute(COUNT_ALIVE, (state.id,)).fetchone()
        if rows > depth:
            excess = rows - depth
            release(
                database, database.execute(DROP_OLDEST, (state.id, state.id, excess - 1)).fetchall()
            )
            self._trims.append((key, excess))
        return state._replace(rows=min(rows, depth), soonest=soonest or math.inf)


def _pairs(keys: Sequence[Key], saved: Saved) -> Pairs:
    return dict(zip(keys, zip(saved.ids, saved.prevs, strict=True), strict=True))


def _in_order(keys: Sequence[Key], pairs: Pairs) -> Saved:
    answers = [pairs[key] for key in keys]
    return Saved(tuple(mid for mid, _ in answers), tuple(prev for _, prev in answers))
