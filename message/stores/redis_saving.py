"""Saves into one bucket: the arguments of the script SAVE, and what it answers.

calls  [Save(push 1, keys a b), Save(push 2, key a)]  [Save(push 3, key c)]
one    EVALSHA save KEYS marks feed highest  push:1 key:a key:b  push:2 key:a  push:3 key:c
               ARGV ...              proposed expires_at life kept_until life body 2   ...  tails, if any
reply  [[id, prev, id, prev, ...], [key, trimmed, ...], new messages]
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from appmodel.core.clock import MAX_ID
from appmodel.core.message import Save, Saved
from message.config import MessageConfig
from message.core.retention import MAX_AHEAD_US, kept_until, size_of, tails_of
from message.stores.redis_keys import Bucket, lifetime, number_of
from message.stores.redis_scripts import SAVE, Argument, Command

Pair = tuple[int, int]
"""The (id, prev) of a message."""


KEY_WEIGHT = 256  # bytes that a key of a waiting save counts for, beside the body


@dataclass(frozen=True, slots=True)
class Part:
    """What a call saves into one bucket."""

    saves: Sequence[tuple[Save, Sequence[bytes]]]  # with its keys that lie there, by name

    @property
    def weight(self) -> int:
        """Bytes that it takes on its way, about."""
        return sum(size_of(save) + KEY_WEIGHT * len(names) for save, names in self.saves)

    @property
    def rows(self) -> int:
        """How many messages it will be, at most."""
        return sum(len(names) for _, names in self.saves)

    @property
    def names(self) -> Iterator[bytes]:
        """The keys, in their order."""
        return (name for _, names in self.saves for name in names)


def save_command(
    bucket: Bucket,
    config: MessageConfig,
    parts: Sequence[Part],
    *,
    now: float,
    highest: int,
    floors: dict[bytes, int] | None = None,
    only_check: bool = False,
) -> Command:
    """All of `parts` in one command.

    Args:
        highest: mark of all keys, as far as we know.
        floors: marks that keys have elsewhere.
        only_check: change nothing; it fails as the save itself would.
    """
    ceiling = min(max(int(now * 1e6), highest) + MAX_AHEAD_US, MAX_ID)
    skip = len(bucket.key(b""))
    keys: list[bytes] = [bucket.marks, bucket.feed, bucket.highest]
    head: list[Argument] = [now, ceiling, config.depth, config.queue_depth, config.redis.feed_limit]
    has_tails = any(save.tails for part in parts for save, _ in part.saves)
    head += [int(only_check), bucket.base, skip, int(has_tails)]
    arguments: list[Argument] = []
    tails: list[Argument] = []
    lowest: list[Argument] = []
    for part in parts:
        for save, names in part.saves:
            kept = kept_until(now, save.expires_at)
            arguments += (
                save.proposed_id,
                save.expires_at,
                lifetime(save.expires_at - now),
                kept,
                lifetime(kept - now),
                save.body,
                len(names),
            )
            keys.append(bucket.push(save.push_id))
            keys += map(bucket.key, names)
            if has_tails:
                tails += (b"", *_tails_in_order(save, names))
            if floors is not None:
                lowest += (0, *(floors.get(name, 0) for name in names))
    return SAVE.call(keys, *head, *arguments, *tails, *lowest)


def _tails_in_order(save: Save, names: Sequence[bytes]) -> list[bytes]:
    tail_of = {key.stored.encode(): tail for key, tail in tails_of(save).items()}
    return [tail_of.get(name, b"") for name in names]


def pairs_of(parts: Sequence[Part], answers: Sequence[int]) -> list[list[Pair]]:
    """What the script answered, for each part in the order of its keys."""
    rows = iter(zip(answers[::2], answers[1::2], strict=True))
    return [[next(rows) for _ in part.names] for part in parts]


def parts_of(saves: Sequence[Save], buckets: int) -> dict[int, Part]:
    """What goes into which bucket; those that get nothing are not there."""
    parts: dict[int, list[tuple[Save, Sequence[bytes]]]] = defaultdict(list)
    for save in saves:
        names: dict[int, list[bytes]] = defaultdict(list)
        for key in save.keys:
            name = key.stored.encode()
            names[number_of(name, buckets)].append(name)
        for number, some in names.items():
            parts[number].append((save, some))
    return {number: Part(some) for number, some in parts.items()}


def verdicts(
    saves: Sequence[Save], answers: Mapping[int, Sequence[Pair]], buckets: int
) -> list[Saved]:
    """The verdict on each save, from what each bucket has answered."""
    rows = {number: iter(pairs) for number, pairs in answers.items()}
    saved = []
    for save in saves:
        if buckets == 1:
            pairs = list(islice(rows.get(0, iter(())), len(save.keys)))
        else:
            numbers = [number_of(key.stored.encode(), buckets) for key in save.keys]
            pairs = [next(rows[number]) for number in numbers]
        saved.append(Saved(tuple(mid for mid, _ in pairs), tuple(prev for _, prev in pairs)))
    return saved
