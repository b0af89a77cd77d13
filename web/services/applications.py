"""Applications: proving them by their tokens, and keeping them.

Everybody sees the applications of his tenant. Operators create and delete them, and say what they may do; an
application may change what users see of it, and replace its own token. A token is shown once: what is kept
is its digest (appmodel/core/application_tokens.py). What is noted for caches: "a1@app" and "token:<digest>".

Source: appmsgsrv app/application.go; spec/appmsgsrv.md 3.2. Differences: an application acts for its own
tenant only, as far as its permissions go; `status` counts, its own and its tenant's (W9).
"""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import sqlalchemy as sa
import structlog
from msgspec import UNSET
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from appmodel.core.application_tokens import MAX_LENGTH, digest_of, new_token
from appmodel.core.names import Key
from appmodel.core.people import DISABLED, ENABLED
from appmodel.errors import BadInput, Conflict, Forbidden, NotFound, PushError, Unauthorized
from appmodel.io.caching import Cache, Changes
from appmodel.io.database import Database
from appmodel.orm.application_queries import ApplicationRow, applications_by_digest, token_subject
from appmodel.orm.applications import Application as Model
from appmodel.orm.applications import Operation
from appmodel.orm.changes import note_change
from appmodel.orm.organisations import Tenant
from appmodel.orm.pages import page
from web.core.applications import (
    Application,
    ApplicationChange,
    NewApplication,
    NewToken,
    columns_of,
)
from web.core.paging import Paging, cut
from web.core.permissions import permissions_of, permissions_text
from web.core.principals import AppCaller, Operator, Principal, UserCaller, tenant_for
from web.services.tickets import Tickets

MOST_SHOWN = 1000  # applications of a tenant, in a list that has no pages

Revoke = Callable[[str, str], Awaitable[None]]
"""Tells all nodes that the token of an application is void: its id, and the digest."""


def revoke_by(tickets: Tickets) -> Revoke:
    """By the ledger: the token itself, and the tickets of the application's key that it bought."""

    async def revoke(app_id: str, digest: str) -> None:
        await tickets.revoke_credential(digest)
        await tickets.revoke_key(Key("", app_id, "app"))

    return revoke


log = structlog.get_logger(__name__)


class ApplicationTokens:
    """Whose a token is: one query for all that is new, none for what is known."""

    def __init__(self, database: Database, changes: Changes) -> None:
        self._rows: Cache[str, ApplicationRow] = Cache(
            database, changes, load=applications_by_digest, subject_of=token_subject
        )

    async def application(self, token: str) -> AppCaller:
        """The owner of a token. See `Authenticating.application`.

        Raises:
            Unauthorized: unknown, or the application or its tenant is disabled.
            Unavailable: the database is away.
        """
        row = await self._rows.get(digest_of(token)) if 0 < len(token) <= MAX_LENGTH else None
        if row is None or not row.enabled:
            raise Unauthorized("token: no application's, or of one that is disabled")
        permissions = permissions_of(row.permissions)
        return AppCaller(row.id, row.name, row.tenant_id, row.customer_id, permissions)


