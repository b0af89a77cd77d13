"""From the names of a /v2 push to keys.

    u1@user, any key          itself; a user's sessions get it too
    g7@qun d3@org t1@tenant   the inboxes of its members, if the directory knows it
    d3@org/**                 the same, with all departments below

An operator pushes to any key. A group, department or tenant that the directory does not know is a key for him, for
systems without people have rooms of that name. An application reaches its own tenant only, everything that it
names must be there, who muted it gets nothing, and what it pushes counts against its tenant's quota.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from appmodel.core.mutes import Mute, ShieldType
from appmodel.core.names import Key, parse_key
from appmodel.errors import Forbidden, NotFound
from web.core.orders import parse_targets
from web.core.principals import AppCaller, Operator, Permission, Principal, UserCaller
from web.core.push_plan import is_broadcast
from web.core.quota import Consumer, Meter
from web.core.resolution import permission_for, push_type
from web.core.targets import Kind, Target, find_target, user_key
from web.services.directory import Directory

MANY = ("@qun", "@org", "@tenant", "/**")  # ends of names that stand for many

Names = dict[str, tuple[Key, ...]]


class Addressed(NamedTuple):
    """Where a push goes."""

    keys: tuple[Key, ...]  # each once
    names: Names | None = None  # by name; None = every name is its key
    sizes: Mapping[str, int] = {}  # keys by push type


class Addressing:
    """Looks names up. Names that are keys cost nothing."""

    def __init__(self, directory: Directory, meter: Meter, *, limit: int) -> None:
        """`limit`: names in one call."""
        self._directory, self._meter, self._limit = directory, meter, limit

    async def find(self, to: str | Sequence[str], principal: Principal) -> Addressed:
        """Where it goes; what it costs is taken.

        Raises:
            BadInput, TooLarge: a bad name, none, or too many.
            NotFound: an application names what its tenant does not have.
            Forbidden: a user, or an application without the permission.
            PushQuota: the application's tenant has fewer keys left.
            Unavailable: the database is needed, and away.
        """
        names = [to] if isinstance(to, str) else to
        if isinstance(principal, Operator):
            realm = principal.caller.realm
            if realm or not any(name.endswith(MANY) for name in names):
                if isinstance(to, str):
                    return Addressed((parse_key(to, realm, field="to"),))
                return Addressed(parse_targets(names, realm, field="to", limit=self._limit))
            return await self._look_up(names, None)
        if isinstance(principal, UserCaller):
            raise Forbidden("credential: users push with /app/client/device/push")
        found = await self._look_up(names, principal)
        consumer = Consumer.of_application(principal)
        await self._meter.take_push(consumer, sum(found.sizes.values()))
        for kind, size in found.sizes.items():
            self._meter.note_push(consumer, kind, size)
        return found

    async def _look_up(self, names: Sequence[str], application: AppCaller | None) -> Addressed:
        parse_targets(
            [name.removesuffix("/**") for name in names], "", field="to", limit=self._limit
        )
        targets = {name: find_target(name, "to") for name in names}
        wanted = [target for target in targets.values() if target is not None]
        if application is None:
            wanted = [target for target in wanted if target.kind not in {Kind.USER, Kind.APP}]
        else:
            _check(wanted, application)
        tenant = None if application is None else application.tenant_id
        mutes = [] if application is None else [Mute(ShieldType.APPLICATION, application.id)]
        resolution = await self._directory.resolve(wanted, mutes, tenant=tenant)
        unwilling = resolution.unwilling
        keys: Names = {}
        sizes: Counter[str] = Counter()
        for name, target in targets.items():
            found = None if target is None else resolution.found.get(target)
            if found is None:
                keys[name] = (_as_key(name, target, application),)
            elif found.target.kind is Kind.APP:
                keys[name] = (found.target.key,)
            else:
                keys[name] = tuple(
                    user_key(uid) for uid in found.recipients if uid not in unwilling
                )
            if target is not None:
                sizes[push_type(target)] += len(keys[name])
        whole = tuple(dict.fromkeys(key for some in keys.values() for key in some))
        return Addressed(whole, keys, sizes)


def _check(targets: Sequence[Target], application: AppCaller) -> None:
    application.require(Permission.PUSH)
    for target in targets:
        if is_broadcast(target):
            application.require(permission_for(target))


def _as_key(name: str, target: Target | None, application: AppCaller | None) -> Key:
    """What the directory does not know is a key, for an operator."""
    if application is not None or name.endswith("/**"):
        raise NotFound(f"to: there is no {name!r}")
    if target is not None:
        return target.key
    return parse_targets([name], "", field="to", limit=1)[0]
