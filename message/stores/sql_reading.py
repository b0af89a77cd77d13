"""Reading from a database: each function is one call's, on a connection that commits by itself.

A page is cut in the database, so that no more bodies travel than it may hold. Rows of strangers are
skipped: those whose ids are none of ours never come (`mid` has bounds), and a body that is not JSON, which
would spoil the whole page for its reader, is counted.
"""

from collections.abc import Iterator, Sequence

import msgspec

from appmodel.core.message import Feed, Page, Revocation, Stored
from appmodel.core.names import Key
from message.core.retention import take_page
from message.stores.notices import Notices
from message.stores.sql_session import Session

_is_json = msgspec.json.Decoder(msgspec.Raw).decode


def fetch(
    session: Session,
    skey: str,
    span: tuple[int, int],
    *,
    second: int,
    limit: int,
    max_bytes: int,
    notices: Notices,
) -> Page:
    """Messages of a key with ids in (span[0], span[1]] that live at `second`."""

    def messages() -> Iterator[Stored]:
        after, complete = span[0], False
        while not complete:
            rows = session.rows(FETCH, skey, after, span[1], second, limit + 1, max_bytes)
            complete = not rows or len(rows) == rows[0][3] <= limit
            for mid, ttl, body, _ in rows:
                after = mid
                if _is_whole(body):
                    yield Stored(mid, body, float(ttl))
                else:
                    notices.foreign_data(f"private_msg {skey} {mid}")

    return take_page(messages(), limit=limit, max_bytes=max_bytes)


def marks(session: Session, skeys: Sequence[str]) -> list[int]:
    """The mark of each key, 0 if it has none."""
    known: dict[str, int] = dict(session.among(MARKS, list(set(skeys))))
    return [known.get(skey, 0) for skey in skeys]


def feed(session: Session, position: int, limit: int) -> Feed:
    """Marks that rose since `position`; -1 asks for the end only."""
    [(end,)] = session.rows(FEED_END)  # first: all up to it is visible to what is read later
    if position < 0 or position >= end:
        return Feed(end, ())
    rows = session.rows(FEED, position, limit)
    marks = {skey: mark for _, skey, mark in rows}  # a key's last is its highest
    found = tuple((Key.from_stored(skey), mark) for skey, mark in marks.items())
    return Feed(rows[-1][0] if rows else end, found)


def recall(session: Session, name: bytes, second: int) -> bytes | None:
    """What is remembered under `name`."""
    rows = session.rows(RECALL, name, second)
    return bytes(rows[0][0]) if rows else None


def revocations(session: Session, position: int, second: int) -> list[Revocation]:
    """Those above `position` still to be kept."""
    rows = session.rows(REVOCATIONS, position, second)
    return [Revocation(at, subject, before, float(kept)) for at, subject, before, kept in rows]


def _is_whole(body: bytes) -> bool:
    try:
        _is_json(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


# `total` counts the bytes before each row, so the last row is the first that is too much
FETCH = """
    SELECT mid, ttl, msg, found FROM (
        SELECT mid, ttl, msg, count(*) OVER () AS found,
            sum(octet_length(msg)) OVER (ORDER BY mid ROWS UNBOUNDED PRECEDING) - octet_length(msg)
                AS total
        FROM (
            SELECT own.mid, own.ttl, coalesce(msg_body.msg, own.msg) AS msg
            FROM private_msg AS own LEFT JOIN msg_body ON msg_body.id = own.body
            WHERE own.skey = %b AND own.mid > %b AND own.mid <= %b AND own.ttl > %b
            ORDER BY own.mid LIMIT %b
        ) AS picked
    ) AS page WHERE total <= %b ORDER BY mid"""
MARKS = "SELECT skey, mark FROM msg_key WHERE skey = ANY(%b)"
FEED_END = "SELECT position FROM msg_end WHERE id = 1"
FEED = """
    SELECT position, skey, mid FROM msg_receipt WHERE position > %b ORDER BY position LIMIT %b"""
RECALL = "SELECT value FROM msg_fact WHERE name = %b AND kept_until > %b"
REVOCATIONS = """
    SELECT position, subject, issued_before, kept_until FROM msg_revocation
    WHERE position > %b AND kept_until > %b ORDER BY position"""
