"""Messages of users, applications and groups: resolved, planned, pushed, counted, notified.

    1  who is it for            Directory     one statement, or none
    2  may the caller           members, permissions, mutes
    3  is there quota left      Meter
    4  who gets which copy      PushPlan
    5  store, then send         Pushing       one call per owner
    6  count, keep files, wake phones         behind the answer

The caller is the sender. What cannot be delivered to all is answered with what worked and the error of what did
not. Source: spec/appmsgsrv.md 8.2 to 8.6; differences in web/core/push_plan.py, and: a target that there is
not, or that is another tenant's, is 65531 (W17: the original stored messages for anybody).
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from appmodel.core.message import Push
from appmodel.core.mutes import Mute, ShieldType
from appmodel.core.names import Key
from appmodel.errors import Forbidden, NotFound, NotMember, PushError
from web.core.file_rules import Upload, upload_of
from web.core.notices import NOTICE, Notice
from web.core.notifications import Job
from web.core.orders import Outcome
from web.core.principals import AppCaller, Operator, Permission, Principal, UserCaller
from web.core.push_plan import (
    Plan,
    Recipient,
    is_broadcast,
    plan_from_application,
    plan_notice,
    plan_to_application,
    plan_to_group,
    plan_to_many,
    plan_to_user,
)
from web.core.quota import Consumer, Meter
from web.core.resolution import (
    Found,
    Resolution,
    addressees,
    mutes_of,
    permission_for,
    push_type,
    willing,
)
from web.core.selectors import EVERYWHERE, Selector
from web.core.targets import Kind, Target, user_key
from web.services.directory import Directory
from web.services.push_ids import fresh_push_id
from web.services.pushing import Pushing

KEYS = 5000  # of one push: 3 MB on its way at most
FILE = 2  # msgType of a message that speaks of a file


class Files(Protocol):
    """Bookkeeping of files that messages speak of."""

    def note(self, sender_id: str, upload: Upload) -> None:
        """For the bookkeeping, some time later."""


Notify = Callable[[Sequence[Job]], None]  # never waits, never raises


@dataclass(frozen=True, slots=True)
class Letter:
    """A message of a user, as it came."""

    caller: UserCaller
    device_id: str  # its session is not told what it said itself
    device_type: str
    to: Target
    members: Mapping[str, Any]  # of the message, toUserName and fromUserName included
    selector: Selector = EVERYWHERE
    ttl: float = 0.0  # seconds; 0 = for whoever is online


@dataclass(frozen=True, slots=True)
class Circular:
    """A message of an application, as it came."""

    caller: AppCaller
    to: Sequence[Target]
    members: Mapping[str, Any]
    selector: Selector = EVERYWHERE
    ttl: float = 0.0


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of it."""

    ids: Mapping[Key, int]  # by inbox
    plan: Plan
    error: PushError | None  # of what did not work, if anything

    @property
    def last_id(self) -> int:
        """Of the last inbox: normally the sender's own."""
        return next((self.ids[key] for key in reversed(self.plan.keys) if key in self.ids), 0)


