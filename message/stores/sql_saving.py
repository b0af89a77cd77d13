"""Saves into a database: all that one transaction takes are read, decided and written together.

    find     receipts of the push ids         known ones answer as the first time
    raise    msg_key: mark = GREATEST(mark + n, top + n), prev = mark      locks the keys; then queues, whose
                                                                           ids are 1000 apart
    decide   id and prev of each message      in memory, from the mark that was there
    write    msg_body, private_msg, and what is above the depth goes
    feed     msg_end: position + n            locks the end of the feed
    write    msg_receipt

Several message nodes write at once. Keys are locked in the order of their names, so nodes wait for one
another and do not dead-lock. A push that two nodes save at the same time ends at the unique key of its
receipts: whoever comes second begins anew, and finds the first one's answer.

A reader of the feed must not see position 7 before 6: so the end of the feed is locked last, until
the commit. That makes commits of all nodes queue up, with many saves in each. Reading behind a horizon
of open transactions would not, but MariaDB does not tell one.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

from appmodel.core.message import Save, Saved
from appmodel.core.names import QUEUE_STEP, Key
from message.config import MessageConfig
from message.core.retention import (
    copy_for,
    kept_until,
    message_id,
    runs_away,
    step_of,
    tails_of,
)
from message.stores.sql_depth import Fullness, trim
from message.stores.sql_session import Session

Pair = tuple[int, int]  # (id, prev)
Place = Pair | int  # an answer, or the number of the message that it will be that of


@dataclass(slots=True)
class Claim:
    """What a transaction wants of one key."""

    count: int  # messages
    top: int  # so that the last of them gets the id max(mark, top) + count * step
    soonest: int  # Unix seconds at which the first of them expires
    depth: int  # messages that are kept of it


class Draft:
    """The saves of one transaction: `find`, then `add` each call's, `write`, and `answer` each.

    Args:
        now: Unix seconds.
        highest: an id that some message has had; the database is asked for a later one when needed.
    """

    def __init__(self, config: MessageConfig, *, now: float, highest: int) -> None:
        self._config, self._now, self._second = config, now, int(now)
        self.highest = highest
        self.trimmed: dict[str, int] = {}  # how many messages of which key had to make room
        self._places: dict[tuple[bytes, str], Place] = {}  # of what is known
        self._spent: list[int] = []  # positions of receipts whose time has passed
        self._claims: dict[int, dict[str, Claim]] = {1: {}, QUEUE_STEP: {}}  # by step
        self._saves: list[Save] = []  # one per message, as all lists here
        self._skeys: list[str] = []
        self._steps: list[int] = []
        self._bodies: list[
            tuple[bytes, int | None]
        ] = []  # the copy; or the tail, and where the body is
        self._shared: list[tuple[int, int, bytes]] = []  # rows of msg_body
        self._answers: list[Pair] = []

    @property
    def count(self) -> int:
        """How many messages are new."""
        return len(self._skeys)

    def find(self, session: Session, saves: Sequence[Save]) -> None:
        """Read what is needed to decide on `saves`."""
        push_ids = list({save.push_id for save in saves})
        for position, push_id, skey, mid, prev, kept in session.among(FIND, push_ids):
            if kept > self._second:
                self._places[push_id, skey] = (mid, prev)
            else:
                self._spent.append(position)
        if any(self._runs_away(save) for save in saves):
            [(highest,)] = session.rows(HIGHEST)
            self.highest = max(self.highest, highest)

    def add(self, saves: Sequence[Save]) -> list[list[Place]] | int:
        """Take the saves of one call, all of them or none.

        Returns:
            Where their answers will be; or the proposed id of a clock that ran away.
        """
        for save in saves:
            if self._runs_away(save) and any(
                (save.push_id, key.stored) not in self._places for key in save.keys
            ):
                return save.proposed_id
        return [self._add(save) for save in saves]

    def write(self, session: Session) -> None:
        """Decide, and put all into the tables."""
        if not self._skeys:
            return
        fullness = self._raise_marks(session)
        self._write_messages(session)
        self.trimmed = trim(session, fullness, second=self._second)
        if self._spent:
            session.among(FORGET, self._spent)
        self._write_receipts(session)

    def answer(self, places: Sequence[Sequence[Place]]) -> list[Saved]:
        """What `add` has promised, after `write`."""
        return [self._saved(some) for some in places]

    def _runs_away(self, save: Save) -> bool:
        return runs_away(save.proposed_id, now=self._now, highest=self.highest)

    def _add(self, save: Save) -> list[Place]:
        places: list[Place] = []
        new: list[Key] = []
        ttl = _second_after(save.expires_at)
        for key in save.keys:
            name = (save.push_id, key.stored)
            place = self._places.get(name)
            if place is None:
                place = self._places[name] = len(self._skeys)
                self._skeys.append(name[1])
                self._steps.append(step_of(key))
                self._claim(key, name[1], save.proposed_id, ttl)
                new.append(key)
            places.append(place)
        if new:
            self._add_bodies(save, new, ttl)
            self._saves += [save] * len(new)
            self.highest = max(self.highest, save.proposed_id)
        return places

    def _add_bodies(self, save: Save, keys: Sequence[Key], ttl: int) -> None:
        tails = tails_of(save)
        if len(keys) == 1:
            [key] = keys
            self._bodies.append((copy_for(key, save.body, tails.get(key, b"")), None))
            return
        body = time.time_ns() + len(self._shared)
        self._shared.append((body, ttl, save.body))
        self._bodies += [(tails.get(key, b""), body) for key in keys]

    def _claim(self, key: Key, skey: str, proposed: int, ttl: int) -> None:
        step = self._steps[-1]
        claims, floor = self._claims[step], message_id(proposed, 0, step) - step
        claim = claims.get(skey)
        if claim is None:
            claims[skey] = Claim(1, floor, ttl, self._config.depth_of(key))
        else:
            claim.top = max(claim.top, floor - claim.count * step)
            claim.count += 1
            claim.soonest = min(claim.soonest, ttl)

    def _raise_marks(self, session: Session) -> dict[str, Fullness]:
        """Lock the keys, and give each message its id."""
        marks: dict[str, int] = {}
        fullness: dict[str, Fullness] = {}
        for step, claims in self._claims.items():
            skeys = sorted(claims)
            for skey, prev, messages, soonest in session.insert(
                RAISE_MARKS if step == 1 else RAISE_QUEUES,
                skeys,
                [claims[skey].top + claims[skey].count * step for skey in skeys],
                [0] * len(skeys),
                [claims[skey].count for skey in skeys],
                [claims[skey].soonest for skey in skeys],
            ):
                marks[skey] = prev
                fullness[skey] = Fullness(messages, soonest, claims[skey].depth)
        for skey, save, step in zip(self._skeys, self._saves, self._steps, strict=True):
            prev = marks[skey]
            mid = marks[skey] = message_id(save.proposed_id, prev, step)
            self._answers.append((mid, prev))
        return fullness

    def _write_messages(self, session: Session) -> None:
        if self._shared:
            session.insert(ADD_BODIES, *map(list, zip(*self._shared, strict=True)))
        session.insert(
            ADD_MESSAGES,
            self._skeys,
            [mid for mid, _ in self._answers],
            [_second_after(save.expires_at) for save in self._saves],
            [body for body, _ in self._bodies],
            [shared for _, shared in self._bodies],
        )

    def _write_receipts(self, session: Session) -> None:
        count, highest = len(self._skeys), max(mid for mid, _ in self._answers)
        [(end, self.highest, _)] = session.insert(MOVE_END, [1], [count], [highest], [0], [0])
        session.insert(
            ADD_RECEIPTS,
            list(range(end - count + 1, end + 1)),
            [save.push_id for save in self._saves],
            self._skeys,
            [mid for mid, _ in self._answers],
            [prev for _, prev in self._answers],
            [_second_after(kept_until(self._now, save.expires_at)) for save in self._saves],
        )

    def _saved(self, places: Sequence[Place]) -> Saved:
        pairs = [self._answers[place] if isinstance(place, int) else place for place in places]
        return Saved(tuple(mid for mid, _ in pairs), tuple(prev for _, prev in pairs))


def _second_after(instant: float) -> int:
    """The tables' time for a Unix time: alive before it, gone from it on."""
    return math.ceil(instant)


