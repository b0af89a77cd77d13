"""Who is meant by names: one statement for a whole push, whatever it is addressed to.

    kind      target   name      tenant   uid   login   nickname   session         state
    @qun      g7       Hiking    t1       u1    alice   Alice      u1_iOS-d1       active
    @qun      g7       Hiking    t1       u1    alice   Alice      u1_Android-d2   init
    @qun      g7       Hiking    t1       u2    bob     Bob        NULL            NULL
    mute      g7       ""        ""       u2    ""      ""         NULL            NULL

A user with two sessions comes in two rows; a group without members in one without a uid; a name that there is
not (or not in this tenant) in none. Users that are disabled are left out.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, cast

import sqlalchemy as sa
from sqlalchemy.orm import Session

from appmodel.core.mutes import Mute
from appmodel.orm.applications import Application
from appmodel.orm.base import DISABLED
from appmodel.orm.contacts import ShieldMsg
from appmodel.orm.groups import Qun, QunUser
from appmodel.orm.organisation_queries import lies_below
from appmodel.orm.organisations import Org, OrgUser, Tenant
from appmodel.orm.people import User
from appmodel.orm.presence import Session as SessionRow

MUTE = "mute"


class Row(NamedTuple):
    """One row of the answer, as it comes: 10,000 of them are not made anew."""

    kind: str
    target: str
    name: str | None
    tenant: str | None
    uid: str | None  # None: the target has nobody
    login: str | None
    nickname: str | None
    session: str | None  # None: this user has none
    state: str | None


def find_targets(
    session: Session,
    wanted: Mapping[str, Sequence[str]],
    mutes: Iterable[Mute],
    *,
    tenant: str | None,
) -> Sequence[Row]:
    """All rows of these targets, and of who muted `mutes`, in one statement.

    Args:
        wanted: ids by kind: "@user", "@qun", "@org", "@org/**", "@tenant", "@app".
        tenant: of whoever asks; None = any.
    """
    branches = [_BRANCHES[kind](ids, tenant) for kind, ids in wanted.items() if ids]
    branches += [_muted(mute) for mute in mutes]
    if not branches:
        return []
    statement = branches[0] if len(branches) == 1 else sa.union_all(*branches)
    rows = session.connection().execute(statement).all()
    return cast("Sequence[Row]", rows)


def _columns(kind: str, target: Any, name: Any, tenant: Any) -> list[Any]:
    return [
        sa.literal(kind).label("kind"),
        target.label("target"),
        name.label("name"),
        tenant.label("tenant"),
        User.id.label("uid"),
        User.name.label("login"),
        User.nickname.label("nickname"),
        SessionRow.id.label("session"),
        SessionRow.state.label("state"),
    ]


def _within(column: Any, tenant: str | None) -> list[Any]:
    """The condition that rows are of this tenant. Adopted rows of none may hold NULL.

    An expression, so that no planner takes the index of tenants: rows are found by their ids. PostgreSQL
    thought a company of 10,000 to be one row, and looked at all of it for each member of a group.
    """
    return [] if tenant is None else [sa.func.coalesce(column, "") == tenant]


def _users(ids: Sequence[str], tenant: str | None) -> sa.Select[Any]:
    columns = _columns("@user", User.id, User.nickname, User.tenant_id)
    return (
        sa.select(*columns)
        .outerjoin(SessionRow, SessionRow.user_id == User.id)
        .where(User.id.in_(ids), User.status != DISABLED, *_within(User.tenant_id, tenant))
    )


def _groups(ids: Sequence[str], tenant: str | None) -> sa.Select[Any]:
    return _members("@qun", Qun, QunUser, QunUser.qun_id == Qun.id, ids, tenant)


def _departments(ids: Sequence[str], tenant: str | None) -> sa.Select[Any]:
    return _members("@org", Org, OrgUser, OrgUser.org_id == Org.id, ids, tenant)


def _subtrees(ids: Sequence[str], tenant: str | None) -> sa.Select[Any]:
    below = sa.alias(Org.__table__, "below")
    is_below = sa.or_(
        below.c.id == Org.id,
        sa.and_(
            Org.location != "",
            below.c.tenant_id == Org.tenant_id,
            lies_below(below.c.location, Org.location),
        ),
    )
    source = sa.join(Org, below, is_below)
    seated = OrgUser.org_id == below.c.id
    return _members("@org/**", Org, OrgUser, seated, ids, tenant, source=source)


def _members(
    kind: str,
    whole: type[Qun | Org],
    seat: type[QunUser | OrgUser],
    seated: sa.ColumnElement[bool],
    ids: Sequence[str],
    tenant: str | None,
    *,
    source: Any = None,
) -> sa.Select[Any]:
    """A group or department with its members, who are of its own tenant whoever asks.

    Args:
        seated: which seats count.
        source: where those are found; None = `whole` itself.
    """
    columns = _columns(kind, whole.id, whole.name, whole.tenant_id)
    own = sa.func.coalesce(User.tenant_id, "") == sa.func.coalesce(whole.tenant_id, "")
    is_member = sa.and_(User.id == seat.user_id, User.status != DISABLED, own)
    return (
        sa.select(*columns)
        .select_from(whole if source is None else source)
        .outerjoin(seat, seated)
        .outerjoin(User, is_member)
        .outerjoin(SessionRow, SessionRow.user_id == User.id)
        .where(whole.id.in_(ids), *_within(whole.tenant_id, tenant))
    )


def _tenants(ids: Sequence[str], tenant: str | None) -> sa.Select[Any]:
    columns = _columns("@tenant", Tenant.id, Tenant.name, Tenant.id)
    return (
        sa.select(*columns)
        .select_from(Tenant)
        .outerjoin(User, sa.and_(User.tenant_id == Tenant.id, User.status != DISABLED))
        .outerjoin(SessionRow, SessionRow.user_id == User.id)
        .where(Tenant.id.in_(ids), *([Tenant.id == tenant] if tenant is not None else []))
    )


def _applications(ids: Sequence[str], tenant: str | None) -> sa.Select[Any]:
    columns: list[Any] = [sa.literal("@app"), Application.id, Application.name]
    columns += [Application.tenant_id, *_nothing(5)]
    return sa.select(*columns).where(
        Application.id.in_(ids),
        Application.status != DISABLED,
        *_within(Application.tenant_id, tenant),
    )


def _muted(mute: Mute) -> sa.Select[Any]:
    columns: list[Any] = [sa.literal(MUTE), ShieldMsg.target_id, sa.literal(str(mute.type))]
    columns += [sa.literal(""), ShieldMsg.source_id, *_nothing(4)]
    return sa.select(*columns).where(ShieldMsg.target_id == mute.id, ShieldMsg.type == mute.type)


def _nothing(columns: int) -> list[Any]:
    return [sa.null().label(f"nothing{n}") for n in range(columns)]


_BRANCHES = {
    "@user": _users,
    "@qun": _groups,
    "@org": _departments,
    "@org/**": _subtrees,
    "@tenant": _tenants,
    "@app": _applications,
}
