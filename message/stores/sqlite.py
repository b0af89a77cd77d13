"""The store in a SQLite file: one writer, one reader, group commit.

    save, delete, sweep, remember, revoke   -> writer: all that wait are one transaction
    fetch, marks, feed, recall, revocations -> reader: all that wait are one hop to its thread

An answer comes after the commit, so it is durable (sqlite_schema.py says what that means). If a
transaction fails, each of its calls is tried again alone: a bad one fails for its caller only.

Contract: appmodel/core/interfaces.py, `OfflineStore` and `Ledger`; cluster.md section 2.
"""

import contextlib
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import structlog
import trio

from appmodel.core.clock import MAX_ID
from appmodel.core.message import Feed, Page, Revocation, Save, Saved, Stored
from appmodel.core.names import Key
from appmodel.errors import NotStored, OutcomeUnknown, PushError, Unavailable
from message.config import MessageConfig
from message.core.retention import copy_for, runs_away, size_of, take_page
from message.stores.notices import Notices
from message.stores.rounds import Job, Rounds
from message.stores.sqlite_saving import Draft, Memory, release
from message.stores.sqlite_schema import locked, named_errors, open_reader, open_writer
from message.stores.sqlite_sweep import sweep

KEY_WEIGHT = 128  # bytes that a key of a waiting save counts for, beside the bodies
CALL_WEIGHT = 256  # bytes that any waiting call counts for
MAX_READS = 10_000  # calls that may wait for the reader
READS_PER_ROUND = 64

Answer = TypeVar("Answer")
Read = Callable[[sqlite3.Connection], Any]
Change = Callable[[sqlite3.Connection, float], Any]  # within a transaction, at that time
Write = Sequence[Save] | Change

log = structlog.get_logger(__name__)


@contextlib.asynccontextmanager
async def open_sqlite(
    config: MessageConfig, now: Callable[[], float] = time.time
) -> AsyncIterator["SqliteStore"]:
    """The store at `config.sqlite.path`, until the block ends; what was asked by then is still done.

    Raises:
        ConfigError: the file is not ours, newer than this program, corrupt, or in use.
    """
    path = Path(config.sqlite.path)
    with contextlib.ExitStack() as files:
        files.enter_context(locked(path))
        store = await trio.to_thread.run_sync(_open, config, now, path, files)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(store.writer.run)
            nursery.start_soon(store.reader.run)
            try:
                yield store
            finally:
                store.writer.close()
                store.reader.close()


def _open(
    config: MessageConfig, now: Callable[[], float], path: Path, files: contextlib.ExitStack
) -> "SqliteStore":
    sqlite = config.sqlite
    writer = open_writer(path, synchronous=sqlite.synchronous, cache=sqlite.cache)
    files.callback(writer.close)
    reader = open_reader(path, cache=sqlite.cache)
    files.callback(reader.close)
    with named_errors(path):
        memory = Memory.load(writer, sqlite.known_keys)
    return SqliteStore(config, now, writer, reader, memory)


