"""The store in Redis: one server, a master that Sentinel watches, or a Cluster. Several message nodes share it.

    save                    a Lua script per bucket and round: ids, receipts, messages, feed, all at once
    fetch, marks, feed      pipelined reads
    expiry                  Redis' own; a sweep frees revocations only

"Durable" means: Redis has it in memory, and on its disk as far as its own settings say.

    appendonly yes, appendfsync always      an answer comes after fsync: a crash or power cut loses nothing
    appendonly yes, appendfsync everysec    a power cut loses up to a second, at times two; a kill of the
                                            process mostly nothing: it writes to the log before it answers,
                                            unless an fsync takes long
    snapshots (`save`) only                 a crash loses all since the last snapshot
    neither                                 a restart loses everything; a line at start warns of it
    replicas, fail-over                     replication is asynchronous: a fail-over loses what the new
                                            master has not received. With `message.redis.replicas = n` an
                                            answer waits for n replicas (WAIT), and what was answered
                                            survives if one of these is promoted
    a partition                             an old master takes saves until it notices; they are lost, with
                                            their answers, unless `replicas` or its min-replicas-to-write
                                            forbids it
    maxmemory with an eviction policy       bodies and marks may vanish at any time; only `noeviction`
                                            keeps the contract; a line at start warns of the others

What is lost this way leaves no gap that a reader takes for a message: ids go on above the time.

All of a batch or nothing: with one bucket a batch is one script run. With several, a batch whose buckets
do not agree is `OutcomeUnknown`, and a retry settles it; only an id of a clock that ran away is looked
for in all of them first. Slots of a Cluster are moved key by key, and a
script must see all of a bucket: stop the message nodes while a slot of ours is moved. Fail-overs need
nothing. Redis 6.2 or newer.

Contract: appmodel/core/interfaces.py, `OfflineStore` and `Ledger`; cluster.md section 2. Layout: redis_keys.py.
"""

import contextlib
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import trio

from appmodel.core.clock import MAX_ID
from appmodel.core.message import Feed, Page, Revocation, Save, Saved
from appmodel.core.names import Key
from appmodel.errors import NotStored, Unavailable
from message.config import MessageConfig
from message.core.retention import runs_away, take_page
from message.stores import redis_original as original
from message.stores.notices import Notices
from message.stores.redis_feed import FeedReader
from message.stores.redis_keys import lifetime, number_of
from message.stores.redis_lane import Ask, Highest
from message.stores.redis_lanes import CALL_WEIGHT, Lanes
from message.stores.redis_replies import checked, fact, number, only, page_of, revocation, whole
from message.stores.redis_saving import parts_of, save_command, verdicts
from message.stores.redis_scripts import (
    DELETE,
    FETCH,
    FORGET,
    REMEMBER,
    REVOKE,
    Argument,
    Command,
)


@contextlib.asynccontextmanager
async def open_redis(
    config: MessageConfig, now: Callable[[], float] = time.time
) -> AsyncIterator["RedisStore"]:
    """The store until the block ends; what was asked by then is still done.

    A server that is away is waited for later: `trouble` says so, and calls are refused meanwhile.

    Raises:
        ConfigError: Redis refuses us, or what lies there was made with other settings.
    """
    store = RedisStore(config, now)
    try:
        await trio.to_thread.run_sync(store.lanes.connect)
        async with trio.open_nursery() as nursery:
            for lane in store.lanes:
                nursery.start_soon(lane.run)
            try:
                yield store
            finally:
                for lane in store.lanes:
                    lane.close()
    finally:
        for lane in store.lanes:
            lane.disconnect()


