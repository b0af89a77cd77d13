"""Where light-push keeps what it knows: four books, and what each guarantees.

    Namespaces   tenants and their secrets                  SQL
    Clients      who was ever seen: the total layer         SQL
    Attendance   who is connected now: the present layer    SQL or Redis   written behind by comets
    PushBook     pushes, acks, counters, inboxes, jobs      SQL or Redis

Every call names the namespace, and finds nothing of another one. Nobody is asked whether a namespace exists:
that is the callers' business. Times are Unix milliseconds, and arguments.

All calls raise `Unavailable` (nothing was done) or `OutcomeUnknown` (it may have been); what changes something may
be repeated after either, unless it says otherwise. Reads may be cancelled at any time; writes that have
begun may be done even so. Batches are cut by the implementations where a server wants less at a time, so a
batch that failed may have been done in part: repeat all of it. Batches are sorted by the implementations.

Proved by tests/contract/lightpush_*.py. Source: spec/liutian-push.md sections 5 to 8 and 14.5.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from appmodel.core.lightpush_records import (
    Ack,
    AckDetails,
    ApnsConfig,
    Arrival,
    AttendanceNews,
    ClientChange,
    ClientRecord,
    Departure,
    Draft,
    Enrolment,
    Hidden,
    Job,
    Lists,
    MuteEdit,
    Namespace,
    NamespaceChange,
    NamespaceQuery,
    Neighbour,
    Overview,
    Presence,
    Process,
    Progress,
    Reachable,
    RoomOverview,
    StoredPush,
    Tally,
    Totals,
    Unit,
)


class Namespaces(Protocol):
    """Tenants. Each change is noted under `note_of(key)` in its transaction, so caches hear of it."""

    async def find(self, keys: Collection[str]) -> Mapping[str, Namespace]:
        """Those of `keys` that there are; for a cache. A secret that cannot be opened is None, and logged."""

    async def save(self, key: str, change: NamespaceChange, *, now: int) -> None:
        """Change a namespace, or make it: a new one is not offline, whatever `change` says. Atomic.

        Raises:
            LimitReached: more than MAX_APNS configurations.
        """

    async def page(
        self, query: NamespaceQuery, *, offset: int, limit: int
    ) -> tuple[Sequence[Namespace], int]:
        """Some of those that match, by their keys, and how many match in all."""

    async def apns(self, keys: Collection[str]) -> Mapping[str, Sequence[ApnsConfig]]:
        """The ways to Apple of these namespaces, each by their order; without those that have none."""

    async def passwords(self, keys: Collection[str]) -> Mapping[str, Hidden]:
        """In clear text, of those that have one: for a migration. Checks use `Namespace.password_digest`."""

    async def remove(self, key: str) -> bool:
        """Forget the record, not what lies in other books. False: there was none."""


class Clients(Protocol):
    """Who was ever seen, and who was ever in a room. Never shrinks by itself."""

    async def arrived(self, arrivals: Sequence[Arrival]) -> None:
        """Make them known, or note their last connect; an older arrival never hides a newer one."""

    async def departed(self, departures: Sequence[Departure]) -> None:
        """Note their last disconnect, unless they have arrived again since; they can be discovered no more."""

    async def enrolled(self, enrolments: Sequence[Enrolment]) -> None:
        """Members for good, also if the client is not known yet. A client keeps its newest MAX_ENROLMENTS rooms."""

    async def find(self, namespace: str, client: str) -> ClientRecord | None:
        """All that is kept of a client."""

    async def change(self, namespace: str, client: str, change: ClientChange, *, now: int) -> bool:
        """Change some fields, and `update_date`. False: it is not known (yet: `arrived` comes first)."""

    async def forget_token(self, namespace: str, client: str, device_token: str) -> bool:
        """Apple does not know it any more. False: it is another one by now."""

    async def mutes(self, namespace: str, client: str) -> Sequence[str]:
        """Rooms of which Apple is not told, sorted."""

    async def edit_mutes(self, namespace: str, client: str, edit: MuteEdit) -> None:
        """Atomic. Raises LimitReached: more than MAX_MUTES would be muted; nothing was changed."""

    async def edit_room_mutes(self, namespace: str, room: str, edit: MuteEdit) -> None:
        """The same for each member that `room` ever had. Raises LimitReached: for one of them; see there.

        In steps: what is stopped in the middle is done for some, and may be repeated.
        """

    async def set_leave_message(
        self, namespace: str, room: str, leave_message: bool, *, now: int
    ) -> None:
        """For each member that `room` ever had. In steps, as `edit_room_mutes`."""

    async def transfer(
        self, namespace: str, target: str, sources: Collection[str], *, is_join: bool
    ) -> None:
        """Whoever was ever in one of `sources` is a member of `target`, or is none any more. In steps."""

    async def reachable(
        self, namespace: str, room: str, *, after: str = "", limit: int
    ) -> Sequence[Reachable]:
        """Members of `room` on Android and iOS that nobody forbade to tell, by their ids, from behind `after`.

        Android: leave_message is not False. iOS: that, and it has a token, and has not muted `room`.
        Who acknowledged is told by PushBook.acknowledged.
        """

    async def totals(self, namespaces: Collection[str]) -> Mapping[str, int]:
        """How many clients each ever had; for all of `namespaces`."""

    async def room_totals(self, namespace: str, rooms: Collection[str]) -> Mapping[str, Totals]:
        """How many clients were ever members of each; for all of `rooms`."""

    async def near(
        self, namespace: str, client: str, *, radius: float, count: int
    ) -> Sequence[Neighbour] | None:
        """Connected clients within `radius` km, the nearest of each user, nearest first; without itself.

        At most `count`, and MAX_NEIGHBOURS. None: the client has not said where it is since it connected.
        """

    async def legacy(
        self, namespace: str, *, before: int, after: str = "", limit: int
    ) -> Sequence[str]:
        """Clients whose last connect is older than `before`, by their ids, from behind `after`."""

    async def forget(
        self, namespace: str, clients: Collection[str], *, before: int
    ) -> Sequence[str]:
        """Forget those whose last connect is older than `before`, with mutes and memberships; which these were."""

    async def clear(self, namespace: str) -> None:
        """Forget all clients of a namespace, in steps."""


class Attendance(Protocol):
    """Who is connected, and in which rooms. Comets write behind, so an answer is as old as their batches.

    A client may be present at several processes for a moment; it is counted once, and stays until the last
    of them says that it went (W12).
    """

    async def record(self, process: Process, news: AttendanceNews) -> None:
        """Write what changed at `process`."""

    async def processes(self) -> Sequence[Process]:
        """All at which somebody is present."""

    async def count_at(self, process: Process) -> tuple[int, int]:
        """How many clients, and how many seats in rooms, are written of `process`."""

    async def present_at(
        self, process: Process, *, after: tuple[str, str] = ("", ""), limit: int
    ) -> Sequence[Presence]:
        """A page of who is present at `process`, by (namespace, client), from behind `after`.

        For its repair, and for who sweeps after one that is gone: `Clients.departed` of a page, and then
        `record(process, AttendanceNews(went=...))` of it.
        """

    async def seats_of(self, process: Process, namespace: str, client: str) -> Sequence[str]:
        """The rooms in which a client is, as written of `process`."""

    async def is_present(self, namespace: str, room: str, client: str) -> bool:
        """Whether it is in `room`, connected."""

    async def overviews(self, namespaces: Collection[str]) -> Mapping[str, Overview]:
        """Numbers of each; for all of `namespaces`."""

    async def platform(self) -> Overview:
        """The sums over all namespaces: a user of two counts twice."""

    async def lists(self, namespace: str, *, most: int) -> Lists:
        """Who is present in a namespace; of each kind at most `most`, else None."""

    async def rooms(self, namespace: str, rooms: Collection[str]) -> Mapping[str, RoomOverview]:
        """Numbers of each; for all of `rooms`."""

    async def room_lists(
        self, namespace: str, rooms: Collection[str], *, most: int
    ) -> Mapping[str, Lists]:
        """Who is present in each; of each kind at most `most`, else None. `Lists.rooms` is empty.

        `Lists.users` of a user's room is empty.
        """

    async def online(self, namespace: str, *, after: str = "", limit: int) -> Sequence[Presence]:
        """A page of who is present, by client, from behind `after`; one of several presences of a client."""

    async def clear(self, namespace: str) -> None:
        """Nobody is present in a namespace, in steps. Who is connected all the same should be dismissed first."""


@dataclass(frozen=True, slots=True)
class PushBounds:
    """How much a PushBook shows and keeps."""

    history: int = 1000  # pushes of a namespace; push_message_list_max_limit
    inbox: int = 100  # pushes that wait for a client; android_unread_message_list_max_limit


USUAL = PushBounds()


class PushBook(Protocol):
    """Pushes until they expire, and what became of them. What has expired is not there, swept or not."""

    async def create(self, draft: Draft, *, offline_after: int | None = None) -> int:
        """Keep a push and count it; its id, above all ids before, of all namespaces. One round trip.

        Not to be repeated: that makes another push.

        Args:
            offline_after: ms after `draft.send_date` when its absent recipients are looked after; None = never.
        """

    async def find(self, namespace: str, push_id: int, *, now: int) -> StoredPush | None:
        """A push of this namespace."""

    async def history(
        self, namespace: str, *, offset: int, limit: int, now: int
    ) -> Sequence[StoredPush]:
        """The newest first, of the newest `bounds.history` that have not expired."""

    async def details(self, namespace: str, push_id: int, *, most: int) -> AckDetails:
        """Who has acknowledged; empty if the push is not there."""

    async def acknowledge(self, acks: Sequence[Ack], *, now: int) -> int:
        """Count those that are new; how many. One of a push that is not of its namespace, or not there, is nothing."""

    async def acknowledged(
        self, namespace: str, push_id: int, clients: Collection[str]
    ) -> frozenset[str]:
        """Those of `clients` that have."""

    async def tally(self, tally: Tally, *, now: int) -> None:
        """Count frames that were written. Counted once, however often it is sent; see Tally."""

    async def counts(self, namespace: str, unit: Unit, *, now: int) -> Sequence[int]:
        """Pushes in the last `unit.kept` buckets, the current one last."""

    async def put_in_inboxes(self, push: StoredPush, clients: Collection[str], *, now: int) -> None:
        """Keep it for these until they connect, or it expires; of each client's the newest `bounds.inbox` stay."""

    async def take_inbox(self, namespace: str, client: str, *, now: int) -> Sequence[StoredPush]:
        """What lies there, the newest first; then it is empty. After OutcomeUnknown it may be lost."""

    async def claim_jobs(self, *, now: int, lease: int, limit: int) -> Sequence[Job]:
        """Jobs that are due, each given to one caller for `lease` ms; then they are due again.

        Namespaces take turns: of each its longest due one, before any has a second; and the next call goes on
        behind the last one. So who pushes much keeps nobody else waiting. The job of a push that has expired
        is forgotten, and counts in `limit`.
        """

    async def advance(self, job: Job, progress: Progress, *, until: int) -> bool:
        """Note what was done and keep the job until `until` ms. False: it is not one's own any more; nothing was noted."""

    async def postpone(self, job: Job, *, until: int) -> bool:
        """Give it back; it is due again at `until`. False: it is not one's own any more."""

    async def finish(self, job: Job) -> bool:
        """It is done. False: it is not one's own any more."""

    async def forget_inboxes(self, namespace: str, clients: Collection[str]) -> None:
        """Of clients that are forgotten."""

    async def clear(self, namespace: str, *, counters: bool) -> None:
        """Forget the pushes, inboxes and jobs of a namespace, in steps; with `counters` also how many there were."""

    async def sweep(self, *, now: int, limit: int) -> int:
        """Free some of what has expired: about `limit` rows of each kind at most; how many. 0 = there is none."""


MAX_RESULT = 8000  # characters of a push's `result`; further notes are left out
BETWEEN = "  >>>>  "  # notes in it, as in the original
MAX_APNS = 100  # configurations of a namespace
MAX_CURSOR = 64_000  # bytes of a Job.cursor
MAX_MUTES = 1000  # rooms that a client mutes
MAX_ENROLMENTS = 10_000  # rooms of which a client can be a member for good
MAX_NEIGHBOURS = 1000  # users that are found near somebody
