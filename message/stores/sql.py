"""The store in PostgreSQL or MariaDB, which several message nodes share.

    save, delete, sweep, remember, revoke   -> writer: all saves that wait are one transaction
    fetch, marks, feed, recall, revocations -> readers: all that wait are one hop to a thread

"Durable" means what the server says of a COMMIT, with its own settings:

    PostgreSQL   fsync and synchronous_commit on (the defaults): neither a killed process nor a power
                 cut loses an answered push. `synchronous_commit = off`: a crash of the server may lose
                 the last 0.6 s. A fail-over loses what the replica has not got, unless
                 synchronous_standby_names is set and synchronous_commit is on
    MariaDB      innodb_flush_log_at_trx_commit = 1 (the default): the same. With 2 or 0 a power cut,
                 with 0 also a crash of the server may lose the last second. A replica follows later,
                 unless semi-synchronous replication is on

A lost commit is lost for all nodes, and the chain of ids goes on from the mark that is there.

A message node that dies in a transaction has done nothing of it; its locks end with its connection, at
the latest after a second. If the connection breaks in COMMIT, the saves are done again: a known push id
answers as the first time. Only if the server does not come back in time, is the outcome unknown.

Contract: appmodel/core/interfaces.py, `OfflineStore` and `Ledger`; cluster.md section 2.
"""

import contextlib
import math
import time
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from typing import Any

import trio

from appmodel.core.clock import MAX_ID
from appmodel.core.message import Feed, Page, Revocation, Save, Saved
from appmodel.core.names import Key
from appmodel.errors import BadInput, NotStored
from appmodel.io.sql_faults import Fault
from message.config import MessageConfig
from message.core.retention import size_of
from message.stores import sql_changes, sql_reading
from message.stores.notices import Notices
from message.stores.rounds import Rounds
from message.stores.sql_link import Link
from message.stores.sql_reading import Ask, Pages
from message.stores.sql_rounds import Reader, Turn, Work, Writer
from message.stores.sql_schema import prepare
from message.stores.sql_session import Server
from message.stores.sql_tables import MAX_NAME, MAX_SKEY

KEY_WEIGHT = 128  # bytes that a key of a waiting save counts for, beside the bodies
CALL_WEIGHT = 256  # bytes that any waiting call counts for
MAX_READS = 10_000  # calls that may wait for a reader
READS_PER_ROUND = 64
MAX_TIME = 2.0**52  # Unix seconds: what the tables can hold


@contextlib.asynccontextmanager
async def open_sql(
    config: MessageConfig, now: Callable[[], float] = time.time
) -> AsyncIterator["SqlStore"]:
    """The store at `config.sql.url`, until the block ends; what was asked by then is still done.

    A server that is away now is no error: the store is in trouble until it comes.

    Raises:
        ConfigError: the URL is wrong, the server does not let us in or is too old, or the tables are
            missing and may not be made.
    """
    store = SqlStore(config, now)
    with contextlib.suppress(Fault):
        await trio.to_thread.run_sync(store.open, abandon_on_cancel=True)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(store.writer.run)
            nursery.start_soon(store.reader.run)
            try:
                yield store
            finally:
                store.writer.close()
                store.reader.close()
    finally:
        store.disconnect()


