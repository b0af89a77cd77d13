"""Who is meant by the names of a push, and who of them wants it.

What the directory found (web/services/directory.py), and what follows from it without asking anybody.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from appmodel.core.mutes import Mute, ShieldType
from web.core.principals import Permission, UserCaller
from web.core.push_plan import Addressee, Recipient, is_broadcast
from web.core.selectors import Selector
from web.core.targets import Kind, Target


@dataclass(slots=True)
class Found:
    """What a target is. Do not change it: others get the same."""

    target: Target
    name: str  # for people: of a group, a department, an application; the nickname of a user
    tenant_id: str
    recipients: dict[str, Recipient] = field(default_factory=dict)  # by uid


class Resolution(NamedTuple):
    """Targets that there are, and users who muted the sender or the target."""

    found: dict[Target, Found]
    muted: dict[Mute, frozenset[str]]  # uids

    @property
    def unwilling(self) -> frozenset[str]:
        """Who muted any of them."""
        return frozenset().union(*self.muted.values())


def mutes_of(caller: UserCaller, target: Target) -> list[Mute]:
    """Who may not want this: those who muted the sender or the group."""
    mutes = [Mute(ShieldType.USER, caller.uid)]
    if target.kind is Kind.GROUP:
        mutes.append(Mute(ShieldType.GROUP, target.id))
    return mutes


def permission_for(target: Target) -> Permission:
    """What it takes to address a department or a tenant."""
    return Permission.PUSH_TENANT if target.kind is Kind.TENANT else Permission.PUSH_ORG


def willing(
    people: Mapping[str, Recipient], resolution: Resolution, *, but: str
) -> Mapping[str, Recipient]:
    """Those who did not mute the sender or the target; `but`: the sender is one of them."""
    unwilling = resolution.unwilling - {but}
    if not unwilling:
        return people
    return {uid: one for uid, one in people.items() if uid not in unwilling}


def addressees(
    resolution: Resolution, targets: Sequence[Target], selector: Selector
) -> tuple[list[Addressee], Counter[str]]:
    """Users that the names reach, each once, in order, without those who muted the caller; and how many
    keys that makes, by push type."""
    unwilling = resolution.unwilling
    addressees: dict[str, Addressee] = {}
    sizes: Counter[str] = Counter()
    for target in targets:
        found = resolution.found.get(target)
        if found is None:
            continue
        kind = push_type(target)
        if target.kind is Kind.APP:
            sizes[kind] += 1
            continue
        through = (target.name, found.name) if is_broadcast(target) else None
        for uid, person in found.recipients.items():
            if uid not in unwilling and uid not in addressees:
                addressees[uid] = Addressee(person, through)
                sizes[kind] += 1 + len(selector.chosen(person.sessions))
    return list(addressees.values()), sizes


def push_type(target: Target) -> str:
    """As the statistics count it."""
    return Kind.ORG.value if target.kind is Kind.SUBTREE else target.kind.value
