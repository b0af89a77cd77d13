"""The SQLite file: its tables, and opening one safely.

    push        one row per save: the body once, however many keys it goes to
    receipt     one row per push and key, numbered in commit order: answers retries and the feed
    message     the live ones: (key, id) -> push, and what only this key gets; expired, trimmed and deleted ones simply go
    key         the mark of each key, for ever
    answer      what the ledger remembers
    revocation  whose credentials are void

A push has the number of its first receipt, and its receipts follow on: so no index joins the two,
the feed's position is a receipt's number, and a sweep can stop and go on anywhere.

"Durable" means: in the write-ahead log and through fsync (`synchronous = full`). A killed process
loses nothing; a power cut loses nothing, if the disk tells the truth. With `normal` the log is synced
at checkpoints only: a killed process still loses nothing, a power cut the last commits, and never
the file. The file is one process's: marks are kept in memory, so a second writer is locked out.
"""

import contextlib
import fcntl
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from appmodel.errors import ConfigError

SETTING = "message.sqlite.path"
APPLICATION_ID = 0x61706D73  # "apms": tells our files from other programs'
SCHEMA_VERSION = 2

SCHEMA = """
CREATE TABLE push (
    id INTEGER PRIMARY KEY,        -- number of its first receipt
    push_id BLOB NOT NULL,         -- not unique: a retry may bring further keys
    expires_at REAL NOT NULL,
    kept_until REAL NOT NULL,
    due REAL NOT NULL,             -- expires_at while messages are live, then kept_until
    receipts INTEGER NOT NULL,     -- how many, while the sweep has not forgotten them
    freed INTEGER NOT NULL,        -- how many of them the sweep has freed of their message
    live INTEGER NOT NULL,         -- messages not trimmed or deleted; 0 = the body is gone
    body BLOB                      -- last, so that the columns before it are read without it
);
CREATE INDEX push_by_push_id ON push (push_id);
CREATE INDEX push_by_due ON push (due);
CREATE TABLE receipt (
    id INTEGER PRIMARY KEY,
    key_id INTEGER NOT NULL,
    mid INTEGER NOT NULL,
    prev INTEGER NOT NULL
);
CREATE TABLE message (
    key_id INTEGER NOT NULL,
    mid INTEGER NOT NULL,
    push INTEGER NOT NULL,
    tail BLOB,                     -- of the copy for this key
    PRIMARY KEY (key_id, mid)
) WITHOUT ROWID;
CREATE TABLE key (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,     -- Key.stored
    mark INTEGER NOT NULL
);
CREATE TABLE answer (
    name BLOB PRIMARY KEY,
    value BLOB NOT NULL,
    kept_until REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX answer_by_kept_until ON answer (kept_until);
CREATE TABLE revocation (
    position INTEGER PRIMARY KEY AUTOINCREMENT,  -- never given twice, also when rows have gone
    subject TEXT NOT NULL,
    issued_before REAL NOT NULL,
    kept_until REAL NOT NULL
);
"""
CHANGES = {0: SCHEMA, 1: "ALTER TABLE message ADD COLUMN tail BLOB"}  # of an older file


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the file `path` against other processes; made with its folder if missing.

    Raises:
        ConfigError: another process has it open, or it cannot be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.with_name(f"{path.name}-lock").open("w", encoding="ascii")
    except OSError as error:
        raise ConfigError(SETTING, str(path), f"cannot be made: {error.strerror}") from None
    with lock:  # closing gives the lock back, as the end of the process does
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            expected = "another process has this store open: does a node run already?"
            raise ConfigError(SETTING, str(path), expected) from None
        yield


def open_writer(path: Path, *, synchronous: str, cache: int) -> sqlite3.Connection:
    """The connection that writes; makes the tables in a new file.

    Args:
        synchronous: "full" or "normal".
        cache: bytes of pages to keep in memory.

    Raises:
        ConfigError: the file is not ours, newer than this program, corrupt, or cannot be opened.
    """
    if not path.exists():
        path.touch(0o600)  # what users are told is for nobody else; -wal and -shm follow it
    with named_errors(path), contextlib.ExitStack() as undo:
        database = _connect(path, cache)
        undo.callback(database.close)
        _check_origin(database, path)
        database.execute("PRAGMA journal_mode = wal")
        database.execute(f"PRAGMA synchronous = {synchronous}")
        database.execute(
            "PRAGMA secure_delete = off"
        )  # Debian's default fills what goes with zeros
        if (change := CHANGES.get(_pragma(database, "user_version"))) is not None:
            database.executescript(
                f"BEGIN; {change}; PRAGMA application_id = {APPLICATION_ID};"
                f"PRAGMA user_version = {SCHEMA_VERSION}; COMMIT"
            )
        undo.pop_all()
        return database


def open_reader(path: Path, *, cache: int) -> sqlite3.Connection:
    """A connection that only reads, beside the writer's."""
    with named_errors(path), contextlib.ExitStack() as undo:
        database = _connect(path, cache)
        undo.callback(database.close)
        database.execute("PRAGMA query_only = on")
        undo.pop_all()
        return database


@contextlib.contextmanager
def named_errors(path: Path) -> Iterator[None]:
    """What SQLite says while a store opens becomes a ConfigError that names the file."""
    try:
        yield
    except sqlite3.Error as error:
        raise ConfigError(SETTING, str(path), f"cannot be used: {error}") from None


def _connect(path: Path, cache: int) -> sqlite3.Connection:
    database = sqlite3.connect(
        path,
        isolation_level=None,  # we say BEGIN and COMMIT
        check_same_thread=False,  # one thread at a time: its Rounds see to that
        cached_statements=256,
    )
    try:
        database.execute(f"PRAGMA cache_size = -{cache // 1024}")
    except sqlite3.Error:
        database.close()
        raise
    return database


def _check_origin(database: sqlite3.Connection, path: Path) -> None:
    version = _pragma(database, "user_version")
    application = _pragma(database, "application_id")
    empty = database.execute("SELECT count(*) FROM sqlite_schema").fetchone() == (0,)
    if not (application == APPLICATION_ID or (empty and application == version == 0)):
        raise ConfigError(SETTING, str(path), "a file of another program, expected a message store")
    if version > SCHEMA_VERSION:
        expected = f"made by a newer program (schema {version}), expected at most {SCHEMA_VERSION}"
        raise ConfigError(SETTING, str(path), expected)


def _pragma(database: sqlite3.Connection, name: str) -> int:
    value: int = database.execute(f"PRAGMA {name}").fetchone()[0]
    return value
