"""No more messages of a key than its depth: who is above it, and which of its messages go.

msg_key says of each key how many messages it has at most, and when the first of them expires. Until
then (`soonest`) nothing can have been swept, so the count is right, and the oldest go without a look
at the others: for each key one descent of an index. After it the expired ones are taken out and the rest
is counted, which reads all of the key.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from message.stores.sql_session import Session

SKEW = 5  # seconds by which the clock of another node, which sweeps, may be ahead of ours


class Fullness(NamedTuple):
    """What msg_key says of a key."""

    messages: int  # at most
    soonest: int  # Unix seconds; none expires before
    depth: int  # how many there may be

    @property
    def excess(self) -> int:
        """How many have to go."""
        return max(self.messages - self.depth, 0)


def trim(session: Session, keys: Mapping[str, Fullness], *, second: int) -> dict[str, int]:
    """Take out what is above the depth, within a transaction that has locked the keys.

    Args:
        second: Unix time.

    Returns:
        How many unexpired messages of which key had to go.
    """
    full = {skey: f for skey, f in keys.items() if f.messages > f.depth}
    if not full:
        return {}
    stale = {skey: f for skey, f in full.items() if f.soonest <= second + SKEW}
    full |= _count_again(session, stale, second)
    excess = {skey: f.excess for skey, f in full.items() if f.excess}
    asked: dict[str, list[Any]] = {"skey": list(excess), "excess": list(excess.values())}
    session.among(DELETE, [row[0] for row in session.for_each(OLDEST, asked)])
    session.insert(
        SETTLE,
        list(full),
        [0] * len(full),
        [0] * len(full),
        [fullness.messages - fullness.excess for fullness in full.values()],
        [fullness.soonest for fullness in full.values()],
    )
    return excess


def _count_again(
    session: Session, keys: Mapping[str, Fullness], second: int
) -> dict[str, Fullness]:
    if not keys:
        return {}
    skeys = sorted(keys)
    session.among(DROP_EXPIRED, skeys, second)
    return {
        skey: Fullness(count, soonest, keys[skey].depth)
        for skey, count, soonest in session.among(COUNT, skeys)
    }


OLDEST = "SELECT id FROM private_msg WHERE skey = asked.skey ORDER BY mid LIMIT asked.excess"
DELETE = "DELETE FROM private_msg WHERE id = ANY(%b)"
DROP_EXPIRED = "DELETE FROM private_msg WHERE skey = ANY(%b) AND ttl <= %b"
COUNT = "SELECT skey, count(*), min(ttl) FROM private_msg WHERE skey = ANY(%b) GROUP BY skey"
SETTLE = """
    INSERT INTO msg_key (skey, mark, prev, messages, soonest)
    SELECT * FROM unnest(%b::text[], %b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[])
    ON CONFLICT (skey) DO UPDATE SET messages = excluded.messages, soonest = excluded.soonest"""
