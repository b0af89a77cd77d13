"""Tenants and their customers. They are the operator's to make; a tenant's own application may rename it.

Everybody sees his own tenant. Only an empty tenant can be deleted, and only a customer without tenants. What
is noted for caches: "t1@tenant", "tree:t1" (the tree shows the name), and the tenant's applications, whose
rights hang on it.

Source: appmsgsrv app/tenant.go; spec/appmsgsrv.md 4.5 (39). Differences: there any application makes, renames and
disables any tenant, and gives it to any customer (W9); here its own one only, and only name and code.
"""

from collections.abc import Callable
from typing import TypeVar

import msgspec
from msgspec import UNSET
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from appmodel.core.people import DISABLED, ENABLED
from appmodel.errors import BadInput, Conflict, Forbidden, NotFound
from appmodel.io.database import Database
from appmodel.orm import tenant_queries as queries
from appmodel.orm.application_queries import note_applications
from appmodel.orm.base import new_id
from appmodel.orm.changes import note_change
from appmodel.orm.tenant_queries import CustomerRow, TenantRow
from web.core.organisation import (
    Customer,
    CustomerChange,
    NewCustomer,
    NewTenant,
    Tenant,
    TenantChange,
)
from web.core.paging import Paging, cut
from web.core.principals import AppCaller, Operator, Permission, Principal
from web.services.departments import tree_subject

RowT = TypeVar("RowT", TenantRow, CustomerRow)


class Tenants:
    """The use cases."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, _: Operator, wanted: NewTenant) -> Tenant:
        """A new one.

        Raises:
            BadInput: a field; or there is no such customer.
            Conflict: the id is taken.
        """
        wanted.check()
        row = TenantRow(
            id=new_id() if wanted.id is UNSET else wanted.id,
            code=wanted.code,
            name=wanted.name,
            status=DISABLED if wanted.disabled else ENABLED,
            customer_id=wanted.customer_id,
        )

        def create(session: Session) -> TenantRow:
            _check_customer(session, row.customer_id)
            queries.add_tenant(session, row)
            _note(session, row.id)
            return row

        return tenant_of(await _written(self._database, create, row.id))

    async def get(self, caller: Principal, tenant_id: str) -> Tenant:
        """One. Raises NotFound; another one than the caller's is not there."""
        _check_own(caller, tenant_id)
        row = await self._database.read(lambda session: queries.find_tenant(session, tenant_id))
        return tenant_of(_there(row, "tenant", tenant_id))

    async def page(
        self, _: Operator, paging: Paging, customer_id: str | None
    ) -> tuple[list[Tenant], str | None]:
        """Some of all, by id; `customer_id`: only that one's, "" = of none."""
        rows = await self._database.read(
            lambda session: queries.page_of_tenants(
                session, customer_id, paging.after, paging.limit
            )
        )
        items, more = cut(rows, paging, lambda row: (row.id,))
        return [tenant_of(row) for row in items], more

    async def change(self, caller: Principal, tenant_id: str, wanted: TenantChange) -> Tenant:
        """Change one.

        Raises:
            NotFound: there is none, or it is not the caller's.
            Forbidden: only an operator changes the customer, or disables.
            BadInput: a field; or there is no such customer.
        """
        caller.require(Permission.SYNC)
        wanted.check()
        _check_own(caller, tenant_id)
        given = {k: v for k, v in msgspec.structs.asdict(wanted).items() if v is not UNSET}
        disabled = given.pop("disabled", None)

        def change(session: Session) -> TenantRow:
            old = _there(queries.find_tenant(session, tenant_id, lock=True), "tenant", tenant_id)
            row = old._replace(**given)
            if disabled is not None and disabled != (old.status == DISABLED):
                row = row._replace(status=DISABLED if disabled else ENABLED)
            return _replace(session, caller, old, row)

        return tenant_of(await self._database.write(change))

    async def put(self, caller: AppCaller, row: TenantRow) -> Tenant:
        """Make the application's own tenant so, as far as it may. Raises as `change`."""
        caller.require(Permission.SYNC)
        _check_own(caller, row.id)

        def put(session: Session) -> TenantRow:
            old = _there(queries.find_tenant(session, row.id, lock=True), "tenant", row.id)
            return _replace(session, caller, old, row)

        return tenant_of(await self._database.write(put))

    async def delete(self, _: Operator, tenant_id: str) -> None:
        """Delete an empty one.

        Raises:
            NotFound: there is none.
            Conflict: it has users, departments, groups or applications.
        """

        def delete(session: Session) -> None:
            _there(queries.find_tenant(session, tenant_id, lock=True), "tenant", tenant_id)
            contents = queries.contents_of(session, tenant_id)
            if contents:
                raise Conflict(f"tenant: {tenant_id!r} has {', '.join(contents)}")
            queries.delete_tenant(session, tenant_id)
            _note(session, tenant_id)

        await self._database.write(delete)


