"""Opening a store on a file, for tests that look behind the contract."""

import sqlite3
from pathlib import Path
from typing import Any

from appmodel.core.units import Size
from message.config import MessageConfig, SqliteConfig
from message.stores.sqlite import SqliteStore


def config(path: Path, **options: Any) -> MessageConfig:
    """Of a store in that file. Sizes in plain numbers."""
    for name in ("queue_limit", "round_limit", "page_limit", "memory_limit"):
        if name in options:
            options[name] = Size(options[name])
    return MessageConfig(sqlite=SqliteConfig(path=str(path), known_keys=1000), **options)


def rows(path: Path, table: str) -> int:
    """How many rows a table has."""
    return int(query(path, f"SELECT count(*) FROM {table}")[0][0])


def query(path: Path, statement: str) -> list[tuple[Any, ...]]:
    """What the file says, beside the store that has it open."""
    database = sqlite3.connect(path)
    try:
        return database.execute(statement).fetchall()
    finally:
        database.close()


async def limit_pages(store: SqliteStore, more: int) -> None:
    """Let the file grow by `more` pages and no further: a full disk. Negative: no limit."""

    def change(database: sqlite3.Connection, now: float) -> None:
        pages = database.execute("PRAGMA page_count").fetchone()[0] + more
        database.execute(f"PRAGMA max_page_count = {pages if more >= 0 else 2**30}")

    await store.writer.ask(change)
