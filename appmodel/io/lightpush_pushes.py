"""Pushes of light-push in the application's database: see PushBook in core/lightpush_stores.py.

Ids come from the database, so they grow over all nodes. The default; lightpush_pushes_redis.py is for many acks.
"""

from collections.abc import Collection, Sequence
from functools import partial

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
from appmodel.core.lightpush_stores import USUAL, PushBounds
from appmodel.io.database import Database
from appmodel.io.group_commit import GroupCommit
from appmodel.io.lightpush_clients import BATCH, parts
from appmodel.orm import lightpush_offline_queries as offline
from appmodel.orm import lightpush_push_queries as queries


class SqlPushBook:
    """See PushBook."""

    def __init__(self, database: Database, bounds: PushBounds = USUAL) -> None:
        self._database, self._bounds = database, bounds
        self._making = GroupCommit(self._create)
        self._served = ""  # the namespace that had the last turn

    async def create(self, draft: Draft, *, offline_after: int | None = None) -> int:
        """See PushBook."""
        return await self._making.write((draft, offline_after))

    async def _create(self, wanted: Sequence[tuple[Draft, int | None]]) -> list[int]:
        return await self._database.write(lambda session: queries.create(session, wanted))

    async def find(self, namespace: str, push_id: int, *, now: int) -> StoredPush | None:
        """See PushBook."""
        return await self._database.read(
            lambda session: queries.find_push(session, namespace, push_id, now)
        )

    async def history(
        self, namespace: str, *, offset: int, limit: int, now: int
    ) -> Sequence[StoredPush]:
        """See PushBook."""
        limit = min(limit, self._bounds.history - offset)
        if limit <= 0:
            return []
        return await self._database.read(
            lambda session: queries.history(session, namespace, offset, limit, now)
        )

    async def details(self, namespace: str, push_id: int, *, most: int) -> AckDetails:
        """See PushBook."""
        return await self._database.read(
            lambda session: queries.details(session, namespace, push_id, most)
        )

    async def acknowledge(self, acks: Sequence[Ack], *, now: int) -> int:
        """See PushBook."""
        write = partial(queries.acknowledge, now=now)
        return sum(
            [
                await self._database.write(partial(write, acks=part), may_leave=True)
                for part in parts(acks)
            ]
        )

    async def acknowledged(
        self, namespace: str, push_id: int, clients: Collection[str]
    ) -> frozenset[str]:
        """See PushBook."""
        return await self._database.read(
            lambda session: queries.acknowledged(session, namespace, push_id, clients)
        )

    async def tally(self, tally: Tally, *, now: int) -> None:
        """See PushBook."""
        await self._database.write(
            lambda session: queries.tally(session, tally, now), may_leave=True
        )

    async def counts(self, namespace: str, unit: Unit, *, now: int) -> Sequence[int]:
        """See PushBook."""
        return await self._database.read(
            lambda session: queries.counts(session, namespace, unit, now)
        )

    async def put_in_inboxes(self, push: StoredPush, clients: Collection[str], *, now: int) -> None:
        """See PushBook."""
        write = partial(offline.put_in_inboxes, push=push, now=now, most=self._bounds.inbox)
        for part in parts(sorted(clients)):
            await self._database.write(partial(write, clients=part))

    async def take_inbox(self, namespace: str, client: str, *, now: int) -> Sequence[StoredPush]:
        """See PushBook. An empty one costs no write: nearly all are."""
        if not await self._database.read(
            lambda session: offline.has_inbox(session, namespace, client)
        ):
            return []
        return await self._database.write(
            lambda session: offline.take_inbox(session, namespace, client, now)
        )

    async def claim_jobs(self, *, now: int, lease: int, limit: int) -> Sequence[Job]:
        """See PushBook."""
        after = self._served
        jobs, self._served = await self._database.write(
            lambda session: offline.claim_jobs(session, now, lease, limit, after=after)
        )
        return jobs

    async def advance(self, job: Job, progress: Progress, *, until: int) -> bool:
        """See PushBook."""
        return await self._database.write(
            lambda session: offline.advance(session, job, progress, until)
        )

    async def postpone(self, job: Job, *, until: int) -> bool:
        """See PushBook."""
        return await self._database.write(lambda session: offline.postpone(session, job, until))

    async def finish(self, job: Job) -> bool:
        """See PushBook."""
        return await self._database.write(lambda session: offline.finish(session, job))

    async def forget_inboxes(self, namespace: str, clients: Collection[str]) -> None:
        """See PushBook."""
        forget = partial(offline.forget_inboxes, namespace=namespace)
        for part in parts(sorted(clients)):
            await self._database.write(partial(forget, clients=part))

    async def clear(self, namespace: str, *, counters: bool) -> None:
        """See PushBook."""
        while await self._database.write(
            lambda session: queries.clear(session, namespace, BATCH, counters=counters)
        ):
            pass

    async def sweep(self, *, now: int, limit: int) -> int:
        """See PushBook."""
        return await self._database.write(lambda session: queries.sweep(session, now, limit))
