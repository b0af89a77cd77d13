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
do not agree is `OutcomeUnknown`, and a retry settles it. An id of a clock that ran away, and data of
others at our keys, are looked for in all buckets first. Slots of a Cluster are moved key by key, and a
script must see all of a bucket: stop the message nodes while a slot of ours is moved. Fail-overs need
nothing. Redis 6.2 or newer.

Contract: appmodel/core/interfaces.py, `OfflineStore` and `Ledger`; cluster.md section 2. Layout: redis_keys.py.
"""

import contextlib
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import redis
import trio

from appmodel.core.clock import MAX_ID
from appmodel.core.message import Feed, Page, Revocation, Save, Saved, Stored
from appmodel.core.names import Key
from appmodel.errors import ConfigError, OutcomeUnknown, PushError
from message.config import MessageConfig
from message.core.retention import runs_away, take_page
from message.stores import redis_original as original
from message.stores.notices import Notices
from message.stores.redis_feed import FeedReader, checked
from message.stores.redis_keys import buckets_of, lifetime, number_of
from message.stores.redis_lane import Ask, Highest, Lane, SavePart
from message.stores.redis_prepare import Preparation
from message.stores.redis_saving import Pair, Part, parts_of, save_command, verdicts
from message.stores.redis_scripts import (
    DELETE,
    FETCH,
    FORGET,
    REMEMBER,
    REVOKE,
    Argument,
    Command,
)
from message.stores.redis_servers import Servers

CALL_WEIGHT = 256  # bytes that any waiting call counts for

Answer = TypeVar("Answer")


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
        await trio.to_thread.run_sync(store.connect)
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
        self.notices = Notices()
        self._highest = Highest()
        preparation = Preparation()
        servers = Servers(config.redis)
        self.lanes = [
            Lane(
                bucket,
                config,
                servers,
                now=now,
                notices=self.notices,
                highest=self._highest,
                preparation=preparation,
            )
            for bucket in buckets_of(config.redis)
        ]
        self._feed = FeedReader(self.lanes, config.redis.feed_limit, self.notices, now)

    @property
    def trouble(self) -> str | None:
        """Why it does not serve all keys, until it does."""
        return next((lane.trouble for lane in self.lanes if lane.trouble), None)

    @property
    def waiting(self) -> int:
        """Bytes of what waits for Redis."""
        return sum(lane.writer.waiting for lane in self.lanes)

    def connect(self) -> None:
        """Connect the readers, and learn the highest mark of all. Blocks; before `run` of the lanes.

        Raises:
            ConfigError: see `open_redis`.
        """
        for lane in self.lanes:
            link = lane.read_link
            try:
                [mark] = link.exchange([("GET", lane.bucket.highest)])
            except PushError:
                if link.setting_to_blame is None:
                    return  # it is away: the first that ask will wait for it
                value = getattr(self._config.redis, link.setting_to_blame)
                path = f"message.redis.{link.setting_to_blame}"
                raise ConfigError(path, value, str(link.trouble)) from None
            self._highest.observe(_whole(mark))

    async def save(self, saves: Sequence[Save]) -> list[Saved]:
        parts = parts_of(saves, len(self.lanes))
        now, highest = self._now(), self._highest.mark
        if any(runs_away(save.proposed_id, now=now, highest=highest) for save in saves):
            await self._look_for_highest()
            await self._check(parts)
        answers = await self._save_parts(parts)
        return verdicts(saves, answers, len(self.lanes))

    async def fetch(self, key: Key, after: int, *, limit: int, until: int | None = None) -> Page:
        name = key.stored.encode()
        lane = self._lane(name)
        after = min(max(after, -1), MAX_ID)
        last = MAX_ID if until is None else min(max(until, -1), MAX_ID)
        room = int(self._config.page_limit)  # a Size is no int to the packer of commands
        arguments = (after, last, self._now(), limit + 1, room, lane.bucket.base)
        commands = [FETCH.call([lane.bucket.key(name)], *arguments)]
        if self._config.redis.original:
            commands += original.page_commands(name, max(after, 0), last)

        def parse(replies: list[Any]) -> Page:
            messages = self._readable(lane.bucket.key(name), *checked(replies[:1]))
            for reply in replies[1:]:
                messages += self._originals(name, reply)
            messages.sort(key=lambda message: message.id)
            return take_page(messages, limit=limit, max_bytes=self._config.page_limit)

        page: Page = await lane.reader.ask(Ask(commands, parse))
        return page

    async def marks(self, keys: Sequence[Key]) -> list[int]:
        names = [key.stored.encode() for key in keys]
        if not names:
            await trio.lowlevel.checkpoint()
        by_bucket: dict[int, list[bytes]] = {}
        for name in names:
            by_bucket.setdefault(number_of(name, len(self.lanes)), []).append(name)
        asks = {number: self._marks_of(number, some) for number, some in by_bucket.items()}
        marks: dict[bytes, int] = {}
        for found in (await self._read_all(asks)).values():
            marks |= found
        return [marks[name] for name in names]

    async def delete(self, key: Key, ids: Sequence[int] | None = None) -> int:
        name = key.stored.encode()
        lane = self._lane(name)
        which: tuple[Argument, ...] = (
            ("all",) if ids is None else ("some", *(mid for mid in ids if 0 < mid <= MAX_ID))
        )
        command = DELETE.call([lane.bucket.key(name)], self._now(), lane.bucket.base, *which)
        ask = Ask([command], _only, repeatable=False)
        deleted: int = await lane.writer.ask(ask, CALL_WEIGHT)
        return deleted

    async def feed(self, position: int, *, limit: int) -> Feed:
        return await self._feed.read(position, limit)

    async def sweep(self, *, limit: int) -> int:
        probes = {
            lane.bucket.number: Ask([("SET", lane.bucket.probe, 1, "PX", 1)], checked)
            for lane in self.lanes
            if lane.trouble is not None  # is it over?
        }
        await self._write_all(probes)
        bucket = self.lanes[0].bucket
        command = FORGET.call([bucket.revoked, bucket.revoked_until], self._now(), limit)
        done: int = await self.lanes[0].writer.ask(Ask([command], _only), CALL_WEIGHT)
        self.notices.swept += done
        return done

    async def remember(self, name: bytes, value: bytes, *, kept_until: float) -> bytes:
        lane = self._lane(name)
        life = lifetime(kept_until - self._now())
        command = REMEMBER.call([lane.bucket.answer(name)], self._now(), kept_until, life, value)
        kept: bytes = await lane.writer.ask(Ask([command], _only), CALL_WEIGHT + len(value))
        return kept

    async def recall(self, name: bytes) -> bytes | None:
        lane = self._lane(name)
        now = self._now()

        def parse(replies: list[Any]) -> bytes | None:
            until, _, value = (_only(replies) or b"0 ").partition(b" ")
            return value if _number(until) > now else None

        command: Command = ("GET", lane.bucket.answer(name))
        kept: bytes | None = await lane.reader.ask(Ask([command], parse))
        return kept

    async def revoke(self, subject: str, *, issued_before: float, kept_until: float) -> None:
        bucket = self.lanes[0].bucket
        fact = f"{kept_until!r} {issued_before!r} {subject}".encode()
        keys = [bucket.revoked, bucket.revoked_until]
        command = REVOKE.call(keys, self._now(), kept_until, fact)
        await self.lanes[0].writer.ask(Ask([command], _only), CALL_WEIGHT)

    async def revocations(self, position: int) -> list[Revocation]:
        bucket = self.lanes[0].bucket
        begin = min(max(position, 0), MAX_ID)
        command: Command = ("ZRANGEBYSCORE", bucket.revoked, f"({begin}", "+inf", "WITHSCORES")

        def parse(replies: list[Any]) -> list[Revocation]:
            flat = _only(replies)
            found = [_revocation(*row) for row in zip(flat[::2], flat[1::2], strict=True)]
            foreign = found.count(None)
            if foreign:
                self.notices.foreign_data(bucket.revoked.decode(), foreign)
            now = self._now()
            return [fact for fact in found if fact is not None and fact.kept_until > now]

        facts: list[Revocation] = await self.lanes[0].reader.ask(Ask([command], parse))
        return facts

    def _lane(self, name: bytes) -> Lane:
        return self.lanes[number_of(name, len(self.lanes))]

    async def _save_parts(self, parts: Mapping[int, Part]) -> dict[int, list[Pair]]:
        """What each bucket answers. If they do not agree, nobody can say what a retry would find."""

        async def save(number: int, part: Part) -> list[Pair]:
            weight = CALL_WEIGHT + part.weight
            answer: list[Pair] = await self.lanes[number].writer.ask(SavePart(part), weight)
            return answer

        answers = await gather({n: partial(save, n, part) for n, part in parts.items()})
        errors = [answer for answer in answers.values() if isinstance(answer, PushError)]
        saved = {n: answer for n, answer in answers.items() if not isinstance(answer, PushError)}
        if errors and saved:
            raise OutcomeUnknown(f"a part of it was stored, the rest was not: {errors[0]}")
        if errors:
            raise next((e for e in errors if isinstance(e, OutcomeUnknown)), errors[0])
        return saved

    async def _check(self, parts: Mapping[int, Part]) -> None:
        """Raise what saving would raise for an id that ran away or for foreign data; change nothing."""
        now, highest = self._now(), self._highest.mark
        commands = {
            number: save_command(
                self.lanes[number].bucket,
                self._config,
                [part],
                now=now,
                highest=highest,
                only_check=True,
            )
            for number, part in parts.items()
        }
        await self._write_all({n: Ask([command], checked) for n, command in commands.items()})

    async def _look_for_highest(self) -> None:
        """Know the highest mark of all buckets, or raise Unavailable."""
        commands: dict[int, Command] = {
            lane.bucket.number: ("GET", lane.bucket.highest) for lane in self.lanes
        }
        found = await self._read_all({n: Ask([command], _only) for n, command in commands.items()})
        for mark in found.values():
            self._highest.observe(_whole(mark))

    def _marks_of(self, number: int, names: Sequence[bytes]) -> Ask:
        commands: list[Command] = [("HMGET", self.lanes[number].bucket.marks, *names)]
        if self._config.redis.original:
            commands += map(original.mark_command, names)

        def parse(replies: list[Any]) -> dict[bytes, int]:
            scores, *others = replies
            marks = {n: _whole(s) for n, s in zip(names, _only([scores]), strict=True)}
            for name, reply in zip(names, others, strict=False):
                if not isinstance(reply, redis.ResponseError):  # another type: not the original's
                    marks[name] = max(marks[name], original.mark_of(reply))
            return marks

        return Ask(commands, parse)

    async def _read_all(self, asks: Mapping[int, Ask]) -> dict[int, Any]:
        """What each bucket's reader answers. Raises the error of any."""
        questions = {n: partial(self.lanes[n].reader.ask, ask) for n, ask in asks.items()}
        return _all_good(await gather(questions))

    async def _write_all(self, asks: Mapping[int, Ask]) -> dict[int, Any]:
        questions = {n: partial(self.lanes[n].writer.ask, ask) for n, ask in asks.items()}
        return _all_good(await gather(questions))

    def _readable(self, place: bytes, page: Sequence[Any]) -> list[Stored]:
        """The messages of a reply of FETCH."""
        *flat, unreadable, lost = page
        if unreadable or lost:
            self.notices.foreign_data(place.decode("utf-8", "replace"), unreadable + lost)
        rows = zip(flat[::3], flat[1::3], flat[2::3], strict=True)
        return [Stored(_whole(mid), body, _number(until)) for mid, until, body in rows]

    def _originals(self, name: bytes, reply: Any) -> list[Stored]:
        """The unexpired messages of a reply about the original's data."""
        if isinstance(reply, redis.ResponseError):
            return []  # another type: not the original's
        messages, unreadable = original.messages_of(reply)
        if unreadable:
            self.notices.foreign_data(name.decode("utf-8", "replace"), unreadable)
        now = self._now()
        return [message for message in messages if message.expires_at > now]