class SqlStore:
    """An `OfflineStore` and a `Ledger`. Made by `open_sql`."""

    def __init__(self, config: MessageConfig, now: Callable[[], float]) -> None:
        self._now = now
        self._server = Server(config.sql, config.sql.timeout / 2)
        self._patience = config.sql.timeout / 2
        self.notices = Notices()
        prepared = partial(prepare, config=config.sql, notices=self.notices)
        self._write_link = Link(self._server, config.sql, prepare=prepared)
        self._read_links = [
            Link(self._server, config.sql, reads=True) for _ in range(config.sql.readers)
        ]
        pages = Pages(config.page_limit, self.notices)
        name = f"database {self._server.where}"
        self.writer: Rounds[Turn] = Rounds(
            [Writer(self._write_link, config, now, self.notices).do],
            name=name,
            queue_limit=config.queue_limit,
            round_limit=config.round_limit,
            refusal=NotStored,
        )
        self.reader: Rounds[Turn] = Rounds(
            [Reader(link, now, pages).do for link in self._read_links],
            name=name,
            queue_limit=MAX_READS,
            round_limit=READS_PER_ROUND,
        )

    def open(self) -> None:
        """Connect, and make the tables if need be. Blocks. Raises ConfigError, or Fault if it is away."""
        self._write_link.open()

    def disconnect(self) -> None:
        """Let go of all connections."""
        for link in (self._write_link, *self._read_links):
            link.close()

    @property
    def trouble(self) -> str | None:
        """Why the last transaction failed, until one succeeds."""
        troubles = (link.trouble for link in (self._write_link, *self._read_links))
        return next((f"{self._server.where}: {text}" for text in troubles if text), None)

    @property
    def waiting(self) -> int:
        """Bytes of what waits for the database."""
        return self.writer.waiting

    async def save(self, saves: Sequence[Save]) -> list[Saved]:
        for save in saves:
            _check(save)
        weight = sum(size_of(save) + KEY_WEIGHT * len(save.keys) for save in saves)
        saved: list[Saved] = await self._write(tuple(saves), weight)
        return saved

    async def fetch(self, key: Key, after: int, *, limit: int, until: int | None = None) -> Page:
        last = MAX_ID if until is None else min(until, MAX_ID)
        first = max(min(after, MAX_ID), 0)
        ask = Ask(_stored(key), first, last, min(limit, MAX_ID))
        page: Page = await self._read(ask)
        return page

    async def marks(self, keys: Sequence[Key]) -> list[int]:
        read = partial(sql_reading.marks, skeys=[_stored(key) for key in keys])
        found: list[int] = await self._read(read)
        return found

    async def delete(self, key: Key, ids: Sequence[int] | None = None) -> int:
        known = None if ids is None else [mid for mid in ids if 0 < mid <= MAX_ID]
        change = partial(sql_changes.delete, skey=_stored(key), ids=known, second=int(self._now()))
        gone: int = await self._write(change)
        return gone

    async def feed(self, position: int, *, limit: int) -> Feed:
        feed: Feed = await self._read(partial(sql_reading.feed, position=position, limit=limit))
        return feed

    async def sweep(self, *, limit: int) -> int:
        change = partial(sql_changes.sweep, second=int(self._now()), limit=limit)
        done: int = await self._write(change)
        self.notices.swept += done
        return done

    async def remember(self, name: bytes, value: bytes, *, kept_until: float) -> bytes:
        change = partial(
            sql_changes.remember,
            name=_short("name", name),
            value=value,
            kept_until=_second_after("kept_until", kept_until),
            second=int(self._now()),
        )
        kept: bytes = await self._write(change, len(value))
        return kept

    async def recall(self, name: bytes) -> bytes | None:
        read = partial(sql_reading.recall, name=name, second=int(self._now()))
        value: bytes | None = await self._read(read)
        return value

    async def revoke(self, subject: str, *, issued_before: float, kept_until: float) -> None:
        change = partial(
            sql_changes.revoke,
            subject=_text("subject", subject),
            issued_before=issued_before,
            kept_until=_second_after("kept_until", kept_until),
        )
        await self._write(change)

    async def revocations(self, position: int) -> list[Revocation]:
        read = partial(sql_reading.revocations, position=position, second=int(self._now()))
        found: list[Revocation] = await self._read(read)
        return found

    async def _read(self, what: Ask | Work) -> Any:
        return await self.reader.ask(Turn(what, time.monotonic() + self._patience))

    async def _write(self, what: tuple[Save, ...] | Work, weight: int = 0) -> Any:
        turn = Turn(what, time.monotonic() + self._patience)
        return await self.writer.ask(turn, CALL_WEIGHT + weight)


def _check(save: Save) -> None:
    """Refuse what no table can hold, before it fails others."""
    _short("push_id", save.push_id)
    _second_after("expires_at", save.expires_at)
    for key in save.keys:
        _stored(key)


def _stored(key: Key) -> str:
    stored = key.stored
    if len(stored) > MAX_SKEY:
        raise BadInput("key", stored, f"at most {MAX_SKEY} characters")
    return stored if stored.isascii() and stored.isprintable() else _text("key", stored)


def _text(field: str, text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise BadInput(field, text, "Unicode text") from None
    if "\0" in text:
        raise BadInput(field, text, "text without NUL")
    return text


def _short(field: str, name: bytes) -> bytes:
    if len(name) > MAX_NAME:
        raise BadInput(field, name, f"at most {MAX_NAME} bytes")
    return name


def _second_after(field: str, instant: float) -> int:
    """The tables' time for a Unix time: alive before it, gone from it on."""
    if not 0 <= instant <= MAX_TIME:
        raise BadInput(field, instant, "a Unix time in seconds")
    return math.ceil(instant)