class Customers:
    """The use cases of those who pay. All are the operator's."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, _: Operator, wanted: NewCustomer) -> Customer:
        """A new one. Raises BadInput, or Conflict: the id is taken."""
        wanted.check()
        row = CustomerRow(new_id() if wanted.id is UNSET else wanted.id, wanted.name)

        def create(session: Session) -> CustomerRow:
            queries.add_customer(session, row)
            return row

        return _customer_of(await _written(self._database, create, row.id))

    async def get(self, _: Operator, customer_id: str) -> Customer:
        """One. Raises NotFound."""
        row = await self._database.read(lambda session: queries.find_customer(session, customer_id))
        return _customer_of(_there(row, "customer", customer_id))

    async def page(self, _: Operator, paging: Paging) -> tuple[list[Customer], str | None]:
        """Some of all, by id."""
        rows = await self._database.read(
            lambda session: queries.page_of_customers(session, paging.after, paging.limit)
        )
        items, more = cut(rows, paging, lambda row: (row.id,))
        return [_customer_of(row) for row in items], more

    async def change(self, _: Operator, customer_id: str, wanted: CustomerChange) -> Customer:
        """Rename one. Raises BadInput, NotFound."""
        wanted.check()
        row = CustomerRow(customer_id, wanted.name)

        def change(session: Session) -> CustomerRow:
            _there(queries.find_customer(session, customer_id, lock=True), "customer", customer_id)
            queries.rename_customer(session, row)
            return row

        return _customer_of(await self._database.write(change))

    async def delete(self, _: Operator, customer_id: str) -> None:
        """Delete one without tenants. Raises NotFound, Conflict."""

        def delete(session: Session) -> None:
            _there(queries.find_customer(session, customer_id, lock=True), "customer", customer_id)
            if queries.has_tenants(session, customer_id):
                raise Conflict(f"customer: {customer_id!r} has tenants")
            queries.delete_customer(session, customer_id)

        await self._database.write(delete)


def tenant_of(row: TenantRow) -> Tenant:
    """As /v2 shows it."""
    return Tenant(
        id=row.id,
        code=row.code,
        name=row.name,
        customer_id=row.customer_id,
        disabled=row.status == DISABLED,
    )


def _replace(session: Session, caller: Principal, old: TenantRow, row: TenantRow) -> TenantRow:
    rights = (old.customer_id, old.status == DISABLED)
    changes_rights = rights != (row.customer_id, row.status == DISABLED)
    if changes_rights and not isinstance(caller, Operator):
        raise Forbidden("tenant: its customer, and whether it is disabled, are the operator's")
    if row.customer_id != old.customer_id:
        _check_customer(session, row.customer_id)
    if row != old:
        queries.change_tenant(session, row)
        _note(session, row.id)
    return row


def _note(session: Session, tenant_id: str) -> None:
    note_change(session, f"{tenant_id}@tenant", tree_subject(tenant_id))
    note_applications(session, tenant_id)


def _check_own(caller: Principal, tenant_id: str) -> None:
    if not isinstance(caller, Operator) and caller.tenant_id != tenant_id:
        raise NotFound(f"tenant: there is no {tenant_id!r}")


def _check_customer(session: Session, customer_id: str) -> None:
    if customer_id and queries.find_customer(session, customer_id, lock=True) is None:
        raise BadInput("customer_id", customer_id, "the id of a customer")


def _there(row: RowT | None, kind: str, own_id: str) -> RowT:
    if row is None:
        raise NotFound(f"{kind}: there is no {own_id!r}")
    return row


def _customer_of(row: CustomerRow) -> Customer:
    return Customer(id=row.id, name=row.name)


async def _written(database: Database, work: Callable[[Session], RowT], own_id: str) -> RowT:
    try:
        return await database.write(work)
    except IntegrityError:
        raise Conflict(f"id: {own_id!r} is taken") from None
