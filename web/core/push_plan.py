"""Who gets which copy of a message: what a user or an application sends, made into pushes.

    A (here on d1) to B          keys [B]        from A@user to B@user        all sessions
                                 keys [A]        from A@user to B@user        all sessions but *d1

    A to the group G = {A, B}    keys [B]        from G@qun  to B@user        content "A@user|login|nick&&hi"
                                 keys [A]        from A@user to G@qun         content "hi", all but *d1

    an application P to B, G     keys [B, A]     from P@app  to each          once each, muted ones left out

All copies of one message share its push id, and so its id. Shared members are the body; a member that is of one
receiver alone (to whom, their display name, their active sessions) is in the tail of the key.

Source: spec/appmsgsrv.md sections 8.2 to 8.5. Differences: the sender is whoever proved it, never what the
message says (W7); nobody gets a message twice, however many names reach them (C2); an empty content is a
content; a message to a department or a tenant says so in `addressedTo` and `addressedToDisplayName`; login and
nickname cannot break the group prefix, their "|" and "&&" are replaced (C3).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from appmodel.core.message import ALL_SESSIONS, Sessions
from appmodel.core.names import Key
from web.core.selectors import EVERYWHERE, KnownSession, Selector, active_ids
from web.core.targets import Kind, Target, user_key

_encode = msgspec.json.Encoder().encode

SERVER_MEMBERS = frozenset(
    {
        "fromDisplayName",
        "toDisplayName",
        "toUserKey",
        "activeSessions",
        "deviceID",
        "token",
        "addressedTo",
        "addressedToDisplayName",
    }
)
"""Members that only the server writes: what a caller put there is left out, but for toDisplayName."""


@dataclass(slots=True)
class Recipient:
    """A user who gets or sends a message, with the sessions that the database knows."""

    uid: str
    login: str
    nickname: str
    sessions: list[KnownSession] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Copy:
    """Nearly the same message for many keys: a `Push` without its id and its time."""

    keys: tuple[Key, ...]
    body: bytes
    tails: tuple[bytes, ...]
    sessions: Sessions | None


@dataclass(frozen=True, slots=True)
class Plan:
    """A message on its way out."""

    copies: list[Copy] = field(default_factory=list)
    entries: list[tuple[Key, Key]] = field(default_factory=list)  # (inbox, key) of mlist, in order
    size: int = 0  # keys of the push set: what quotas and statistics count

    @property
    def keys(self) -> list[Key]:
        """All inboxes, in order."""
        return [key for copy in self.copies for key in copy.keys]


def plan_to_user(
    message: Mapping[str, Any],
    sender: Recipient,
    target: Target,
    receivers: Iterable[Recipient],
    selector: Selector,
    device: str,
) -> Plan:
    """From a user to a user, who is `receivers`: nobody, if he muted the sender. To himself: one copy."""
    shared = _by_user(message, sender, device)
    special = {"toUserName": target.name}
    others = [one for one in receivers if one.uid != sender.uid]
    plan = Plan(size=_size(others, selector) + 1 + len(sender.sessions))
    if others:
        each = [(one, special) for one in others]
        plan.copies.append(_copy(shared, each, _rule(others, selector)))
    plan.copies.append(_copy(shared, [(sender, special)], _own_sessions(device)))
    return plan


def plan_to_group(
    message: Mapping[str, Any],
    sender: Recipient,
    group: Target,
    title: str,
    members: Iterable[Recipient],
    selector: Selector,
    device: str,
) -> Plan:
    """From a member to the others, and to his own other devices."""
    shared = _by_user(message, sender, device)
    prefix = "|".join((f"{sender.uid}@user", _harmless(sender.login), _harmless(sender.nickname)))
    shared |= {"fromUserName": group.name, "fromDisplayName": title}
    shared["content"] = f"{prefix}&&{message.get('content', '')}"
    others = [one for one in members if one.uid != sender.uid]
    plan = Plan(size=_size(others, selector) + 1 + len(sender.sessions))
    if others:
        plan.copies.append(_copy(shared, _to_each(others), _rule(others, selector)))
    own = shared | {"fromUserName": f"{sender.uid}@user", "content": message.get("content", "")}
    special = {"toUserName": group.name, "toDisplayName": title}
    plan.copies.append(_copy(own, [(sender, special)], _own_sessions(device)))
    return plan


def plan_to_many(
    message: Mapping[str, Any],
    sender: Recipient,
    target: Target,
    title: str,
    members: Iterable[Recipient],
    selector: Selector,
    device: str,
) -> Plan:
    """From a user to a department or a tenant, and to his own other devices."""
    shared = _by_user(message, sender, device)
    shared |= {"addressedTo": target.name, "addressedToDisplayName": title}
    others = [one for one in members if one.uid != sender.uid]
    plan = Plan(size=_size(others, selector) + 1 + len(sender.sessions))
    if others:
        plan.copies.append(_copy(shared, _to_each(others), _rule(others, selector)))
    own = _copy(shared, [(sender, {"toUserName": target.name})], _own_sessions(device))
    plan.copies.append(own)
    return plan


def plan_to_application(
    message: Mapping[str, Any],
    sender: Recipient,
    target: Target,
    title: str,
    token: str,
    device: str,
) -> Plan:
    """From a user to an application: its inbox alone. `token`: proves the user to it, and to nobody else."""
    shared = _by_user(message, sender, device)
    shared |= {"toUserName": target.name, "toDisplayName": title, "token": token}
    return Plan([_to_key(shared, target.key)], size=1)


@dataclass(frozen=True, slots=True)
class Addressee:
    """A user whom an application reaches, and by which name: None = by his own, or through a group."""

    recipient: Recipient
    through: tuple[str, str] | None = None  # name and display name of a department or a tenant


def plan_from_application(
    message: Mapping[str, Any],
    addressees: Sequence[Addressee],
    applications: Sequence[tuple[Target, str]],
    selector: Selector,
) -> Plan:
    """From an application to users, each once, and to other applications (with their display names)."""
    plan = Plan(size=_size([one.recipient for one in addressees], selector) + len(applications))
    for target, title in applications:
        shared = dict(message) | {"toUserName": target.name, "toDisplayName": title}
        plan.copies.append(_to_key(shared, target.key))
    if not addressees:
        return plan
    people = [one.recipient for one in addressees]
    each = [(one.recipient, _addressed(one)) for one in addressees]
    plan.copies.append(_copy(dict(message), each, _rule(people, selector)))
    for person in people:
        inbox = user_key(person.uid)
        plan.entries.append((inbox, inbox))
        chosen = selector.chosen(person.sessions)
        plan.entries.extend((inbox, Key("", one.id, "user")) for one in chosen)
    return plan


def plan_notice(
    group: Target, title: str, recipients: Iterable[Recipient], text: str, msg_type: int
) -> Plan:
    """From a group to some of its members."""
    shared = {"msgType": msg_type, "fromUserName": group.name, "fromDisplayName": title}
    shared["content"] = text
    people = list(recipients)
    if not people:
        return Plan()
    each = [(one, {"toUserName": f"{one.uid}@user"}) for one in people]
    return Plan([_copy(shared, each, ALL_SESSIONS)], size=_size(people, EVERYWHERE))


def _by_user(message: Mapping[str, Any], sender: Recipient, device: str) -> dict[str, Any]:
    """What all copies of a user's message have."""
    shared = {name: value for name, value in message.items() if name not in SERVER_MEMBERS}
    shared.pop("toUserName", None)
    if "toDisplayName" in message:
        shared["toDisplayName"] = message["toDisplayName"]
    return shared | {
        "deviceID": device,
        "fromUserName": f"{sender.uid}@user",
        "fromDisplayName": sender.nickname,
    }


