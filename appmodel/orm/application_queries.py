"""Questions about what proves an application. Synchronous, for `Database.read`; one query each."""

from collections.abc import Iterable
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.orm import Session

from appmodel.orm.applications import Application
from appmodel.orm.base import DISABLED
from appmodel.orm.changes import note_change
from appmodel.orm.organisations import Tenant


@dataclass(frozen=True, slots=True)
class ApplicationRow:
    """An application, and what it may do."""

    id: str
    name: str
    tenant_id: str
    customer_id: str  # of the tenant; "" = none
    permissions: str  # as the column has them
    digest: str | None  # of its token
    enabled: bool  # the application and its tenant are; a tenant that does not exist is


def applications_by_digest(session: Session, digests: Iterable[str]) -> dict[str, ApplicationRow]:
    """By the digests of their tokens. What is remembered of it is noted as `token_subject`."""
    found = _applications(session, Application.token_digest.in_(list(digests)))
    return {row.digest: row for row in found if row.digest is not None}


def _applications(session: Session, which: sa.ColumnElement[bool]) -> list[ApplicationRow]:
    asked = (
        sa.select(
            Application.id,
            Application.name,
            Application.tenant_id,
            Application.permissions,
            Application.token_digest,
            Application.status,
            Tenant.customer_id,
            Tenant.status,
        )
        .outerjoin(Tenant, Tenant.id == Application.tenant_id)
        .where(which)
    )
    return [
        ApplicationRow(
            app_id,
            name,
            tenant_id,
            customer_id or "",
            permissions,
            digest,
            DISABLED not in {status, tenant_status},
        )
        for (
            app_id,
            name,
            tenant_id,
            permissions,
            digest,
            status,
            customer_id,
            tenant_status,
        ) in session.execute(asked)
    ]


def token_subject(digest: str) -> str:
    """What a change of the application with this token is noted as."""
    return f"token:{digest}"


def note_applications(session: Session, tenant_id: str) -> None:
    """A tenant's applications are not what they were: its status or its customer has changed."""
    asked = sa.select(Application.id, Application.token_digest)
    for app_id, digest in session.execute(asked.where(Application.tenant_id == tenant_id)):
        note_change(session, f"{app_id}@app", *([token_subject(digest)] if digest else []))
