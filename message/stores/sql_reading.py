"""Reading from a database, on a connection that commits by itself.

Pages that wait together are one statement: 22,000 pages/s by 50, 1,700 one by one (PostgreSQL). A page is cut in the database, so that no more bodies travel than it may hold. Rows of strangers are
skipped: those whose ids are none of ours never come (`mid` has bounds), and a body that is not JSON, which
would spoil the whole page for its reader, is counted.
"""

from collections.abc import Iterator, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

import msgspec

from appmodel.core.message import Feed, Page, Revocation, Stored
from appmodel.core.names import Key
from message.core.retention import copy_for, take_page
from message.stores.notices import Notices
from message.stores.sql_session import Session

Row = tuple[
    Any, ...
]  # number of its ask, mid, ttl, msg, body, and how many rows there were for the ask

_is_json = msgspec.json.Decoder(msgspec.Raw).decode


class Ask(NamedTuple):
    """A page that somebody wants: ids in (after, until], at most `limit`."""

    skey: str
    after: int
    until: int
    limit: int


class Pages:
    """How pages are cut."""

    def __init__(self, max_bytes: int, notices: Notices) -> None:
        self._max_bytes, self._notices = max_bytes, notices

    def fetch(self, session: Session, asks: Sequence[Ask], second: int) -> list[Page]:
        """A page for each, with what lives at `second`."""
        found = self._rows(session, asks, second)
        return [
            take_page(
                self._messages(session, ask, rows, second),
                limit=ask.limit,
                max_bytes=self._max_bytes,
            )
            for ask, rows in zip(asks, found, strict=True)
        ]

    def _messages(
        self, session: Session, ask: Ask, rows: list[Row], second: int
    ) -> Iterator[Stored]:
        """Those that are whole; more is read if strangers' rows have taken their places."""
        key = Key.from_stored(ask.skey)
        while rows:
            for _, mid, ttl, msg, body, _ in rows:
                copy = msg if body is None else copy_for(key, body, msg)
                if _is_whole(copy):
                    yield Stored(mid, copy, float(ttl))
                else:
                    self._notices.foreign_data(f"private_msg {ask.skey} {mid}")
            if len(rows) == rows[0][5] <= ask.limit:  # all that there was
                return
            ask = ask._replace(after=rows[-1][1])
            [rows] = self._rows(session, [ask], second)

    def _rows(self, session: Session, asks: Sequence[Ask], second: int) -> list[list[Row]]:
        columns: dict[str, Sequence[Any]] = {
            "ask": list(range(len(asks))),
            "skey": [ask.skey for ask in asks],
            "after": [ask.after for ask in asks],
            "until": [ask.until for ask in asks],
            "most": [ask.limit + 1 for ask in asks],
        }
        found: list[list[Row]] = [[] for _ in asks]
        for row in session.for_each(FETCH, columns, second, self._max_bytes):
            found[row[0]].append(row)
        for rows in found:
            rows.sort(key=itemgetter(1))
        return found


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


# `total` counts the bytes before each row, so the last row is the first that is too much. Bodies join
# at the end: with them in its window MariaDB makes a file for each page, and 300 pages/s instead of 1,500
FETCH = """
    SELECT asked.ask AS ask, page.mid, page.ttl, own.msg, msg_body.msg AS body, page.found
    FROM (
        SELECT id, mid, ttl, count(*) OVER () AS found,
            sum(size) OVER (ORDER BY mid ROWS UNBOUNDED PRECEDING) - size AS total
        FROM (
            SELECT own.id, own.mid, own.ttl,
                octet_length(own.msg) + coalesce(octet_length(msg_body.msg), 0) AS size
            FROM private_msg AS own LEFT JOIN msg_body ON msg_body.id = own.body
            WHERE own.skey = asked.skey AND own.mid > asked.after AND own.mid <= asked.until
                AND own.ttl > %b
            ORDER BY own.mid LIMIT asked.most
        ) AS picked
    ) AS page JOIN private_msg AS own ON own.id = page.id
    LEFT JOIN msg_body ON msg_body.id = own.body
    WHERE page.total <= %b"""
MARKS = "SELECT skey, mark FROM msg_key WHERE skey = ANY(%b)"
FEED_END = "SELECT position FROM msg_end WHERE id = 1"
FEED = """
    SELECT position, skey, mid FROM msg_receipt WHERE position > %b ORDER BY position LIMIT %b"""
RECALL = "SELECT value FROM msg_fact WHERE name = %b AND kept_until > %b"
REVOCATIONS = """
    SELECT position, subject, issued_before, kept_until FROM msg_revocation
    WHERE position > %b AND kept_until > %b ORDER BY position"""
