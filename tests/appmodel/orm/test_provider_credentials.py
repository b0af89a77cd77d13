"""What tenants have stored for providers, on every database."""

from datetime import UTC, datetime, timedelta

from sqlalchemy.orm import Session

from appmodel.io.database import Database
from appmodel.orm.applications import PushCredential, Resource
from appmodel.orm.base import Base
from appmodel.orm.organisations import Tenant
from appmodel.orm.provider_credentials import (
    CertificatePaths,
    StoredCredential,
    certificate_paths,
    stored_credentials,
)

MORNING = datetime(2026, 7, 1, 8, tzinfo=UTC)


async def kept(database: Database, *rows: Base) -> None:
    """The database holds these."""

    def keep(session: Session) -> None:
        session.add_all(rows)

    await database.write(keep)


def credential(tenant: str, provider: str, content: str, environment: str) -> PushCredential:
    """Of an app."""
    return PushCredential(
        tenant_id=tenant,
        provider=provider,
        kind="p8",
        topic="com.shop.app",
        environment=environment,
        content=content,
    )


def resource(customer: str, kind: str, path: str, hours: int = 0) -> Resource:
    """A path, from that many hours after the morning on."""
    return Resource(
        customer_id=customer, type=kind, content=path, created=MORNING + timedelta(hours=hours)
    )


async def test_a_tenant_has_its_own_and_no_others(database: Database) -> None:
    """Production first, for one provider."""
    await kept(
        database,
        credential("t1", "apns", "a", "sandbox"),
        credential("t1", "apns", "b", "production"),
        credential("t1", "fcm", "c", "production"),
        credential("t2", "apns", "d", "production"),
    )

    found = await database.read(lambda session: stored_credentials(session, "t1", "apns"))

    assert found == [
        StoredCredential("p8", "com.shop.app", "production", "b"),
        StoredCredential("p8", "com.shop.app", "sandbox", "a"),
    ]


async def test_an_adopted_database_has_paths(database: Database) -> None:
    """Of the tenant's customer; of several the last counts, and both must be there."""
    await kept(
        database,
        Tenant(id="t1", code="t1", name="t1", customer_id="c1"),
        Tenant(id="t2", code="t2", name="t2", customer_id="c2"),
        Tenant(id="t3", code="t3", name="t3", customer_id=""),
        resource("c1", "0", "old.pem", 1),
        resource("c1", "0", "new.pem", 2),
        resource("c1", "1", "key.pem"),
        resource("c2", "0", "half.pem"),
        resource("", "0", "nobody.pem"),
        resource("", "1", "nobody.key"),
    )

    found = [
        await database.read(lambda session, tenant=tenant: certificate_paths(session, tenant))  # type: ignore[misc]  # mypy: a default in a lambda
        for tenant in ("t1", "t2", "t3", "t4")
    ]

    assert found == [CertificatePaths("new.pem", "key.pem"), None, None, None]