class SqliteStore:
    """An `OfflineStore` and a `Ledger`. Made by `open_sqlite`."""

    def __init__(
        self,
        config: MessageConfig,
        now: Callable[[], float],
        write_on: sqlite3.Connection,
        read_on: sqlite3.Connection,
        memory: Memory,
    ) -> None:
        self._config, self._now = config, now
        self._write_on, self._read_on = write_on, read_on
        self._memory = memory
        self._thinned: set[Key] = set()  # in this transaction: they have to be counted again
        self._file = _identity(config.sqlite.path)
        self.notices = Notices()
        self.trouble: str | None = None  # why the last transaction failed, until one succeeds
        self.writer: Rounds[Write] = Rounds(
            [self._write_round],
            name=f"store {config.sqlite.path}",
            queue_limit=config.queue_limit,
            round_limit=config.round_limit,
            refusal=NotStored,
        )
        self.reader: Rounds[Read] = Rounds(
            [self._read_round],
            name=f"store {config.sqlite.path}",
            queue_limit=MAX_READS,
            round_limit=READS_PER_ROUND,
        )

    @property
    def waiting(self) -> int:
        """Bytes of what waits for the disk."""
        return self.writer.waiting

    async def save(self, saves: Sequence[Save]) -> list[Saved]:
        weight = sum(size_of(save) + KEY_WEIGHT * len(save.keys) for save in saves)
        saved: list[Saved] = await self.writer.ask(saves, CALL_WEIGHT + weight)
        return saved

    async def fetch(self, key: Key, after: int, *, limit: int, until: int | None = None) -> Page:
        span = (min(after, MAX_ID), MAX_ID if until is None else min(until, MAX_ID))
        arguments = (key.stored, *span, self._now(), limit + 1)

        def read(database: sqlite3.Connection) -> Page:
            with contextlib.closing(database.execute(FETCH, arguments)) as rows:
                messages = (
                    Stored(mid, copy_for(key, body, tail or b""), expires_at)
                    for mid, body, tail, expires_at in rows
                )
                return take_page(messages, limit=limit, max_bytes=self._config.page_limit)

        return await self._read(read)

    async def marks(self, keys: Sequence[Key]) -> list[int]:
        names = [key.stored for key in keys]

        def read(database: sqlite3.Connection) -> list[int]:
            known: dict[str, int] = dict(database.execute(MARKS, (_listed(names),)))
            return [known.get(name, 0) for name in names]

        return await self._read(read)

    async def delete(self, key: Key, ids: Sequence[int] | None = None) -> int:
        def change(database: sqlite3.Connection, now: float) -> int:
            if ids is None:
                gone = database.execute(DELETE_ALL, (key.stored, now)).fetchall()
            else:
                gone = database.execute(DELETE_SOME, (key.stored, _listed(ids), now)).fetchall()
            release(database, ((push,) for push, _ in gone))
            self._thinned.add(key)
            return sum(alive for _, alive in gone)

        return await self._change(change)

    async def feed(self, position: int, *, limit: int) -> Feed:
        end = self._memory.last_receipt
        if position < 0 or position >= end:
            await trio.lowlevel.checkpoint()
            return Feed(end, ())

        def read(database: sqlite3.Connection) -> Feed:
            rows = database.execute(FEED, (position, limit)).fetchall()
            marks = {name: mark for _, name, mark in rows}  # a key's last is its highest
            found = tuple((Key.from_stored(name), mark) for name, mark in marks.items())
            return Feed(rows[-1][0] if rows else end, found)

        return await self._read(read)

    async def sweep(self, *, limit: int) -> int:
        def change(database: sqlite3.Connection, now: float) -> int:
            if self.trouble is not None:  # is it over? This has expired, and is freed at once
                database.execute(REMEMBER, (b"", b"", 0.0, now))
            return sweep(database, now, limit)

        done = await self._change(change)
        self.notices.swept += done
        return done

    async def remember(self, name: bytes, value: bytes, *, kept_until: float) -> bytes:
        def change(database: sqlite3.Connection, now: float) -> bytes:
            database.execute(REMEMBER, (name, value, kept_until, now))
            kept: bytes = database.execute(RECALL, (name, 0.0)).fetchone()[0]
            return kept

        return await self._change(change, len(value))

    async def recall(self, name: bytes) -> bytes | None:
        arguments = (name, self._now())

        def read(database: sqlite3.Connection) -> bytes | None:
            row = database.execute(RECALL, arguments).fetchone()
            return row[0] if row else None

        return await self._read(read)

    async def revoke(self, subject: str, *, issued_before: float, kept_until: float) -> None:
        def change(database: sqlite3.Connection, _: float) -> None:
            database.execute(REVOKE, (subject, issued_before, kept_until))

        await self._change(change)

    async def revocations(self, position: int) -> list[Revocation]:
        arguments = (position, self._now())

        def read(database: sqlite3.Connection) -> list[Revocation]:
            return [Revocation(*row) for row in database.execute(REVOCATIONS, arguments)]

        return await self._read(read)

    async def _read(self, read: Callable[[sqlite3.Connection], Answer]) -> Answer:
        answer: Answer = await self.reader.ask(read)
        return answer

    async def _change(
        self, change: Callable[[sqlite3.Connection, float], Answer], weight: int = 0
    ) -> Answer:
        answer: Answer = await self.writer.ask(change, CALL_WEIGHT + weight)
        return answer

    def _read_round(self, jobs: Sequence[Job[Read]]) -> None:
        for job in jobs:
            try:
                job.succeed(job.request(self._read_on))
            except sqlite3.Error as error:
                log.error("store not read", error=str(error))  # noqa: TRY400 (no bug: no traceback)
                job.fail(Unavailable(f"{self._config.sqlite.path}: {error}"))
            except Exception as error:  # raised again where the call was made
                job.fail(error)

    def _write_round(self, jobs: Sequence[Job[Write]]) -> None:
        now = self._now()
        group = [job for job in jobs if not self._is_suspect(job, now)]
        alone = [job for job in jobs if self._is_suspect(job, now)]
        if not self._commit(group, now):
            alone += group
        for job in alone:
            self._commit([job], now, last=True)

    def _is_suspect(self, job: Job[Write], now: float) -> bool:
        """Whether it will be refused, unless it is a retry: it should not fail the others first."""
        highest = self._memory.highest
        return not callable(job.request) and any(
            runs_away(save.proposed_id, now=now, highest=highest) for save in job.request
        )

    def _commit(self, jobs: Sequence[Job[Write]], now: float, *, last: bool = False) -> bool:
        """Do `jobs` in one transaction; False if it failed. If it is their `last`, they fail with it."""
        database = self._write_on
        draft = Draft(database, self._memory, self.notices, self._config, now=now)
        before = database.total_changes
        committing = False
        try:
            self._check_file()
            database.execute("BEGIN IMMEDIATE")
            answers = _perform(database, draft, [job.request for job in jobs], now)
            committing = True
            database.execute("COMMIT")
        except Exception as error:  # whatever it is, the call that caused it gets it
            if database.in_transaction:
                database.execute("ROLLBACK")
            if last:
                jobs[0].fail(self._explain(error, committing))
            return False
        draft.apply()
        while self._thinned:
            self._memory.keys.forget(self._thinned.pop())
        if database.total_changes > before:
            self.trouble = None
        for job, answer in zip(jobs, answers, strict=True):
            job.succeed(answer)
        return True

    def _check_file(self) -> None:
        """Refuse to write into a file that nobody will find again: 2 µs a round."""
        path = self._config.sqlite.path
        if _identity(path) != self._file:
            self.trouble = f"{path}: the file was removed or replaced while it was open"
            raise NotStored(self.trouble)

    def _explain(self, error: Exception, committing: bool) -> Exception:
        if not isinstance(error, sqlite3.Error):
            return error
        self.notices.failures += 1
        text = f"{self._config.sqlite.path}: {error}"
        if self.trouble is None:
            log.error("store not written", error=str(error))
        self.trouble = text
        # the log may be on the disk though its sync failed: only a crash now would tell
        unknown = committing and error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_IOERR
        kind: type[PushError] = OutcomeUnknown if unknown else NotStored
        return kind(text)


