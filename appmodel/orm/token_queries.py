"""Logins, kept and found: rows of table `user_token`, and the accounts that they open."""

from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from appmodel.core.people import Account, Login
from appmodel.orm.base import DISABLED
from appmodel.orm.organisations import Tenant
from appmodel.orm.people import User, UserToken

ACCOUNT = (
    User.id,
    User.name,
    User.nickname,
    User.role,
    User.tenant_id,
    User.status,
    Tenant.customer_id,
    Tenant.status,
)
LOGIN = (
    UserToken.digest,
    UserToken.user_id,
    UserToken.device_id,
    UserToken.device_type,
    UserToken.issued,
    UserToken.expires,
)


def find_logins(
    session: Session, digests: Collection[str]
) -> dict[str, tuple[Login, Account | None]]:
    """Those of `digests` that are known, expired ones too, with whom they open. One statement."""
    wanted = (
        sa.select(*LOGIN, *ACCOUNT)
        .outerjoin(User, User.id == UserToken.user_id)
        .outerjoin(Tenant, Tenant.id == User.tenant_id)
        .where(UserToken.digest.in_(digests))
    )
    found = (tuple(row) for row in session.execute(wanted))
    return {row[0]: (_login(row), _account(row[len(LOGIN) :])) for row in found}


def find_accounts(session: Session, uids: Collection[str]) -> dict[str, Account]:
    """Those of `uids` that exist. One statement."""
    wanted = (
        sa.select(*ACCOUNT).outerjoin(Tenant, Tenant.id == User.tenant_id).where(User.id.in_(uids))
    )
    accounts = (_account(tuple(row)) for row in session.execute(wanted))
    return {account.uid: account for account in accounts if account is not None}


def keep_login(session: Session, login: Login, *, most: int) -> None:
    """Keep a login, and of its user's the newest `most`."""
    session.add(
        UserToken(
            digest=login.digest,
            user_id=login.uid,
            device_id=login.device_id,
            device_type=login.device_type,
            issued=_time(login.issued),
            expires=_time(login.expires),
        )
    )
    session.flush()
    newest_first = (UserToken.issued.desc(), UserToken.digest)
    of_user = sa.select(UserToken.digest).where(UserToken.user_id == login.uid)
    forget_logins(session, session.scalars(of_user.order_by(*newest_first).offset(most)).all())


def extend_logins(session: Session, digests: Collection[str], expires: float) -> None:
    """Let them live until then. Those that are gone stay gone, and none becomes shorter."""
    until = _time(expires)
    mine = sa.and_(UserToken.digest.in_(digests), UserToken.expires < until)
    session.execute(sa.update(UserToken).where(mine).values(expires=until))


def forget_logins(session: Session, digests: Collection[str]) -> None:
    """Their tokens are good no more."""
    if digests:
        session.execute(sa.delete(UserToken).where(UserToken.digest.in_(digests)))


def forget_logins_of(session: Session, uids: Collection[str]) -> None:
    """All tokens of these users."""
    session.execute(sa.delete(UserToken).where(UserToken.user_id.in_(uids)))


def sweep_logins(session: Session, now: float, limit: int) -> int:
    """Drop up to `limit` that have expired; how many there were."""
    expired = sa.select(UserToken.digest).where(UserToken.expires < _time(now)).limit(limit)
    digests = session.scalars(expired).all()
    forget_logins(session, digests)
    return len(digests)


def _login(row: Sequence[Any]) -> Login:
    digest, uid, device_id, device_type, issued, expires = row[: len(LOGIN)]
    return Login(digest, uid, device_id, device_type, issued.timestamp(), expires.timestamp())


def _account(row: Iterable[Any]) -> Account | None:
    uid, login, nickname, role, tenant_id, status, customer_id, tenant_status = row
    if uid is None:
        return None
    is_enabled = status != DISABLED and tenant_status != DISABLED
    return Account(uid, login, nickname, role, tenant_id, customer_id or "", is_enabled)


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
