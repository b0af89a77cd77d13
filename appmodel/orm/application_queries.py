"""Questions about what proves an application. Synchronous, for `Database.read`; one query each."""

from collections.abc import Iterable
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.orm import Session

from appmodel.orm.applications import Application
from appmodel.orm.base import DISABLED
from appmodel.orm.organisations import Tenant


@dataclass(frozen=True, slots=True)
class ApplicationRow:
    """An application, and what it may do."""

    id: str
    name: str
    tenant_id: str
    permissions: str  # as the column has them
    digest: str | None  # of its token
    is_enabled: bool  # the application alone
    tenant_enabled: bool  # when this was read; a tenant that does not exist is

    @property
    def enabled(self) -> bool:
        """Whether it may call: the application and its tenant are enabled."""
        return self.is_enabled and self.tenant_enabled


def applications_by_digest(session: Session, digests: Iterable[str]) -> dict[str, ApplicationRow]:
    """By the digests of their tokens."""
    found = _applications(session, Application.token_digest.in_(list(digests)))
    return {row.digest: row for row in found if row.digest is not None}


def applications_by_id(session: Session, ids: Iterable[str]) -> dict[str, ApplicationRow]:
    """By their ids."""
    return {row.id: row for row in _applications(session, Application.id.in_(list(ids)))}


def _applications(session: Session, which: sa.ColumnElement[bool]) -> list[ApplicationRow]:
    asked = (
        sa.select(
            Application.id,
            Application.name,
            Application.tenant_id,
            Application.permissions,
            Application.token_digest,
            Application.status,
            Tenant.status,
        )
        .outerjoin(Tenant, Tenant.id == Application.tenant_id)
        .where(which)
    )
    return [
        ApplicationRow(*facts, status != DISABLED, tenant_status != DISABLED)
        for *facts, status, tenant_status in session.execute(asked)
    ]


@dataclass(frozen=True, slots=True)
class TenantRow:
    """What callers' rights depend on."""

    id: str
    customer_id: str  # "" = none
    is_enabled: bool


def tenants_by_id(session: Session, ids: Iterable[str]) -> dict[str, TenantRow]:
    """By their ids."""
    asked = sa.select(Tenant.id, Tenant.customer_id, Tenant.status).where(Tenant.id.in_(list(ids)))
    return {
        tenant_id: TenantRow(tenant_id, customer_id, status != DISABLED)
        for tenant_id, customer_id, status in session.execute(asked)
    }
