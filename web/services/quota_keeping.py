"""Quotas: set, read, change, remove.

Operators set any. An application with permission QUOTA sets those of its tenant, never those of "*", which
other tenants share; every application reads what concerns its tenant. A limit begins with what was counted
in its period before.

Source: appmsgsrv app/quota.go; spec/appmsgsrv.md 4.5 (40) and 9. Difference: the original lets any
application set any customer's quotas (W9).
"""

from functools import partial

import sqlalchemy as sa
from msgspec import UNSET
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from appmodel.errors import BadInput, Conflict, Forbidden, NotFound
from appmodel.io.database import Database
from appmodel.orm.changes import note_change
from appmodel.orm.counting import Quota as Model
from appmodel.orm.organisations import Tenant
from appmodel.orm.pages import page
from web.core.paging import Paging, cut
from web.core.principals import AppCaller, Operator, Permission, Principal, UserCaller, tenant_for
from web.core.quota import EVERY_TENANT, UNLIMITED, check_quota, parse_count
from web.core.quota_keeping import NewQuota, Quota, QuotaChange
from web.services.quotas import quota_subject


class QuotaKeeping:
    """The use cases. `tenant`, `customer`: what the caller names, None = nothing."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, caller: Principal, wanted: NewQuota) -> Quota:
        """A new limit.

        Raises:
            BadInput: a field; or there is no such tenant.
            Forbidden: not the caller's to set.
            Conflict: there is one for the same already.
        """
        tenant_id = _tenant_to_set(caller, wanted.tenant_id)
        wanted.check()
        try:
            return await self._database.write(partial(_create, caller, tenant_id, wanted))
        except IntegrityError:
            raise Conflict(f"{wanted.type} {wanted.period}: tenant {tenant_id!r} has one") from None

    async def put(self, caller: AppCaller, wanted: NewQuota, customer_id: str) -> None:
        """Set a limit of the caller's tenant, whether there was one or not.

        Raises:
            BadInput: a field.
            Forbidden: not the caller's to set.
        """
        tenant_id = _tenant_to_set(caller, wanted.tenant_id)
        if customer_id != caller.customer_id:
            raise Forbidden(f"customerId: {customer_id!r} is not the application's customer")
        wanted.check()
        try:
            await self._database.write(partial(_put, caller, tenant_id, wanted))
        except IntegrityError:  # another call has created it meanwhile: now it is there
            await self._database.write(partial(_put, caller, tenant_id, wanted))

    async def get(self, caller: Principal, quota_id: str) -> Quota:
        """One that concerns the caller's tenant. Raises NotFound."""
        return await self._database.read(lambda s: _shown(_found(s, caller, quota_id)))

    async def page(
        self, caller: Principal, paging: Paging, tenant: str | None, customer: str | None
    ) -> tuple[list[Quota], str | None]:
        """Those that concern the caller's tenant, or of operators what they ask for; by tenant."""
        mine = _readable(caller)
        if tenant is not None:
            mine = sa.and_(mine, Model.tenant_id == tenant)
        if customer is not None:
            mine = sa.and_(mine, Model.customer_id == customer)

        def find(session: Session) -> list[Quota]:
            keys = [Model.tenant_id, Model.id]
            rows = session.scalars(
                page(sa.select(Model).where(mine), keys, paging.after, paging.limit)
            )
            return [_shown(row) for row in rows]

        return cut(await self._database.read(find), paging, lambda each: (each.tenant_id, each.id))

    async def change(self, caller: Principal, quota_id: str, wanted: QuotaChange) -> Quota:
        """Another value.

        Raises:
            NotFound: there is none of that id, for the caller.
            Forbidden: not the caller's to set.
            BadInput: the value.
        """
        wanted.check()
        return await self._database.write(partial(_change, caller, quota_id, wanted))

    async def delete(self, caller: Principal, quota_id: str) -> None:
        """Lift a limit. Raises as `change`."""
        await self._database.write(partial(_delete, caller, quota_id))