class Messaging:
    """The use cases."""

    def __init__(
        self,
        pushing: Pushing,
        directory: Directory,
        meter: Meter,
        *,
        audience_token: Callable[[str, str], str],
        files: Files,
        notify: Notify,
        expire: float,
        now: Callable[[], float] = time.time,
    ) -> None:
        """
        Args:
            audience_token: of a user, for an application: (uid, application id) -> token.
            expire: seconds for which notices are kept.
        """
        self._pushing, self._directory, self._meter = pushing, directory, meter
        self._audience_token, self._files, self._notify = audience_token, files, notify
        self._expire, self._now = expire, now

    async def send_letter(self, letter: Letter) -> Sent:
        """A user writes to a user, a group, a department, a tenant or an application.

        Raises:
            NotFound: there is no such target for this user.
            NotMember: a group, and the user is not in it.
            Forbidden: a department or a tenant, and the user's role does not grant that.
            PushQuota, BadInput, Unavailable: nothing was sent.
        """
        caller, target = letter.caller, letter.to
        upload = _upload(letter.members)
        if is_broadcast(target):
            caller.require(permission_for(target))
        me = Target(Kind.USER, caller.uid)
        mutes = mutes_of(caller, target)
        resolution = await self._directory.resolve([target, me], mutes, tenant=caller.tenant_id)
        found = _found(resolution, target)
        people = willing(found.recipients, resolution, but=caller.uid)
        plan = self._plan_letter(letter, found, people, _sender(resolution, me, caller))
        consumer = Consumer.of_user(caller, letter.device_type)
        await self._meter.take_push(consumer, plan.size)
        sent = await self._send(plan, letter.ttl)
        if upload is not None:
            self._files.note(caller.uid, upload)
        self._meter.note_push(consumer, push_type(target), plan.size)
        self._wake(people, sent, letter.members, caller, letter.ttl)
        return sent

    async def send_circular(self, circular: Circular) -> Sent:
        """An application writes to up to 1,000 names.

        Unknown names are left out, and are the error if nothing else is.

        Raises:
            Forbidden: a department or a tenant, and the application may not.
            PushQuota, BadInput, Unavailable: nothing was sent.
        """
        caller = circular.caller
        caller.require(Permission.PUSH)
        upload = _upload(circular.members)
        for target in circular.to:
            if is_broadcast(target):
                caller.require(permission_for(target))
        mute = Mute(ShieldType.APPLICATION, caller.id)
        targets = list(dict.fromkeys(circular.to))
        resolution = await self._directory.resolve(targets, [mute], tenant=caller.tenant_id)
        reached, sizes = addressees(resolution, targets, circular.selector)
        applications = [
            (target, found.name)
            for target, found in resolution.found.items()
            if target.kind is Kind.APP
        ]
        plan = plan_from_application(circular.members, reached, applications, circular.selector)
        consumer = Consumer.of_application(caller)
        await self._meter.take_push(consumer, plan.size)
        sent = await self._send(plan, circular.ttl)
        if upload is not None:
            self._files.note(caller.id, upload)
        for kind, size in sizes.items():
            self._meter.note_push(consumer, kind, size)
        people = {one.recipient.uid: one.recipient for one in reached}
        self._wake(people, sent, circular.members, caller, circular.ttl)
        missing = [target.name for target in targets if target not in resolution.found]
        if missing and sent.error is None:
            error = NotFound(f"toUserNames: there is no {', '.join(map(repr, missing[:10]))}")
            return Sent(sent.ids, plan, error)
        return sent

    async def send(self, notices: Sequence[Notice]) -> None:
        """Notices of one change in a group, as one batch; see `Notices`."""
        if not notices:
            return
        uids = dict.fromkeys(uid for notice in notices for uid in notice.recipient_uids)
        targets = [Target(Kind.USER, uid) for uid in uids]
        resolution = await self._directory.resolve(targets, tenant=notices[0].tenant_id)
        people = {t.id: found.recipients[t.id] for t, found in resolution.found.items()}
        plans = [_plan_of(notice, people) for notice in notices]
        consumer, size = _consumer(notices[0].acting), sum(plan.size for plan in plans)
        if consumer is not None:
            await self._meter.take_push(consumer, size)
        outcomes = await self._pushing.push(
            [push for plan in plans for push in self._pushes(plan, self._expire)]
        )
        if consumer is not None:
            self._meter.note_push(consumer, Kind.GROUP.value, size)
        if (error := _error_of(outcomes)) is not None:
            raise error

    def _plan_letter(
        self, letter: Letter, found: Found, people: Mapping[str, Recipient], sender: Recipient
    ) -> Plan:
        target, members, device = letter.to, letter.members, letter.device_id
        selector = letter.selector
        match target.kind:
            case Kind.USER:
                return plan_to_user(members, sender, target, people.values(), selector, device)
            case Kind.GROUP:
                if sender.uid not in found.recipients:
                    raise NotMember(f"toUserName: you are not a member of {target.name!r}")
                return plan_to_group(
                    members, sender, target, found.name, people.values(), selector, device
                )
            case Kind.APP:
                token = self._audience_token(sender.uid, target.id)
                return plan_to_application(members, sender, target, found.name, token, device)
            case _:
                return plan_to_many(
                    members, sender, target, found.name, people.values(), selector, device
                )

    async def _send(self, plan: Plan, ttl: float) -> Sent:
        """All copies, as one message. Raises the error if no key at all has it."""
        pushes = self._pushes(plan, ttl)
        outcomes = await self._pushing.push(pushes) if pushes else []
        ids = {key: sent.id for outcome in outcomes for key, sent in outcome.sent.items()}
        error = _error_of(outcomes)
        if error is not None and not ids:
            raise error
        return Sent(ids, plan, error)

    def _pushes(self, plan: Plan, ttl: float) -> list[Push]:
        """The copies, with one push id."""
        push_id = fresh_push_id()
        expires_at = self._now() + ttl if ttl else 0.0
        return [
            Push(
                push_id,
                copy.keys[at : at + KEYS],
                copy.body,
                expires_at,
                copy.tails[at : at + KEYS],
                copy.sessions,
            )
            for copy in plan.copies
            for at in range(0, len(copy.keys), KEYS)
        ]

    def _wake(
        self,
        people: Mapping[str, Recipient],
        sent: Sent,
        members: Mapping[str, Any],
        caller: UserCaller | AppCaller,
        ttl: float,
    ) -> None:
        """Wake the phones of whom it is for and who is away; the sender knows."""
        me = caller.uid if isinstance(caller, UserCaller) else None
        keys = {uid: user_key(uid) for uid in people if uid != me}
        ids = {uid: sent.ids[key] for uid, key in keys.items() if key in sent.ids}
        if not ids:
            return
        title = caller.nickname if isinstance(caller, UserCaller) else caller.name
        text, custom = members.get("content"), members.get("customFilelds")
        job = Job(
            tenant_id=caller.tenant_id,
            recipients=ids,
            title=title,
            text=text if isinstance(text, str) else "",
            custom=custom if isinstance(custom, dict) else {},
            expires_at=self._now() + ttl if ttl else 0.0,
        )
        self._notify([job])


def _upload(members: Mapping[str, Any]) -> Upload | None:
    """The file that a message speaks of, if any. Raises BadInput."""
    if members.get("msgType") != FILE:
        return None
    return upload_of(members.get("objectContent") or {})


def _plan_of(notice: Notice, people: Mapping[str, Recipient]) -> Plan:
    there = [people[uid] for uid in notice.recipient_uids if uid in people]
    group = Target(Kind.GROUP, notice.group_id)
    return plan_notice(group, notice.group_name, there, notice.text, NOTICE)


def _found(resolution: Resolution, target: Target) -> Found:
    found = resolution.found.get(target)
    if found is None:
        raise NotFound(f"toUserName: there is no {target.name!r}")
    return found


def _sender(resolution: Resolution, me: Target, caller: UserCaller) -> Recipient:
    found = resolution.found.get(me)
    if found is None:
        raise Forbidden("token: its user is disabled")
    return found.recipients[me.id]


def _consumer(acting: Principal) -> Consumer | None:
    match acting:
        case UserCaller():
            return Consumer.of_user(acting)
        case AppCaller():
            return Consumer.of_application(acting)
        case Operator():
            return None


def _error_of(outcomes: Sequence[Outcome]) -> PushError | None:
    return next((error for one in outcomes for error in one.failed.values()), None)
