"""What tests of tenants and departments have in common."""

from collections.abc import Collection, Iterable
from typing import Any

import sqlalchemy as sa

from appmodel.core.credentials import Caller
from appmodel.io.database import Database
from appmodel.orm.base import Base
from appmodel.orm.changes import Change
from appmodel.orm.organisations import Org, Tenant
from web.core.principals import AppCaller, Operator, Permission, UserCaller

OPERATOR = Operator(Caller("", "", frozenset({"admin"}), "op", 0.0, 9e9))


def app_of(tenant_id: str, *permissions: Permission) -> AppCaller:
    """An application of the tenant; without permissions, one with SYNC."""
    may = frozenset(permissions or {Permission.SYNC})
    return AppCaller(f"app-{tenant_id}", "App", tenant_id, "", may)


def user_of(tenant_id: str, uid: str = "u1", role: str = "member") -> UserCaller:
    """A user of the tenant."""
    return UserCaller(uid, tenant_id, "", uid, uid.title(), role, "digest")


async def put(database: Database, *rows: Base) -> None:
    """Rows, as they are."""
    await database.write(lambda session: session.add_all(rows))


async def tenants(database: Database, *ids: str) -> None:
    """Tenants with these ids."""
    await put(database, *(Tenant(id=each, name=each.upper()) for each in ids))


async def locations(database: Database, tenant_id: str = "t1") -> dict[str, str]:
    """Of a tenant's departments, by id."""

    def find(session: Any) -> dict[str, str]:
        rows = session.execute(sa.select(Org.id, Org.location).where(Org.tenant_id == tenant_id))
        return dict(rows.all())

    return await database.read(find)


async def notes(database: Database) -> set[str]:
    """The subjects of all changes that were noted."""
    return await database.read(lambda session: set(session.scalars(sa.select(Change.subject))))


async def forget_notes(database: Database) -> None:
    """As if nothing had changed yet."""

    def forget(session: Any) -> None:
        session.execute(sa.delete(Change))

    await database.write(forget)


def placed(departments: Iterable[tuple[str, str]], places: dict[str, str]) -> Collection[str]:
    """Which of these (id, parent) do not lie one step below their parent, or share a place."""
    wrong = {
        each
        for each, parent in departments
        if len(places[each]) < 2 or places[each][:-2] != (places[parent] if parent else "")
    }
    return wrong | {a for a, p in places.items() if list(places.values()).count(p) > 1}
