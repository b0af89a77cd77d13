"""Tenants and customers: the questions and the changes, one statement each.

Synchronous, for `Database.read` and `Database.write`.
"""

from collections.abc import Sequence
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.orm import Session

from appmodel.orm.applications import Application
from appmodel.orm.groups import Qun
from appmodel.orm.organisations import Customer, Org, Tenant
from appmodel.orm.pages import page
from appmodel.orm.people import User


class TenantRow(NamedTuple):
    """A row of `tenant`."""

    id: str
    code: str
    name: str
    status: int  # DISABLED of base.py, or what an adopted database says
    customer_id: str  # "" = none


class CustomerRow(NamedTuple):
    """A row of `customer`."""

    id: str
    name: str


TENANT = (Tenant.id, Tenant.code, Tenant.name, Tenant.status, Tenant.customer_id)
"""Columns for a select, in the order of the fields of TenantRow."""

CONTENTS = {
    "users": User.tenant_id,
    "departments": Org.tenant_id,
    "groups": Qun.tenant_id,
    "applications": Application.tenant_id,
}
"""What a tenant may have."""


def find_tenant(session: Session, tenant_id: str, *, lock: bool = False) -> TenantRow | None:
    """One; `lock`: nobody else changes it, or its departments, until the transaction ends."""
    wanted = sa.select(*TENANT).where(Tenant.id == tenant_id)
    row = session.execute(wanted.with_for_update() if lock else wanted).one_or_none()
    return None if row is None else TenantRow(*row)


def page_of_tenants(
    session: Session, customer_id: str | None, after: Sequence[str | int] | None, limit: int
) -> list[TenantRow]:
    """By id, one more than `limit`; `customer_id`: only that one's, "" = of none."""
    wanted = sa.select(*TENANT)
    if customer_id is not None:
        wanted = wanted.where(Tenant.customer_id == customer_id)
    return [TenantRow(*row) for row in session.execute(page(wanted, [Tenant.id], after, limit))]


def add_tenant(session: Session, row: TenantRow) -> None:
    """An id that is taken is an IntegrityError."""
    session.add(Tenant(**row._asdict()))


def change_tenant(session: Session, row: TenantRow) -> None:
    """Make it so."""
    session.execute(sa.update(Tenant).where(Tenant.id == row.id).values(row._asdict()))


def contents_of(session: Session, tenant_id: str) -> list[str]:
    """What the tenant has: some of CONTENTS. One statement."""
    asked = [
        sa.select(sa.literal(name)).where(sa.exists().where(column == tenant_id))
        for name, column in CONTENTS.items()
    ]
    return list(session.scalars(sa.union_all(*asked)))


def delete_tenant(session: Session, tenant_id: str) -> None:
    """Only the row: it is empty."""
    session.execute(sa.delete(Tenant).where(Tenant.id == tenant_id))


def find_customer(session: Session, customer_id: str, *, lock: bool = False) -> CustomerRow | None:
    """One; `lock`: it stays until the transaction ends."""
    wanted = sa.select(Customer.id, Customer.name).where(Customer.id == customer_id)
    row = session.execute(wanted.with_for_update() if lock else wanted).one_or_none()
    return None if row is None else CustomerRow(*row)


def page_of_customers(
    session: Session, after: Sequence[str | int] | None, limit: int
) -> list[CustomerRow]:
    """By id, one more than `limit`."""
    wanted = page(sa.select(Customer.id, Customer.name), [Customer.id], after, limit)
    return [CustomerRow(*row) for row in session.execute(wanted)]


def add_customer(session: Session, row: CustomerRow) -> None:
    """An id that is taken is an IntegrityError."""
    session.add(Customer(**row._asdict()))


def rename_customer(session: Session, row: CustomerRow) -> None:
    """Give it the name."""
    session.execute(sa.update(Customer).where(Customer.id == row.id).values(name=row.name))


def has_tenants(session: Session, customer_id: str) -> bool:
    """Whether any tenant is this customer's."""
    wanted = sa.select(Tenant.id).where(Tenant.customer_id == customer_id).limit(1)
    return session.scalar(wanted) is not None


def delete_customer(session: Session, customer_id: str) -> None:
    """Only the row."""
    session.execute(sa.delete(Customer).where(Customer.id == customer_id))
