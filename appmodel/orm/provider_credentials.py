"""What a tenant has stored for a provider of notifications.

push_credential     one row per app, project or key; production before sandbox
resource            of an adopted database: paths of the APNs certificate and its key, per customer. They
                    count only for a tenant without a credential of its own; the last row wins
"""

from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.orm import Session

from appmodel.orm.applications import PushCredential, Resource
from appmodel.orm.organisations import Tenant

CERTIFICATE, KEY = "0", "1"  # types of `resource`


class StoredCredential(NamedTuple):
    """A row of push_credential. `content` is secret."""

    kind: str
    topic: str
    environment: str
    content: str


class CertificatePaths(NamedTuple):
    """PEM files on this machine."""

    certificate: str
    key: str


def stored_credentials(session: Session, tenant_id: str, provider: str) -> list[StoredCredential]:
    """Those of a tenant, always in the same order."""
    columns = (
        PushCredential.kind,
        PushCredential.topic,
        PushCredential.environment,
        PushCredential.content,
    )
    mine = sa.select(*columns).where(
        PushCredential.tenant_id == tenant_id, PushCredential.provider == provider
    )
    ordered = mine.order_by(PushCredential.environment, PushCredential.created, PushCredential.id)
    return [StoredCredential(*row) for row in session.execute(ordered)]


def certificate_paths(session: Session, tenant_id: str) -> CertificatePaths | None:
    """What an adopted database has for the tenant's customer; None unless both are there."""
    rows = session.execute(
        sa.select(Resource.type, Resource.content)
        .join(Tenant, Tenant.customer_id == Resource.customer_id)
        .where(Tenant.id == tenant_id, Tenant.customer_id != "")
        .where(Resource.type.in_((CERTIFICATE, KEY)))
        .order_by(Resource.created, Resource.id)
    )
    paths = {kind: content for kind, content in rows if content}
    if paths.keys() < {CERTIFICATE, KEY}:
        return None
    return CertificatePaths(paths[CERTIFICATE], paths[KEY])
