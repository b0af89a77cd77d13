"""What gopush-cluster left in Redis, read and never changed.

    <key>    sorted set    score = mid, member = {"msg":<json>,"expire":<unix seconds>}

The name is the bare key. The mids of the first gopush-cluster count 100 ns and lie above 2^53, where a
score is exact to 2: a tenth of one is the id in µs. Those of the fork are µs. Our first id for a key
follows its last there, so a client goes on with the cursor that it has (in µs, as the fork's).

Source: gopush-cluster message/redis.go; spec/gopush.md 6.1, 7 and L1.
"""

import math
from collections.abc import Sequence

import msgspec
import redis

from appmodel.core.clock import MAX_ID
from appmodel.core.message import Stored
from message.stores.redis_scripts import Command

HUNDREDS = MAX_ID + 1  # a mid from here on counts 100 ns
MOST = (
    1000  # messages read of a key; the original keeps 20, unless its `redis:store` says otherwise
)

Reply = Sequence[bytes] | redis.ResponseError


class _Member(msgspec.Struct):
    msg: msgspec.Raw
    expire: float


_decode = msgspec.json.Decoder(_Member).decode


def mark_command(name: bytes) -> Command:
    """Asks for the last message of a key; `mark_of` reads the reply."""
    return ("ZREVRANGE", name, 0, 0, "WITHSCORES")


def mark_of(reply: Reply) -> int:
    """The highest id of a key; 0 if there is none, or what lies there is of another type."""
    if isinstance(reply, redis.ResponseError) or not reply:
        return 0
    return _id(reply[1]) or 0


def page_commands(name: bytes, after: int, until: int) -> list[Command]:
    """Ask for messages, with the fork's mids and with the older ones; `messages_of` reads a reply."""
    ranges = (f"({after}", until), (max((after + 1) * 10, HUNDREDS), until * 10 + 9)
    return [
        ("ZRANGEBYSCORE", name, low, high, "WITHSCORES", "LIMIT", 0, MOST) for low, high in ranges
    ]


def messages_of(replies: Sequence[Reply], now: float) -> tuple[list[Stored], int]:
    """The unexpired messages of these replies, and how many members are not readable."""
    messages: list[Stored] = []
    unreadable = 0
    for reply in replies:
        if isinstance(reply, redis.ResponseError):
            continue  # another type: not the original's
        for member, score in zip(reply[::2], reply[1::2], strict=True):
            message = _message(member, score)
            if message is None:
                unreadable += 1
            elif message.expires_at > now:
                messages.append(message)
    return messages, unreadable


def _message(member: bytes, score: bytes) -> Stored | None:
    mid = _id(score)
    if mid is None:
        return None
    try:
        found = _decode(member)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return Stored(mid, bytes(found.msg), found.expire)


def _id(score: bytes) -> int | None:
    mid = float(score)
    if not math.isfinite(mid) or not 0 < mid <= 10 * MAX_ID:
        return None
    return int(mid) if mid < HUNDREDS else int(mid) // 10
