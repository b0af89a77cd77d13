"""Who calls: a user, an application, or an operator.

    user          a user token       <uid>_<random>          for itself, within its tenant
    application   an application's token                     for its tenant, as far as its permissions go
    operator      an access token of the cluster             for every tenant of its realm, by its scopes

What a caller may name is decided by what it proved, never by what it says in a body: the sender of a
message, the creator of a group, the owner of a contact, a session or a mute come from here.
"""

import enum
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from appmodel.core.credentials import Caller
from appmodel.errors import Forbidden


class Permission(enum.StrEnum):
    """What an application may do, or a role of a user, beyond what everybody may."""

    PUSH = "push"  # to users, groups and applications
    PUSH_ORG = "push_org"  # to a department
    PUSH_TENANT = "push_tenant"  # to the whole tenant
    SYNC = "sync"  # change users, departments and the tenant
    SESSIONS = "sessions"  # see and set users' sessions
    AUTH = "auth"  # ask whose a user token is
    QUOTA = "quota"  # change the tenant's quotas


APPLICATION_DEFAULT = frozenset({Permission.PUSH, Permission.SESSIONS, Permission.AUTH})

ROLES = {
    "member": frozenset[Permission](),
    "announcer": frozenset({Permission.PUSH_ORG, Permission.PUSH_TENANT}),
    "admin": frozenset({Permission.PUSH_ORG, Permission.PUSH_TENANT, Permission.SYNC}),
}
"""The roles of users in their tenant: `user.role`."""


@dataclass(frozen=True, slots=True)
class UserCaller:
    """A user who has proved it."""

    uid: str
    tenant_id: str  # "" = none: such users see one another
    customer_id: str  # of the tenant; "" = none
    login: str
    nickname: str
    role: str
    token_id: str  # digest of the token, hexadecimal

    def require(self, permission: Permission) -> None:
        """Raise Forbidden unless the user's role grants it."""
        if permission not in ROLES.get(self.role, frozenset()):
            raise Forbidden(f"role: {self.role!r} does not grant {permission.value!r}")


@dataclass(frozen=True, slots=True)
class AppCaller:
    """An application that has proved it, and is not disabled."""

    id: str
    name: str
    tenant_id: str
    customer_id: str  # of the tenant; "" = none
    permissions: frozenset[Permission]

    def require(self, permission: Permission) -> None:
        """Raise Forbidden unless the application has it."""
        if permission not in self.permissions:
            raise Forbidden(f"application {self.id!r}: lacks permission {permission.value!r}")


@dataclass(frozen=True, slots=True)
class Operator:
    """The holder of an access token with the scope that was asked for; of no tenant, so of any."""

    caller: Caller

    def require(self, permission: Permission) -> None:
        """Its scope was asked for already: it may whatever an application or a role may."""


Principal: TypeAlias = UserCaller | AppCaller | Operator


class Authenticating(Protocol):
    """Whose tokens these are. Answers may be as old as `database.staleness`."""

    async def user(self, token: str) -> UserCaller:
        """The owner of a user token, which lives on by this.

        Raises:
            Unauthorized: not one of ours, expired, revoked; or its owner is disabled.
            Unavailable: the database is away.
        """

    async def application(self, token: str) -> AppCaller:
        """The owner of an application's token.

        Raises:
            Unauthorized: unknown, or the application or its tenant is disabled.
            Unavailable: the database is away.
        """


def subject_of(principal: Principal) -> tuple[str, str]:
    """The realm and the name of whoever calls: what is remembered of a caller is under both."""
    match principal:
        case Operator(caller):
            return caller.realm, caller.subject
        case AppCaller():
            return "", f"{principal.id}@app"
        case UserCaller():
            return "", f"{principal.uid}@user"


def tenant_for(principal: Principal, asked: str | None) -> str:
    """The tenant that a call is about.

    Args:
        asked: what the call names; None = nothing. Only an operator must, and may, name any.

    Raises:
        Forbidden: it names another one than the caller's; or an operator of another realm than the default
            one, where people live.
    """
    if isinstance(principal, Operator):
        if principal.caller.realm:
            raise Forbidden("realm: people, groups and applications are in the default realm")
        return asked or ""
    if asked is not None and asked != principal.tenant_id:
        raise Forbidden("tenant: the credential is of another one")
    return principal.tenant_id
