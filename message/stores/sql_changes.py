"""What else changes in a database: deletions, facts, revocations, and the sweep.

Each function is one call's, within a transaction. The sweep takes only rows that nobody else has locked
(SKIP LOCKED), so the nodes that share the database sweep side by side.
"""

from collections.abc import Sequence

from message.stores.sql_saving import MOVE_END
from message.stores.sql_session import Session


def delete(session: Session, skey: str, ids: Sequence[int] | None, second: int) -> int:
    """Remove these messages of the key, or all; how many lived at `second`."""
    session.rows(LOCK_KEY, skey)
    gone = session.rows(DELETE_ALL, skey) if ids is None else session.among(DELETE_SOME, ids, skey)
    session.rows(DISCOUNT, len(gone), skey)
    return sum(ttl > second for (ttl,) in gone)


def remember(session: Session, name: bytes, value: bytes, kept_until: int, second: int) -> bytes:
    """Keep `value` unless there is one; the one that is kept."""
    rows = [name], [value], [kept_until]
    [(kept,)] = session.insert(REMEMBER, *rows, after=(second, second))
    return bytes(kept)


def revoke(session: Session, subject: str, issued_before: float, kept_until: int) -> None:
    """Add a revocation. Its position is visible after all lower ones: msg_end is locked."""
    [(_, _, position)] = session.insert(MOVE_END, [1], [0], [0], [1], [0])
    session.rows(REVOKE, position, subject, issued_before, kept_until)


def sweep(session: Session, second: int, limit: int) -> int:
    """Free up to `limit` rows whose time has passed; how many were."""
    done = 0
    for table, name, due in EXPIRING:
        find = FIND_DUE.format(table=table, name=name, due=due)
        found = [row[0] for row in session.rows(find, second, limit - done)]
        session.among(FREE.format(table=table, name=name), found)
        done += len(found)
    return done


LOCK_KEY = "SELECT mark FROM msg_key WHERE skey = %b FOR UPDATE"
DELETE_ALL = "DELETE FROM private_msg WHERE skey = %b RETURNING ttl"
DELETE_SOME = "DELETE FROM private_msg WHERE mid = ANY(%b) AND skey = %b RETURNING ttl"
DISCOUNT = "UPDATE msg_key SET messages = GREATEST(messages - %b, 0) WHERE skey = %b"
REMEMBER = """
    INSERT INTO msg_fact (name, value, kept_until)
    SELECT * FROM unnest(%b::bytea[], %b::bytea[], %b::bigint[])
    ON CONFLICT (name) DO UPDATE SET
        value = CASE WHEN msg_fact.kept_until > %b THEN msg_fact.value ELSE excluded.value END,
        kept_until = CASE WHEN msg_fact.kept_until > %b THEN msg_fact.kept_until
            ELSE excluded.kept_until END
    RETURNING value"""
REVOKE = """
    INSERT INTO msg_revocation (position, subject, issued_before, kept_until)
    VALUES (%b, %b, %b, %b)"""
EXPIRING = [
    ("private_msg", "id", "ttl"),
    ("msg_body", "id", "ttl"),
    ("msg_receipt", "position", "kept_until"),
    ("msg_fact", "name", "kept_until"),
    ("msg_revocation", "position", "kept_until"),
]
FIND_DUE = """
    SELECT {name} FROM {table} WHERE {due} <= %b ORDER BY {due} LIMIT %b FOR UPDATE SKIP LOCKED"""
FREE = "DELETE FROM {table} WHERE {name} = ANY(%b)"