def _tenant_to_set(caller: Principal, asked: str | None) -> str:
    """Whose quotas a call sets."""
    caller.require(Permission.QUOTA)
    if isinstance(caller, Operator):
        if not asked:
            raise BadInput("tenant_id", asked, f'a tenant, or "{EVERY_TENANT}"')
        return tenant_for(caller, asked)
    if not caller.tenant_id:
        raise Forbidden("tenant: the credential is of none, and quotas are tenants'")
    return tenant_for(caller, asked)


def _readable(caller: Principal) -> sa.ColumnElement[bool]:
    if isinstance(caller, UserCaller):
        raise Forbidden("credential: users may not do this")
    tenant_id = tenant_for(caller, None)
    if isinstance(caller, Operator):
        return sa.true()
    shared = sa.and_(Model.tenant_id == EVERY_TENANT, Model.customer_id == caller.customer_id)
    own = Model.tenant_id == tenant_id
    return sa.or_(own, shared) if caller.customer_id else own


def _create(caller: Principal, tenant_id: str, wanted: NewQuota, session: Session) -> Quota:
    row = Model(
        customer_id=_customer(session, caller, tenant_id, wanted.customer_id),
        tenant_id=tenant_id,
        api_name=wanted.api_name,
        type=wanted.type,
        period=wanted.period,
        value=wanted.value,
        used=0,
        used_in="",
    )
    session.add(row)
    session.flush()
    note_change(session, quota_subject(row.customer_id))
    return _shown(row)


def _put(caller: AppCaller, tenant_id: str, wanted: NewQuota, session: Session) -> None:
    asked = sa.select(Model).where(
        Model.customer_id == caller.customer_id,
        Model.tenant_id == tenant_id,
        Model.api_name == wanted.api_name,
        Model.type == wanted.type,
        Model.period == wanted.period,
    )
    row = session.scalars(asked.with_for_update()).one_or_none()
    if row is None:
        _create(caller, tenant_id, wanted, session)
    else:
        _set_value(session, row, wanted.value)


def _customer(session: Session, caller: Principal, tenant_id: str, asked: str) -> str:
    """Whose a tenant is: rows are looked up by both."""
    if isinstance(caller, AppCaller):
        return caller.customer_id
    if tenant_id == EVERY_TENANT:
        if not asked:
            raise BadInput("customer_id", asked, 'whose tenants "*" stands for')
        return asked
    tenant = session.get(Tenant, tenant_id)
    if tenant is None:
        raise BadInput("tenant_id", tenant_id, "a tenant that there is")
    if asked not in ("", tenant.customer_id):
        raise BadInput("customer_id", asked, f"{tenant.customer_id!r}, the tenant's")
    return tenant.customer_id


def _change(caller: Principal, quota_id: str, wanted: QuotaChange, session: Session) -> Quota:
    row = _found(session, caller, quota_id, lock=True)
    _tenant_to_set(caller, row.tenant_id)
    if wanted.value is not UNSET:
        check_quota(row.type, row.period, row.api_name, wanted.value)
        _set_value(session, row, wanted.value)
    return _shown(row)


def _set_value(session: Session, row: Model, value: str) -> None:
    if parse_count(row.value) in (None, UNLIMITED):  # nothing was taken from it then, only counted
        row.used_in = ""
    row.value = value
    note_change(session, quota_subject(row.customer_id))


def _delete(caller: Principal, quota_id: str, session: Session) -> None:
    row = _found(session, caller, quota_id)
    _tenant_to_set(caller, row.tenant_id)
    note_change(session, quota_subject(row.customer_id))
    session.delete(row)


def _found(session: Session, caller: Principal, quota_id: str, *, lock: bool = False) -> Model:
    asked = sa.select(Model).where(Model.id == quota_id, _readable(caller))
    row = session.scalars(asked.with_for_update() if lock else asked).one_or_none()
    if row is None:
        raise NotFound(f"quota {quota_id!r}: there is none of that id")
    return row


def _shown(row: Model) -> Quota:
    return Quota(
        id=row.id,
        customer_id=row.customer_id,
        tenant_id=row.tenant_id,
        api_name=row.api_name,
        type=row.type,
        period=row.period,
        value=row.value,
        used=row.used,
        used_in=row.used_in,
    )
