"""Pushes of light-push, in Redis: see PushBook in core/lightpush_stores.py.

    push_id                         string      the last id, of all namespaces
    push:<ns>:<id>                  hash        the push, until it expires
    acks:<ns>:<id>:<platform>       set         clients, until it expires
    index:<ns>, ends:<ns>           sorted sets ids by id, and by the time when they expire
    stat:<ns>:<unit>                hash        bucket -> pushes
    inbox:<ns>:<client>             sorted set  ids by the time when they expire
    inboxes:<ns>                    set         who may have one
    jobs                            sorted set  namespaces by the time when their first job is due
    jobs:<ns>                       sorted set  ids by the time when they are due
    job:<ns>:<id>                   hash        attempts, lease, cursor
    tally:<node> <incarnation>      string      the number of the last tally, for a day

Keys are forgotten by Redis itself once nobody needs them; which pushes have expired is told by the times that
callers give, so that all nodes agree. The index is not cut at `history`: what is alive must not be hidden by what was
alive when it was cut. A Redis that loses what it had gives ids anew: keep it on disk (appendonly).

Source: ours; the original's keys are in spec/liutian-push.md 7.1.
"""

import secrets
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec
import trio

from appmodel.core.lightpush import Platform
from appmodel.core.lightpush_records import (
    Ack,
    AckDetails,
    Draft,
    Job,
    Progress,
    StoredPush,
    Tally,
    Unit,
)
from appmodel.core.lightpush_stores import BETWEEN, MAX_RESULT, USUAL, PushBounds
from appmodel.io import lightpush_push_scripts as scripts
from appmodel.io.group_commit import GroupCommit
from appmodel.io.lightpush_redis import RedisLink

STEP = 1000  # names in one script: a few ms in which Redis does nothing else


class RedisPushBook:
    """See PushBook."""

    def __init__(self, link: RedisLink, bounds: PushBounds = USUAL) -> None:
        self._link, self._bounds = link, bounds
        self._creating = GroupCommit(self._create_all)
        self._served = ""  # the namespace that had the last turn

    async def create(self, draft: Draft, *, offline_after: int | None = None) -> int:
        """See PushBook."""
        return await self._creating.write((draft, offline_after))

    async def find(self, namespace: str, push_id: int, *, now: int) -> StoredPush | None:
        """See PushBook."""
        key = self._link.key("push", namespace, str(push_id))
        [fields] = await self._link.read([("HGETALL", key)])
        push = _stored(push_id, fields)
        return push if push is not None and push.draft.expires_at > now else None

    async def history(
        self, namespace: str, *, offset: int, limit: int, now: int
    ) -> Sequence[StoredPush]:
        """See PushBook."""
        limit = min(limit, self._bounds.history - offset)
        if limit <= 0:
            return []
        return _pushes(await self._link.ask(scripts.HISTORY, namespace, now, offset, limit))

    async def details(self, namespace: str, push_id: int, *, most: int) -> AckDetails:
        """See PushBook."""
        keys = [self._acks(namespace, push_id, one) for one in Platform]
        counts = await self._link.read([("SCARD", key) for key in keys])
        few = [one for one, count in zip(Platform, counts, strict=True) if count < most]
        commands = [("SMEMBERS", self._acks(namespace, push_id, one)) for one in few]
        clients = await self._link.read(commands)
        found = {one: sorted(some) for one, some in zip(few, clients, strict=True)}
        return AckDetails(
            found.get(Platform.IOS), found.get(Platform.ANDROID), found.get(Platform.WEB)
        )

    async def acknowledge(self, acks: Sequence[Ack], *, now: int) -> int:
        """See PushBook."""
        new = 0
        for at in range(0, len(acks), STEP):
            groups: dict[tuple[str, int, str], list[str]] = {}
            for ack in acks[at : at + STEP]:
                place = (ack.namespace, ack.push_id, ack.platform.value)
                groups.setdefault(place, []).append(ack.client)
            text = _json([[*place, clients] for place, clients in groups.items()])
            new += await self._link.run(scripts.ACKNOWLEDGE, now, text)
        return new

    async def acknowledged(
        self, namespace: str, push_id: int, clients: Collection[str]
    ) -> frozenset[str]:
        """See PushBook."""
        wanted = list(clients)
        found: set[str] = set()
        for at in range(0, len(wanted), STEP):
            part = wanted[at : at + STEP]
            commands = [
                ("SMISMEMBER", self._acks(namespace, push_id, one), *part) for one in Platform
            ]
            for answers in await self._link.read(commands):
                found.update(c for c, is_in in zip(part, answers, strict=True) if is_in)
        return frozenset(found)

    async def tally(self, tally: Tally, *, now: int) -> None:
        """See PushBook."""
        frames = [[*place, count] for place, count in tally.frames.items()]
        process = f"{tally.process.node} {tally.process.incarnation}"
        await self._link.run(scripts.TALLY, process, tally.number, _json(frames))

    async def counts(self, namespace: str, unit: Unit, *, now: int) -> Sequence[int]:
        """See PushBook."""
        last = unit.bucket(now)
        buckets = range(last - unit.kept + 1, last + 1)
        key = self._link.key("stat", namespace, unit.value)
        [counts] = await self._link.read([("HMGET", key, *buckets)])
        return [int(count or 0) for count in counts]

    async def put_in_inboxes(self, push: StoredPush, clients: Collection[str], *, now: int) -> None:
        """See PushBook."""
        wanted, place = list(clients), (push.draft.namespace, push.id, now, self._bounds.inbox)
        for at in range(0, len(wanted), STEP):
            await self._link.run(scripts.PUT, *place, *wanted[at : at + STEP])

    async def take_inbox(self, namespace: str, client: str, *, now: int) -> Sequence[StoredPush]:
        """See PushBook."""
        return _pushes(await self._link.run(scripts.TAKE, namespace, client, now, repeat=False))

    async def claim_jobs(self, *, now: int, lease: int, limit: int) -> Sequence[Job]:
        """See PushBook."""
        tokens = [secrets.token_hex(16) for _ in range(limit)]
        jobs: list[Job] = []
        self._served, found = await self._link.run(
            scripts.CLAIM, now, lease, limit, self._served, *tokens
        )
        for push_id, fields, token, attempts, cursor in found:
            push = _stored(int(push_id), _pairs(fields))
            if push is not None:
                jobs.append(Job(push, cursor, attempts, token))
        return jobs

    async def advance(self, job: Job, progress: Progress, *, until: int) -> bool:
        """See PushBook. Not repeated: it adds up."""
        counts = (progress.apns_count, progress.apns_success_count)
        done = (until, progress.cursor, *counts, progress.note, BETWEEN, MAX_RESULT)
        return bool(await self._link.run(scripts.ADVANCE, *_place(job), *done, repeat=False))

    async def postpone(self, job: Job, *, until: int) -> bool:
        """See PushBook."""
        return bool(await self._link.run(scripts.POSTPONE, *_place(job), until, repeat=False))

    async def finish(self, job: Job) -> bool:
        """See PushBook."""
        return bool(await self._link.run(scripts.FINISH, *_place(job), repeat=False))

    async def forget_inboxes(self, namespace: str, clients: Collection[str]) -> None:
        """See PushBook."""
        wanted = list(clients)
        for at in range(0, len(wanted), STEP):
            await self._link.run(scripts.FORGET_INBOXES, namespace, *wanted[at : at + STEP])

    async def clear(self, namespace: str, *, counters: bool) -> None:
        """See PushBook."""
        while await self._link.run(scripts.CLEAR, namespace, STEP, "1" if counters else ""):
            pass

    async def sweep(self, *, now: int, limit: int) -> int:
        """See PushBook: Redis does that itself."""
        await trio.lowlevel.checkpoint()
        return 0

    async def _create_all(self, wanted: Sequence[tuple[Draft, int | None]]) -> list[int]:
        pushes = [_wanted(draft, offline_after) for draft, offline_after in wanted]
        ids = await self._link.run(scripts.CREATE, _json(pushes), repeat=False)
        return [int(push_id) for push_id in ids]

    def _acks(self, namespace: str, push_id: int, platform: Platform) -> str:
        return self._link.key("acks", namespace, str(push_id), platform.value)