async def gather(
    questions: Mapping[int, Callable[[], Awaitable[Answer]]],
) -> dict[int, Answer | PushError]:
    """The answer to each question, or the PushError instead of it. All are asked at once."""
    answers: dict[int, Answer | PushError] = {}

    async def ask(number: int, question: Callable[[], Awaitable[Answer]]) -> None:
        try:
            answers[number] = await question()
        except PushError as error:
            answers[number] = error

    if len(questions) == 1:
        [(number, question)] = questions.items()
        await ask(number, question)
        return answers
    async with trio.open_nursery() as nursery:
        for number, question in questions.items():
            nursery.start_soon(ask, number, question)
    return answers


def _all_good(answers: Mapping[int, Any]) -> dict[int, Any]:
    for answer in answers.values():
        if isinstance(answer, PushError):
            raise answer
    return dict(answers)


def _only(replies: Sequence[Any]) -> Any:
    """The one reply. Raises it, if it is an error."""
    return checked(replies)[0]


def _number(text: bytes) -> float:
    """0 if it is none."""
    try:
        number = float(text)
    except ValueError:
        return 0.0
    return 0.0 if math.isnan(number) else number


def _whole(text: Any) -> int:
    """An id or a mark; 0 if it is none."""
    number = _number(text) if isinstance(text, bytes) else 0.0
    return int(number) if 0 < number <= MAX_ID else 0


def _revocation(fact: bytes, position: bytes) -> Revocation | None:
    """What `revoke` wrote; None if it is something else."""
    try:
        kept_until, issued_before, subject = fact.decode().split(" ", 2)
        return Revocation(int(float(position)), subject, float(issued_before), float(kept_until))
    except (ValueError, OverflowError):
        return None