class RedisStore:
    """An `OfflineStore` and a `Ledger`. Made by `open_redis`."""

    def __init__(self, config: MessageConfig, now: Callable[[], float]) -> None:
        self._config, self._now = config, now
        self._original = config.redis.original
        self._highest = Highest()
        self.notices = Notices()
        self.lanes = Lanes(config, now, self.notices, self._highest)
        self._feed = FeedReader(self.lanes, config.redis.feed_limit, self.notices, now)

    @property
    def trouble(self) -> str | None:
        """Why it does not serve all keys, until it does."""
        return next((lane.trouble for lane in self.lanes if lane.trouble), None)

    @property
    def waiting(self) -> int:
        """Bytes of what waits for Redis."""
        return sum(lane.writer.waiting for lane in self.lanes)

    async def save(self, saves: Sequence[Save]) -> list[Saved]:
        now, highest = self._now(), self._highest.mark
        if any(runs_away(save.proposed_id, now=now, highest=highest) for save in saves):
            await self._check(saves)
        answers = await self.lanes.save(parts_of(saves, len(self.lanes)))
        return verdicts(saves, answers, len(self.lanes))

    async def fetch(self, key: Key, after: int, *, limit: int, until: int | None = None) -> Page:
        name = key.stored.encode()
        lane = self.lanes.of(name)
        place, room = (
            lane.bucket.key(name),
            int(self._config.page_limit),
        )  # the packer takes no Size
        after = min(max(after, -1), MAX_ID)
        last = MAX_ID if until is None else min(max(until, -1), MAX_ID)
        arguments = (after, last, self._now(), limit + 1, room, lane.bucket.base)
        commands = [FETCH.call([place], *arguments)]
        if self._original:
            commands += original.page_commands(name, max(after, 0), last)

        def parse(replies: list[Any]) -> Page:
            messages, unreadable = page_of(key, checked(replies[:1])[0])
            self._note_foreign(place, unreadable)
            if self._original:
                found, unreadable = original.messages_of(replies[1:], self._now())
                self._note_foreign(name, unreadable)
                messages = sorted(messages + found, key=lambda message: message.id)
            return take_page(messages, limit=limit, max_bytes=room)

        page: Page = await lane.reader.ask(Ask(commands, parse))
        return page

    async def marks(self, keys: Sequence[Key]) -> list[int]:
        names = [key.stored.encode() for key in keys]
        if not names:
            await trio.lowlevel.checkpoint()
        by_bucket: dict[int, list[bytes]] = defaultdict(list)
        for name in names:
            by_bucket[number_of(name, len(self.lanes))].append(name)
        asks = {bucket: self._ask_marks(bucket, some) for bucket, some in by_bucket.items()}
        marks: dict[bytes, int] = {}
        for found in (await self.lanes.read_all(asks)).values():
            marks |= found
        return [marks[name] for name in names]

    async def delete(self, key: Key, ids: Sequence[int] | None = None) -> int:
        name = key.stored.encode()
        lane = self.lanes.of(name)
        which: list[Argument] = ["all" if ids is None else "some"]
        which += (mid for mid in ids or () if 0 < mid <= MAX_ID)
        command = DELETE.call([lane.bucket.key(name)], self._now(), lane.bucket.base, *which)
        deleted: int = await lane.writer.ask(Ask([command], only, repeatable=False), CALL_WEIGHT)
        return deleted

    async def feed(self, position: int, *, limit: int) -> Feed:
        return await self._feed.read(position, limit)

    async def sweep(self, *, limit: int) -> int:
        probes = {
            lane.bucket.number: Ask([("SET", lane.bucket.probe, 1, "PX", 1)], checked)
            for lane in self.lanes
            if lane.trouble is not None  # is it over?
        }
        await self.lanes.write_all(probes)
        bucket = self.lanes.first.bucket
        command = FORGET.call([bucket.revoked, bucket.revoked_until], self._now(), limit)
        done: int = await self.lanes.first.writer.ask(Ask([command], only), CALL_WEIGHT)
        self.notices.swept += done
        return done

    async def remember(self, name: bytes, value: bytes, *, kept_until: float) -> bytes:
        lane, now = self.lanes.of(name), self._now()
        life = lifetime(kept_until - now)
        command = REMEMBER.call([lane.bucket.answer(name)], now, kept_until, life, value)
        kept: bytes = await lane.writer.ask(Ask([command], only), CALL_WEIGHT + len(value))
        return kept

    async def recall(self, name: bytes) -> bytes | None:
        lane, now = self.lanes.of(name), self._now()

        def parse(replies: list[Any]) -> bytes | None:
            until, _, value = (only(replies) or b"").partition(b" ")
            return value if number(until) > now else None

        command: Command = ("GET", lane.bucket.answer(name))
        kept: bytes | None = await lane.reader.ask(Ask([command], parse))
        return kept

    async def revoke(self, subject: str, *, issued_before: float, kept_until: float) -> None:
        bucket = self.lanes.first.bucket
        revoked = fact(Revocation(0, subject, issued_before, kept_until))
        keys = [bucket.revoked, bucket.revoked_until]
        command = REVOKE.call(keys, self._now(), kept_until, revoked)
        await self.lanes.first.writer.ask(Ask([command], only), CALL_WEIGHT)

    async def revocations(self, position: int) -> list[Revocation]:
        bucket, now = self.lanes.first.bucket, self._now()
        begin = min(max(position, 0), MAX_ID)
        command: Command = ("ZRANGEBYSCORE", bucket.revoked, f"({begin}", "+inf", "WITHSCORES")

        def parse(replies: list[Any]) -> list[Revocation]:
            flat = only(replies)
            found = [revocation(*row) for row in zip(flat[::2], flat[1::2], strict=True)]
            self._note_foreign(bucket.revoked, found.count(None))
            return [one for one in found if one is not None and one.kept_until > now]

        known: list[Revocation] = await self.lanes.first.reader.ask(Ask([command], parse))
        return known

    async def _check(self, saves: Sequence[Save]) -> None:
        """Raise what saving would raise for an id that ran away; change nothing in any bucket."""
        try:
            await self.lanes.look_for_highest()
        except Unavailable as error:
            raise NotStored(str(error)) from None
        asks = {}
        for bucket, part in parts_of(saves, len(self.lanes)).items():
            command = save_command(
                self.lanes[bucket].bucket,
                self._config,
                [part],
                now=self._now(),
                highest=self._highest.mark,
                only_check=True,
            )
            asks[bucket] = Ask([command], checked)
        await self.lanes.write_all(asks)

    def _ask_marks(self, bucket: int, names: Sequence[bytes]) -> Ask:
        commands: list[Command] = [("HMGET", self.lanes[bucket].bucket.marks, *names)]
        if self._original:
            commands += map(original.mark_command, names)

        def parse(replies: list[Any]) -> dict[bytes, int]:
            ours = checked(replies[:1])[0]
            marks = {name: whole(mark) for name, mark in zip(names, ours, strict=True)}
            for name, reply in zip(names, replies[1:], strict=False):  # none, if not asked for
                marks[name] = max(marks[name], original.mark_of(reply))
            return marks

        return Ask(commands, parse)

    def _note_foreign(self, place: bytes, count: int) -> None:
        if count:
            self.notices.foreign_data(place.decode("utf-8", "replace"), count)
