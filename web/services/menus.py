"""Menus of applications: two levels of entries that a phone shows beside a conversation.

Everybody sees the menus of his tenant's applications; an operator or the application itself changes one.

Source: appmsgsrv app/application.go; spec/appmsgsrv.md 4.4 (31). Difference: one query for both levels (P9).
"""

from functools import partial
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from appmodel.errors import BadInput, Conflict, LimitReached, NotFound
from appmodel.io.database import Database
from appmodel.orm.applications import Application
from appmodel.orm.applications import Operation as Model
from appmodel.orm.base import DISABLED
from web.core.applications import (
    MAX_OPERATIONS,
    NewOperation,
    Operation,
    OperationChange,
    columns_of,
)
from web.core.principals import Principal, tenant_for
from web.services.applications import require_owner


class Menus:
    """The use cases. `tenant`: what the caller names, None = nothing; see `tenant_for`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of_application(
        self, caller: Principal, app_id: str, tenant: str | None
    ) -> list[Operation]:
        """All entries, sorted; those below others, too. Nothing, if there is no such application."""
        tenant_id = tenant_for(caller, tenant)
        return await self._database.read(partial(_entries, app_id, tenant_id))

    async def add(
        self, caller: Principal, app_id: str, wanted: NewOperation, tenant: str | None
    ) -> Operation:
        """A new entry.

        Raises:
            NotFound: the tenant has no such application.
            Forbidden: it is not the caller's.
            BadInput: a field; or the entry above is not at the top of this menu.
            Conflict: the id is taken.
            LimitReached: the menu is full.
        """
        require_owner(caller, app_id)
        wanted.check()
        tenant_id = tenant_for(caller, tenant)
        try:
            return await self._database.write(partial(_add, app_id, tenant_id, columns_of(wanted)))
        except IntegrityError:
            raise Conflict(f"id: {wanted.id!r} is taken") from None

    async def change(
        self,
        caller: Principal,
        app_id: str,
        entry_id: str,
        wanted: OperationChange,
        tenant: str | None,
    ) -> Operation:
        """Change some fields of an entry. Raises as `add`."""
        require_owner(caller, app_id)
        wanted.check()
        tenant_id = tenant_for(caller, tenant)
        return await self._database.write(
            partial(_change, app_id, tenant_id, entry_id, columns_of(wanted))
        )

    async def remove(
        self, caller: Principal, app_id: str, entry_id: str, tenant: str | None
    ) -> None:
        """Remove an entry, and what is below it. Raises as `add`."""
        require_owner(caller, app_id)
        tenant_id = tenant_for(caller, tenant)
        await self._database.write(partial(_remove, app_id, tenant_id, entry_id))


def _entries(app_id: str, tenant_id: str, session: Session) -> list[Operation]:
    asked = (
        sa.select(Model)
        .join(Application, Application.id == Model.app_id)
        .where(Model.app_id == app_id, Application.tenant_id == tenant_id)
        .where(Application.status != DISABLED)
        .order_by(Model.sort, Model.id)
    )
    rows = session.scalars(asked.limit(MAX_OPERATIONS))
    return sorted((_shown(row) for row in rows), key=lambda each: each.parent_id is not None)


def _add(app_id: str, tenant_id: str, columns: dict[str, Any], session: Session) -> Operation:
    _lock(session, app_id, tenant_id)
    parent = columns["parent_id"]
    if parent is not None:
        above = session.get(Model, parent)
        if above is None or above.app_id != app_id or above.parent_id:
            raise BadInput("parent_id", parent, "an entry at the top of this menu")
    count = sa.select(sa.func.count()).select_from(Model).where(Model.app_id == app_id)
    if (session.scalar(count) or 0) >= MAX_OPERATIONS:
        raise LimitReached(f"application {app_id!r}: a menu has at most {MAX_OPERATIONS} entries")
    row = Model(app_id=app_id, **columns)
    session.add(row)
    session.flush()
    return _shown(row)


def _change(
    app_id: str, tenant_id: str, entry_id: str, columns: dict[str, Any], session: Session
) -> Operation:
    row = _found(session, app_id, tenant_id, entry_id)
    for name, value in columns.items():
        setattr(row, name, value)
    return _shown(row)


def _remove(app_id: str, tenant_id: str, entry_id: str, session: Session) -> None:
    row = _found(session, app_id, tenant_id, entry_id)
    session.execute(
        sa.delete(Model)
        .where(Model.app_id == app_id, Model.parent_id == entry_id)
        .execution_options(synchronize_session=False)
    )
    session.delete(row)


def _found(session: Session, app_id: str, tenant_id: str, entry_id: str) -> Model:
    _lock(session, app_id, tenant_id)
    asked = sa.select(Model).where(Model.id == entry_id, Model.app_id == app_id)
    row = session.scalars(asked).one_or_none()
    if row is None:
        raise NotFound(f"operation {entry_id!r}: there is none of that id")
    return row


def _lock(session: Session, app_id: str, tenant_id: str) -> None:
    """One change of a menu at a time: entries refer to one another."""
    asked = sa.select(Application.id).where(
        Application.id == app_id, Application.tenant_id == tenant_id
    )
    if session.scalar(asked.with_for_update()) is None:
        raise NotFound(f"application {app_id!r}: there is none of that id")


def _shown(row: Model) -> Operation:
    return Operation(
        id=row.id,
        content=row.content,
        action=row.action,
        operation_type=row.operation_type,
        sort=row.sort,
        parent_id=row.parent_id or None,  # adopted rows have either
    )
