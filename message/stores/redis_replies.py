"""What Redis' replies mean. Others may have written there too: what is not ours is told apart, never trusted."""

import math
from collections.abc import Sequence
from typing import Any

from appmodel.core.clock import MAX_ID
from appmodel.core.message import Revocation, Stored
from appmodel.core.names import Key
from message.core.retention import copy_for


def checked(replies: Sequence[Any]) -> list[Any]:
    """The replies, if none of them is an error. Raises the first that is."""
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply
    return list(replies)


def only(replies: Sequence[Any]) -> Any:
    """The one reply. Raises it, if it is an error."""
    [reply] = checked(replies)
    return reply


def number(text: bytes) -> float:
    """0 if it is none."""
    try:
        found = float(text)
    except ValueError:
        return 0.0
    return 0.0 if math.isnan(found) else found


def whole(text: bytes | None) -> int:
    """An id or a mark; 0 if it is none."""
    found = number(text) if text else 0.0
    return int(found) if 0 < found <= MAX_ID else 0


def page_of(key: Key, reply: Sequence[Any]) -> tuple[list[Stored], int]:
    """The messages that FETCH found for `key`, and how many members or bodies are not to be read."""
    *flat, unreadable, lost = reply
    rows = zip(flat[::4], flat[1::4], flat[2::4], flat[3::4], strict=True)
    messages = [
        Stored(whole(mid), copy_for(key, body, tail), number(until))
        for mid, until, body, tail in rows
    ]
    return messages, unreadable + lost


def fact(revocation: Revocation) -> bytes:
    """As it is kept; its position is the score."""
    kept_until, issued_before = revocation.kept_until, revocation.issued_before
    return f"{kept_until!r} {issued_before!r} {revocation.subject}".encode()


def revocation(fact: bytes, position: bytes) -> Revocation | None:
    """What `fact` made; None if it is something else."""
    try:
        kept_until, issued_before, subject = fact.decode().split(" ", 2)
        return Revocation(int(float(position)), subject, float(issued_before), float(kept_until))
    except (ValueError, OverflowError):
        return None
