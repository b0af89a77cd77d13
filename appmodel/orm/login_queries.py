"""Who may be meant by a login, and what is kept of one."""

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.orm import Session

from appmodel.core.people import Account, Person
from appmodel.orm.base import DISABLED, now
from appmodel.orm.organisations import Tenant
from appmodel.orm.people import Client, User
from appmodel.orm.people_queries import PERSON, person_of
from appmodel.orm.upserts import upsert

MANY = 20  # users of one login name whose passwords are tried: adopted names need not be unique
CLIENTS = 50  # devices remembered of a user


@dataclass(frozen=True, slots=True)
class Candidate:
    """A user with that login name. The password is what is stored: a secret."""

    person: Person
    customer_id: str
    is_enabled: bool
    stored: str

    @property
    def account(self) -> Account:
        """Who that is to the system."""
        one = self.person
        return Account(
            one.uid,
            one.login,
            one.nickname,
            one.role,
            one.tenant_id,
            self.customer_id,
            self.is_enabled,
        )


def find_candidates(session: Session, login: str, tenant_id: str | None) -> list[Candidate]:
    """Whom a login name, or an e-mail address, may mean; `tenant_id` None = in any tenant."""
    meant: sa.ColumnElement[bool] = User.name == login
    if "@" in login:
        meant = sa.or_(meant, User.email == login)
    if tenant_id is not None:
        meant = sa.and_(meant, User.tenant_id == tenant_id)
    return _candidates(session, meant)


def find_candidate(session: Session, uid: str) -> list[Candidate]:
    """The user with this id: by it browsers log in."""
    return _candidates(session, User.id == uid)


def stored_password(session: Session, tenant_id: str, uid: str) -> str | None:
    """What is stored of the password of a user of the tenant; None = there is no such user."""
    mine = sa.select(User.password).where(User.id == uid, User.tenant_id == tenant_id)
    return session.scalar(mine)


def note_client(session: Session, uid: str, device_type: str, device_id: str) -> None:
    """A user came from this device; of more than `CLIENTS` those that came least recently go."""
    at = now()
    row = {"user_id": uid, "type": device_type, "device_id": device_id, "latest_login_time": at}
    keys = ["user_id", "type", "device_id"]
    upsert(session, Client, [row], keys=keys, update=["latest_login_time", "updated"])
    newest_first = (Client.latest_login_time.desc(), Client.id)
    mine = sa.select(Client.id).where(Client.user_id == uid).order_by(*newest_first)
    surplus = session.scalars(mine.offset(CLIENTS)).all()
    if surplus:
        session.execute(sa.delete(Client).where(Client.id.in_(surplus)))


def replace_password(session: Session, uid: str, stored: str, replacement: str) -> None:
    """Store another form of the same password, unless it has been changed meanwhile."""
    same = sa.and_(User.id == uid, User.password == stored)
    session.execute(sa.update(User).where(same).values(password=replacement))


def _candidates(session: Session, meant: sa.ColumnElement[bool]) -> list[Candidate]:
    wanted = (
        sa.select(*PERSON, Tenant.customer_id, Tenant.status.label("tenant_status"), User.password)
        .outerjoin(Tenant, Tenant.id == User.tenant_id)
        .where(meant)
        .order_by(User.id)
        .limit(MANY)
    )
    found = []
    for row in session.execute(wanted):
        person = person_of(row)
        is_enabled = person.status != DISABLED and row.tenant_status != DISABLED
        found.append(Candidate(person, row.customer_id or "", is_enabled, row.password))
    return found
