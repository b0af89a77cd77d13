"""From the names of a /v2 push to keys.

    u1@user, any key          itself; a user's sessions get it too
    g7@qun d3@org t1@tenant   the inboxes of its members, if the directory knows it
    d3@org/**                 the same, with all departments below

An operator pushes to any key. A group, department or tenant that the directory does not know is a key for him, for
systems without people have rooms of that name. An application reaches its own tenant only, and everything that
it names must be there.
"""

from collections.abc import Sequence

from appmodel.core.names import Key, parse_key
from appmodel.errors import Forbidden, NotFound
from web.core.orders import parse_targets
from web.core.principals import AppCaller, Operator, Permission, Principal, UserCaller
from web.core.push_plan import is_broadcast
from web.core.targets import Kind, Target, find_target, user_key
from web.services.directory import Directory

Names = dict[str, tuple[Key, ...]]

MANY = ("@qun", "@org", "@tenant", "/**")  # ends of names that stand for many


class Addressing:
    """Looks names up. Names that are keys cost nothing."""

    def __init__(self, directory: Directory, *, limit: int) -> None:
        """`limit`: names in one call."""
        self._directory, self._limit = directory, limit

    async def find(
        self, to: str | Sequence[str], principal: Principal
    ) -> tuple[tuple[Key, ...], Names | None]:
        """The keys, each once; and by name, unless every name is its key.

        Raises:
            BadInput, TooLarge: a bad name, none, or too many.
            NotFound: an application names what its tenant does not have.
            Forbidden: a user, or an application without the permission.
            Unavailable: the database is needed, and away.
        """
        names = [to] if isinstance(to, str) else to
        if isinstance(principal, Operator):
            realm = principal.caller.realm
            if realm or not any(name.endswith(MANY) for name in names):
                if isinstance(to, str):
                    return (parse_key(to, realm, field="to"),), None
                return parse_targets(names, realm, field="to", limit=self._limit), None
            return await self._look_up(names, None)
        if isinstance(principal, UserCaller):
            raise Forbidden("credential: users push with /app/client/device/push")
        return await self._look_up(names, principal)

    async def _look_up(
        self, names: Sequence[str], application: AppCaller | None
    ) -> tuple[tuple[Key, ...], Names]:
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
        resolution = await self._directory.resolve(wanted, tenant=tenant)
        keys: Names = {}
        for name, target in targets.items():
            found = None if target is None else resolution.found.get(target)
            if found is None:
                keys[name] = (_as_key(name, target, application),)
            elif found.target.kind is Kind.APP:
                keys[name] = (found.target.key,)
            else:
                keys[name] = tuple(user_key(uid) for uid in found.recipients)
        return tuple(dict.fromkeys(key for some in keys.values() for key in some)), keys


def _check(targets: Sequence[Target], application: AppCaller) -> None:
    application.require(Permission.PUSH)
    for target in targets:
        if is_broadcast(target):
            tenant = target.kind is Kind.TENANT
            application.require(Permission.PUSH_TENANT if tenant else Permission.PUSH_ORG)


def _as_key(name: str, target: Target | None, application: AppCaller | None) -> Key:
    """What the directory does not know is a key, for an operator."""
    if application is not None or name.endswith("/**"):
        raise NotFound(f"to: there is no {name!r}")
    if target is not None:
        return target.key
    return parse_targets([name], "", field="to", limit=1)[0]