def _identity(path: str) -> tuple[int, int] | None:
    """Which file a path leads to; None if to none."""
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _perform(
    database: sqlite3.Connection, draft: Draft, requests: Sequence[Write], now: float
) -> list[Any]:
    """The answers to `requests`: first all saves together, then each change."""
    draft.prepare([save for saves in requests if not callable(saves) for save in saves])
    answers: dict[int, Any] = {}
    for number, request in enumerate(requests):
        if not callable(request):
            answers[number] = [draft.add(save) for save in request]
    draft.write()
    for number, request in enumerate(requests):
        if callable(request):
            answers[number] = request(database, now)
    return [answers[number] for number in range(len(requests))]


def _listed(values: Iterable[str | int]) -> str:
    return msgspec.json.encode(list(values)).decode()


FETCH = """
    SELECT mid, body, tail, expires_at FROM message JOIN push ON push.id = message.push
    WHERE key_id = (SELECT id FROM key WHERE name = ?) AND mid > ? AND mid <= ? AND expires_at > ?
    ORDER BY mid LIMIT ?"""
MARKS = "SELECT name, mark FROM key WHERE name IN (SELECT value FROM json_each(?))"
DELETE_ALL = """
    DELETE FROM message WHERE key_id = (SELECT id FROM key WHERE name = ?)
    RETURNING push, (SELECT expires_at FROM push WHERE id = message.push) > ?"""
DELETE_SOME = """
    DELETE FROM message WHERE key_id = (SELECT id FROM key WHERE name = ?)
    AND mid IN (SELECT value FROM json_each(?))
    RETURNING push, (SELECT expires_at FROM push WHERE id = message.push) > ?"""
FEED = """
    SELECT receipt.id, name, mid FROM receipt JOIN key ON key.id = key_id
    WHERE receipt.id > ? ORDER BY receipt.id LIMIT ?"""
REMEMBER = """
    INSERT INTO answer VALUES (?, ?, ?) ON CONFLICT DO UPDATE
    SET value = excluded.value, kept_until = excluded.kept_until WHERE answer.kept_until <= ?"""
RECALL = "SELECT value FROM answer WHERE name = ? AND kept_until > ?"
REVOKE = "INSERT INTO revocation (subject, issued_before, kept_until) VALUES (?, ?, ?)"
REVOCATIONS = """
    SELECT position, subject, issued_before, kept_until FROM revocation
    WHERE position > ? AND kept_until > ? ORDER BY position"""
