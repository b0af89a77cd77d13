"""Taking out of the SQLite file what has had its time, in slices that keep nobody waiting.

A push is due twice: when it expires its messages and its body go, and when its receipts are no longer
needed they go with it; without live messages only the second is left, and `due` says so already.
A slice may end within a push: `freed` and `receipts` say how far it came.
"""

import sqlite3

DUE = """
    SELECT id, receipts, freed, live FROM push WHERE due <= ? ORDER BY due LIMIT ?"""
DROP_MESSAGES = """
    DELETE FROM message WHERE (key_id, mid) IN (
        SELECT key_id, mid FROM receipt WHERE id >= ? AND id < ?)"""
EXPIRED = "UPDATE push SET freed = receipts, live = 0, due = kept_until, body = NULL WHERE id = ?"
DROP_ANSWERS = """
    DELETE FROM answer WHERE name IN (SELECT name FROM answer WHERE kept_until <= ? LIMIT ?)"""
DROP_REVOCATIONS = """
    DELETE FROM revocation WHERE position IN (
        SELECT position FROM revocation WHERE kept_until <= ? LIMIT ?)"""


def sweep(database: sqlite3.Connection, now: float, limit: int) -> int:
    """Free at most `limit` receipts, messages and ledger entries whose time has passed; how many.

    Runs within a transaction.
    """
    done = _sweep_pushes(database, now, limit)
    for statement in (DROP_ANSWERS, DROP_REVOCATIONS):
        done += database.execute(statement, (now, limit - done)).rowcount
    return done


def _sweep_pushes(database: sqlite3.Connection, now: float, limit: int) -> int:
    left = limit
    (newest,) = database.execute("SELECT max(id) FROM push").fetchone()
    for push, receipts, freed, live in database.execute(DUE, (now, limit)).fetchall():
        if not left:
            break
        if live:
            left -= _expire(database, push, receipts, freed, left)
        elif push != newest:  # the newest holds the numbering
            left -= _forget(database, push, receipts, left)
    return limit - left


def _expire(database: sqlite3.Connection, push: int, receipts: int, freed: int, limit: int) -> int:
    count = min(receipts - freed, limit)
    database.execute(DROP_MESSAGES, (push + freed, push + freed + count))
    if freed + count == receipts:
        database.execute(EXPIRED, (push,))
    else:
        database.execute("UPDATE push SET freed = freed + ? WHERE id = ?", (count, push))
    return count


def _forget(database: sqlite3.Connection, push: int, receipts: int, limit: int) -> int:
    count = min(receipts, limit)
    end = push + receipts
    database.execute("DELETE FROM receipt WHERE id >= ? AND id < ?", (end - count, end))
    if count == receipts:
        database.execute("DELETE FROM push WHERE id = ?", (push,))
    else:
        database.execute("UPDATE push SET receipts = receipts - ? WHERE id = ?", (count, push))
    return count