class Applications:
    """The use cases. `tenant`: what the caller names, None = nothing; see `tenant_for`."""

    def __init__(self, database: Database, revoke: Revoke) -> None:
        self._database, self._revoke = database, revoke

    async def create(self, caller: Principal, wanted: NewApplication) -> NewToken:
        """A new one, and its token. For operators.

        Raises:
            BadInput: a field; or there is no such tenant.
            Conflict: the id is taken.
        """
        _require_operator(caller, "create applications")
        wanted.check()
        token = new_token()
        tenant_id = tenant_for(caller, wanted.tenant_id)
        columns = columns_of(wanted) | {"tenant_id": tenant_id, "token_digest": digest_of(token)}
        columns["permissions"] = (
            "" if wanted.permissions is UNSET else permissions_text(wanted.permissions)
        )
        try:
            return NewToken(
                application=await self._database.write(partial(_create, columns)), token=token
            )
        except IntegrityError:
            raise Conflict(f"id: {wanted.id!r} is taken") from None

    async def get(self, caller: Principal, app_id: str, tenant: str | None) -> Application:
        """One of the tenant. Raises NotFound."""
        tenant_id = tenant_for(caller, tenant)
        return await self._database.read(lambda s: _shown(_found(s, app_id, tenant_id)))

    async def page(
        self, caller: Principal, paging: Paging, tenant: str | None
    ) -> tuple[list[Application], str | None]:
        """Some of the tenant, by id."""
        tenant_id = tenant_for(caller, tenant)

        def find(session: Session) -> list[Application]:
            asked = sa.select(Model).where(Model.tenant_id == tenant_id)
            rows = session.scalars(page(asked, [Model.id], paging.after, paging.limit))
            return [_shown(row) for row in rows]

        return cut(await self._database.read(find), paging, lambda each: (each.id,))

    async def everybody(self, caller: UserCaller) -> list[Application]:
        """All that users of a tenant can write to, sorted: not the disabled ones. The first MOST_SHOWN."""

        def find(session: Session) -> list[Application]:
            asked = sa.select(Model).where(
                Model.tenant_id == caller.tenant_id, Model.status != DISABLED
            )
            rows = session.scalars(
                asked.order_by(Model.sort, Model.name, Model.id).limit(MOST_SHOWN)
            )
            return [_shown(row) for row in rows]

        return await self._database.read(find)

    async def change(
        self, caller: Principal, app_id: str, wanted: ApplicationChange, tenant: str | None
    ) -> Application:
        """Change some fields.

        Raises:
            NotFound: the tenant has no such application.
            Forbidden: it is not the caller's; or only operators may change that.
            BadInput: a field.
        """
        if wanted.is_of_rights:
            _require_operator(caller, "change permissions and disabled")
        require_owner(caller, app_id)
        wanted.check()
        tenant_id = tenant_for(caller, tenant)
        shown, digest = await self._database.write(partial(_change, app_id, tenant_id, wanted))
        if shown.disabled and digest:
            await self._void(app_id, digest)
        return shown

    async def rotate(self, caller: Principal, app_id: str, tenant: str | None) -> NewToken:
        """A new token instead of the one before, which is void from now on. Raises as `change`."""
        require_owner(caller, app_id)
        tenant_id, token = tenant_for(caller, tenant), new_token()
        shown, old = await self._database.write(
            partial(_rotate, app_id, tenant_id, digest_of(token))
        )
        if old:
            await self._void(app_id, old)
        return NewToken(application=shown, token=token)

    async def delete(self, caller: Principal, app_id: str, tenant: str | None) -> None:
        """Remove it and its menu; what it did stays counted. For operators. Raises NotFound."""
        _require_operator(caller, "delete applications")
        tenant_id = tenant_for(caller, tenant)
        old = await self._database.write(partial(_delete, app_id, tenant_id))
        if old:
            await self._void(app_id, old)

    async def _void(self, app_id: str, digest: str) -> None:
        """Comets hang up on who came with it. Who calls anew is refused, whether they heard of it or not."""
        try:
            await self._revoke(app_id, digest)
        except PushError as error:
            log.warning("revocation not told", error=str(error))


def _require_operator(caller: Principal, what: str) -> None:
    if not isinstance(caller, Operator):
        raise Forbidden(f"credential: only operators may {what}")


def require_owner(caller: Principal, app_id: str) -> None:
    """Raise Forbidden unless the caller may change an application: an operator, or itself."""
    if isinstance(caller, Operator) or (isinstance(caller, AppCaller) and caller.id == app_id):
        return
    raise Forbidden(f"credential: only operators and {app_id!r} itself may change it")


def _create(columns: dict[str, Any], session: Session) -> Application:
    tenant_id = columns["tenant_id"]
    if tenant_id and session.get(Tenant, tenant_id) is None:
        raise BadInput("tenant_id", tenant_id, "a tenant that there is")
    row = Model(**columns)
    session.add(row)
    session.flush()
    _note(session, row, row.token_digest)
    return _shown(row)


def _change(
    app_id: str, tenant_id: str, wanted: ApplicationChange, session: Session
) -> tuple[Application, str | None]:
    row = _found(session, app_id, tenant_id)
    columns = columns_of(wanted)
    if "permissions" in columns:
        columns["permissions"] = permissions_text(columns["permissions"])
    if "disabled" in columns:
        disabled = columns.pop("disabled")
        if disabled or row.status == DISABLED:
            columns["status"] = DISABLED if disabled else ENABLED
    for name, value in columns.items():
        setattr(row, name, value)
    _note(session, row, row.token_digest)
    return _shown(row), row.token_digest


def _rotate(
    app_id: str, tenant_id: str, digest: str, session: Session
) -> tuple[Application, str | None]:
    row = _found(session, app_id, tenant_id)
    old, row.token_digest, row.token = row.token_digest, digest, None
    _note(session, row, old, digest)
    return _shown(row), old


def _delete(app_id: str, tenant_id: str, session: Session) -> str | None:
    row = _found(session, app_id, tenant_id)
    digest = row.token_digest
    _note(session, row, digest)
    session.execute(sa.delete(Operation).where(Operation.app_id == app_id))
    session.delete(row)
    return digest


def _note(session: Session, row: Model, *digests: str | None) -> None:
    note_change(session, f"{row.id}@app", *(token_subject(one) for one in digests if one))


def _found(session: Session, app_id: str, tenant_id: str) -> Model:
    asked = sa.select(Model).where(Model.id == app_id, Model.tenant_id == tenant_id)
    row = session.scalars(asked).one_or_none()
    if row is None:
        raise NotFound(f"application {app_id!r}: there is none of that id")
    return row


def _shown(row: Model) -> Application:
    return Application(
        id=row.id,
        tenant_id=row.tenant_id,
        name=row.name,
        type=row.type,
        avatar=row.avatar,
        description=row.description,
        follow=row.follow,
        sort=row.sort,
        level=row.level,
        name_py=row.name_py,
        name_quanpin=row.name_quanpin,
        permissions=sorted(permissions_of(row.permissions)),
        disabled=row.status == DISABLED,
    )
