"""What a store remembers and for how long: the decisions that all stores share.

    mark      of a key            for ever
    message   (key, id) -> copy   until it expires, is deleted, or `depth` newer ones of its key live; of a queue
                                  (`Key.is_queue`) `queue_depth`
    receipt   (push id, key)      answers retries with the first (id, prev), for 24 h or the ttl if longer

Nothing here waits or looks at a clock. Source: cluster.md section 2; the originals kept 20 messages
a key, forgot ids with their messages, and had no receipts (spec/gopush.md sections 6 and 10.3).
"""

from collections.abc import Iterable, Mapping

from appmodel.core.clock import MAX_ID
from appmodel.core.message import DEDUPE_WINDOW, Page, Save, Stored, personal
from appmodel.core.names import QUEUE_STEP, Key

NO_TAILS: Mapping[Key, bytes] = {}  # one for all: a memory store has many
MAX_AHEAD_US = 300_000_000  # 5 min; appmodel/core/clock.py believes a client a fifth of it


def step_of(key: Key) -> int:
    """How far apart the ids of a key's messages are, at least."""
    return QUEUE_STEP if key.is_queue else 1


def message_id(proposed: int, mark: int, step: int = 1) -> int:
    """The id of a key's next message: the one proposed, if it is above all before it.

    Of a queue it is a whole number of steps: what is proposed is rounded up.
    """
    if step > 1:
        return max(proposed + -proposed % step, mark + step)
    return proposed if proposed > mark else mark + 1


def kept_until(now: float, expires_at: float) -> float:
    """How long the receipts of a push saved at `now` are kept. Unix seconds, as all times here."""
    return max(now + DEDUPE_WINDOW, expires_at)


def copy_for(key: Key, body: bytes, tail: bytes) -> bytes:
    """The message as `key` gets it; b"" is no tail."""
    return personal(body, tail, key) if tail else body


def tails_of(save: Save) -> Mapping[Key, bytes]:
    """The tail of each key; empty if there are none."""
    return dict(zip(save.keys, save.tails, strict=True)) if save.tails else NO_TAILS


def size_of(save: Save) -> int:
    """Bytes of the body and the tails: what a save carries, beside its keys."""
    return len(save.body) + sum(map(len, save.tails))


def runs_away(proposed: int, *, now: float, highest: int) -> bool:
    """Whether a proposed id is more than 5 min ahead of our time and of the `highest` mark.

    A mark only grows, so one comet whose clock is years ahead would spoil its keys for ever: nothing
    may be stored under such an id.
    """
    return proposed > min(max(int(now * 1e6), highest) + MAX_AHEAD_US, MAX_ID)


def take_page(messages: Iterable[Stored], *, limit: int, max_bytes: int) -> Page:
    """The first of `messages`, at most `limit`, and no more bodies than fit in `max_bytes`.

    A page holds at least one message, so whoever asks again always gets on. `messages` is read one
    further than the page, and not to its end.
    """
    page: list[Stored] = []
    room = max_bytes
    for message in messages:
        room -= len(message.body)
        if len(page) == limit or (page and room < 0):
            return Page(tuple(page), more=True)
        page.append(message)
    return Page(tuple(page), more=False)