class _Fields(msgspec.Struct):
    """The hash of a push; what is not set is not there."""

    namespace: str
    room: str
    push_data: str
    expire: float
    send_date: int
    expires_at: int
    without: str | None = None
    apns_name: str | None = None
    leave_message: int = 0
    extra: str | None = None
    sender: str | None = None
    acks: int = 0
    ios_acks: int = 0
    android_acks: int = 0
    online_clients: int = 0
    apns_count: int | None = None
    apns_success_count: int | None = None
    result: str | None = None


def _wanted(draft: Draft, offline_after: int | None) -> list[str | list[str]]:
    """What CREATE takes."""
    due = "" if offline_after is None else str(draft.send_date + offline_after)
    buckets = [str(unit.bucket(draft.send_date)) for unit in (Unit.MINUTE, Unit.HOUR, Unit.DAY)]
    fields: list[str] = []
    for name in Draft.__slots__:
        value = getattr(draft, name)
        if value is not None:
            fields += [name, str(int(value) if isinstance(value, bool) else value)]
    times = [str(draft.send_date), str(draft.expires_at), due]
    return [draft.namespace, *times, *buckets, fields]


def _stored(push_id: int, fields: Mapping[str, str]) -> StoredPush | None:
    """None: it is not there, or something wrote into it that had been there."""
    try:
        one = msgspec.convert(fields, _Fields, strict=False)
    except msgspec.ValidationError:
        return None
    draft = Draft(**{name: getattr(one, name) for name in Draft.__slots__})
    counts = (one.acks, one.ios_acks, one.android_acks, one.online_clients)
    worker = (one.apns_count, one.apns_success_count, one.result)
    return StoredPush(push_id, draft, *counts, *worker)


def _pushes(answer: Sequence[Any]) -> list[StoredPush]:
    found = [_stored(int(push_id), _pairs(fields)) for push_id, fields in answer]
    return [push for push in found if push is not None]


def _pairs(flat: Sequence[str]) -> dict[str, str]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _place(job: Job) -> tuple[str, int, str]:
    return job.push.draft.namespace, job.push.id, job.lease


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