def _to_each(people: Iterable[Recipient]) -> list[tuple[Recipient, dict[str, Any]]]:
    return [
        (one, {"toUserName": f"{one.uid}@user", "toDisplayName": one.nickname}) for one in people
    ]


def _addressed(one: Addressee) -> dict[str, Any]:
    person = one.recipient
    special = {"toUserName": f"{person.uid}@user", "toDisplayName": person.nickname}
    if one.through is not None:
        special["addressedTo"], special["addressedToDisplayName"] = one.through
    return special


def _copy(
    shared: dict[str, Any],
    each: Sequence[tuple[Recipient, dict[str, Any]]],
    sessions: Sessions | None,
) -> Copy:
    """The tail of each is what is special to it; a shared member of that name gives way."""
    taken = {name for _, special in each for name in special}
    shared = {name: value for name, value in shared.items() if name not in taken}
    keys = tuple(user_key(person.uid) for person, _ in each)
    tails = tuple(
        _encode(special | {"activeSessions": active_ids(_reached(person, sessions))})[1:-1]
        for person, special in each
    )
    return Copy(keys, _encode(shared), tails, sessions)


def _reached(person: Recipient, sessions: Sessions | None) -> list[KnownSession]:
    if sessions is None:
        return []
    if sessions.only is None:
        return list(person.sessions)
    return [one for one in person.sessions if one.id in sessions.only]


def _to_key(shared: dict[str, Any], key: Key) -> Copy:
    """The copy of an application: it has no sessions, and its key stands in the body."""
    body = _encode(shared | {"toUserKey": str(key), "activeSessions": []})
    return Copy((key,), body, (), None)


def _own_sessions(device: str) -> Sessions:
    """All of the sender's, but those whose id ends like the device: with an empty one, as in the original, none."""
    return Sessions(None, without=device) if device else Sessions(frozenset())


def _rule(people: Iterable[Recipient], selector: Selector) -> Sessions | None:
    return selector.rule(session for person in people for session in person.sessions)


def _size(people: Iterable[Recipient], selector: Selector) -> int:
    return sum(1 + len(selector.chosen(person.sessions)) for person in people)


def _harmless(name: str) -> str:
    """`name` without the separators of the group prefix: full-width ones look the same to people."""
    return name.replace("|", "｜").replace("&&", "＆＆")


def is_broadcast(target: Target) -> bool:
    """Whether it takes a permission to address it."""
    return target.kind in {Kind.ORG, Kind.SUBTREE, Kind.TENANT}