HIGHEST = "SELECT highest FROM msg_end WHERE id = 1"
FIND = """
    SELECT position, push_id, skey, mid, prev, kept_until FROM msg_receipt WHERE push_id = ANY(%b)"""
FORGET = "DELETE FROM msg_receipt WHERE position = ANY(%b)"
RAISE_MARKS = """
    INSERT INTO msg_key (skey, mark, prev, messages, soonest)
    SELECT * FROM unnest(%b::text[], %b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[])
    ON CONFLICT (skey) DO UPDATE SET
        prev = msg_key.mark,
        mark = GREATEST(msg_key.mark + excluded.messages, excluded.mark),
        messages = msg_key.messages + excluded.messages,
        soonest = LEAST(msg_key.soonest, excluded.soonest)
    RETURNING skey, prev, messages, soonest"""
RAISE_QUEUES = RAISE_MARKS.replace(
    "msg_key.mark + excluded.messages", f"msg_key.mark + {QUEUE_STEP} * excluded.messages"
)
ADD_BODIES = """
    INSERT INTO msg_body (id, ttl, msg) SELECT * FROM unnest(%b::bigint[], %b::bigint[], %b::bytea[])"""
# what a stranger put where our message goes has to go: the mark says which ids are ours
ADD_MESSAGES = """
    INSERT INTO private_msg (skey, mid, ttl, msg, body)
    SELECT * FROM unnest(%b::text[], %b::bigint[], %b::bigint[], %b::bytea[], %b::bigint[])
    ON CONFLICT (skey, mid) DO UPDATE SET
        ttl = excluded.ttl, msg = excluded.msg, body = excluded.body"""
MOVE_END = """
    INSERT INTO msg_end (id, position, highest, revocation, version)
    SELECT * FROM unnest(%b::integer[], %b::bigint[], %b::bigint[], %b::bigint[], %b::integer[])
    ON CONFLICT (id) DO UPDATE SET
        position = msg_end.position + excluded.position,
        highest = GREATEST(msg_end.highest, excluded.highest),
        revocation = msg_end.revocation + excluded.revocation
    RETURNING position, highest, revocation"""
ADD_RECEIPTS = """
    INSERT INTO msg_receipt (position, push_id, skey, mid, prev, kept_until)
    SELECT * FROM unnest(
        %b::bigint[], %b::bytea[], %b::text[], %b::bigint[], %b::bigint[], %b::bigint[])"""
