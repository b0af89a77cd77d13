"""Push credentials: what the notification gateways sign with, kept for each tenant.

Operators keep those of any tenant, an application with permission SYNC those of its own. What they are
for is checked when they come (web/gateways/credentials.py); afterwards nobody sees the content again.
A change is noted as "push_credential:<tenant>".
"""

from functools import partial

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from appmodel.errors import BadInput, Conflict, Forbidden, NotFound, TooLarge
from appmodel.io.database import Database
from appmodel.orm.applications import PushCredential as Model
from appmodel.orm.changes import note_change
from appmodel.orm.organisations import Tenant
from appmodel.orm.pages import page
from web.core.applications import LINES
from web.core.paging import Paging, cut
from web.core.principals import Permission, Principal, UserCaller, tenant_for
from web.core.push_credentials import MAX_CONTENT, NewPushCredential, PushCredential
from web.gateways.credentials import HIDDEN, parse_credential


class PushCredentials:
    """The use cases. `tenant`: what the caller names, None = nothing; see `tenant_for`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, caller: Principal, wanted: NewPushCredential) -> PushCredential:
        """Keep a new one.

        Raises:
            BadInput: a field, or the content is none of its kind; or there is no such tenant.
            Conflict: there is one for this tenant, provider, topic and environment.
        """
        _require_keeper(caller)
        wanted.check()
        if len(wanted.content) > MAX_CONTENT:
            raise TooLarge(f"content: over {MAX_CONTENT} characters")
        if not wanted.content.translate(LINES).isprintable():
            raise BadInput("content", HIDDEN, "a text of lines that can be printed")
        parse_credential(
            wanted.provider,
            wanted.kind,
            topic=wanted.topic,
            environment=wanted.environment,
            content=wanted.content,
        )
        tenant_id = tenant_for(caller, wanted.tenant_id)
        try:
            return await self._database.write(partial(_create, tenant_id, wanted))
        except IntegrityError:
            what = f"{wanted.provider} {wanted.topic!r} {wanted.environment}"
            raise Conflict(f"{what}: there is a credential for it; delete that first") from None

    async def page(
        self, caller: Principal, paging: Paging, tenant: str | None
    ) -> tuple[list[PushCredential], str | None]:
        """Some of the tenant, by id, without their content."""
        _require_keeper(caller)
        tenant_id = tenant_for(caller, tenant)

        def find(session: Session) -> list[PushCredential]:
            asked = sa.select(Model).where(Model.tenant_id == tenant_id)
            rows = session.scalars(page(asked, [Model.id], paging.after, paging.limit))
            return [_shown(row) for row in rows]

        return cut(await self._database.read(find), paging, lambda each: (each.id,))

    async def delete(self, caller: Principal, credential_id: str, tenant: str | None) -> None:
        """Notify no longer by it. Raises NotFound."""
        _require_keeper(caller)
        tenant_id = tenant_for(caller, tenant)
        await self._database.write(partial(_delete, tenant_id, credential_id))


def credential_subject(tenant_id: str) -> str:
    """What a change of a tenant's credentials is noted as."""
    return f"push_credential:{tenant_id}"


def _require_keeper(caller: Principal) -> None:
    if isinstance(caller, UserCaller):
        raise Forbidden("credential: users may not do this")
    caller.require(Permission.SYNC)


def _create(tenant_id: str, wanted: NewPushCredential, session: Session) -> PushCredential:
    if tenant_id and session.get(Tenant, tenant_id) is None:
        raise BadInput("tenant_id", tenant_id, "a tenant that there is")
    row = Model(
        tenant_id=tenant_id,
        provider=wanted.provider,
        kind=wanted.kind,
        topic=wanted.topic,
        environment=wanted.environment,
        content=wanted.content,
    )
    session.add(row)
    session.flush()
    note_change(session, credential_subject(tenant_id))
    return _shown(row)


def _delete(tenant_id: str, credential_id: str, session: Session) -> None:
    asked = sa.select(Model).where(Model.id == credential_id, Model.tenant_id == tenant_id)
    row = session.scalars(asked).one_or_none()
    if row is None:
        raise NotFound(f"push credential {credential_id!r}: there is none of that id")
    session.delete(row)
    note_change(session, credential_subject(tenant_id))


def _shown(row: Model) -> PushCredential:
    return PushCredential(
        id=row.id,
        tenant_id=row.tenant_id,
        provider=row.provider,
        kind=row.kind,
        topic=row.topic,
        environment=row.environment,
        created=row.created.timestamp() if row.created else 0.0,
    )
