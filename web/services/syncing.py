"""A batch of users, departments and links, all or nothing: POST /v2/sync.

    look      what there is, and what the batch would change: enough for a dry run, and for most refusals
    hash      the passwords that are plain and not what is stored already
    log out   who goes, is disabled or gets another password; before, so that a call that is repeated finds him
    write     lock the tenant, look again, write: about 20 statements, however many rows there are

What it may do is what permission SYNC allows one by one. See web/core/sync.py and sync_plan.py.
"""

from collections.abc import Mapping
from functools import partial
from typing import Protocol

from msgspec import UNSET
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from appmodel.core.people import Person
from appmodel.errors import BadInput, Conflict
from appmodel.io.database import Database
from appmodel.orm import link_queries, sync_queries
from appmodel.orm import organisation_queries as departments
from appmodel.orm.changes import note_change
from appmodel.orm.people_queries import find_people
from appmodel.orm.tenant_queries import find_tenant
from appmodel.orm.user_changes import delete_users
from web.core.principals import Permission, Principal, tenant_for
from web.core.sync import (
    DEPARTMENTS,
    MAX_PLAIN,
    USERS,
    RowsRefused,
    SyncAnswer,
    SyncedUser,
    SyncRequest,
    row_error,
)
from web.core.sync_plan import Plan, Stock, make_plan
from web.services.departments import lock, no_tenant, note_departments
from web.services.passwords import Passwords, checked_password, is_password_hash


class Logins(Protocol):
    """Where users' logins end."""

    async def revoke_all(self, uid: str) -> None:
        """End all logins of a user."""


class Syncing:
    """The use case."""

    def __init__(self, database: Database, logins: Logins, passwords: Passwords) -> None:
        self._database = database
        self._logins = logins
        self._passwords = passwords

    async def sync(self, caller: Principal, batch: SyncRequest) -> SyncAnswer:
        """Make the tenant so. The same batch again changes nothing.

        Raises:
            RowsRefused: some rows are wrong; nothing was changed.
            BadInput: there is no such tenant.
            Conflict: another tenant has taken an id meanwhile.
            LimitReached: too many passwords wait to be hashed.
        """
        caller.require(Permission.SYNC)
        tenant_id = tenant_for(caller, batch.tenant_id)
        passwords = await self._passwords_of(batch, tenant_id)
        look = partial(_look, tenant_id=tenant_id, batch=batch, passwords=passwords)

        def look_first(session: Session) -> Plan:
            if find_tenant(session, tenant_id) is None:
                raise no_tenant(tenant_id)
            return look(session)

        plan = await self._database.read(look_first)
        if batch.dry_run:
            return plan.answer(dry_run=True)
        for uid in plan.logged_out:
            await self._logins.revoke_all(uid)

        def write(session: Session) -> Plan:
            lock(session, tenant_id)
            sync_queries.hold_people(session, tenant_id, _uids_of(batch))
            plan = look(session)
            _write(session, tenant_id, plan, passwords)
            return plan

        try:
            return (await self._database.write(write)).answer(dry_run=False)
        except IntegrityError:
            raise Conflict("id: one was taken meanwhile; nothing was changed") from None

    async def _passwords_of(self, batch: SyncRequest, tenant_id: str) -> dict[str, str]:
        """What is to be stored, by user; without those whose password is stored already."""
        given = [(at, row) for at, row in enumerate(batch.users) if row.password]
        if not given:
            return {}
        _check_passwords(given)
        uids = [row.id for _, row in given]
        stored = await self._database.read(
            lambda session: sync_queries.stored_passwords(session, tenant_id, uids)
        )
        found = {}
        for _, row in given:
            assert row.password is not UNSET
            if is_password_hash(row.password):
                if stored.get(row.id) != row.password:
                    found[row.id] = row.password
            elif not (await self._passwords.check(row.password, stored.get(row.id))).is_right:
                found[row.id] = await self._passwords.hash_delivered(row.password)
        return found


def _check_passwords(given: list[tuple[int, SyncedUser]]) -> None:
    errors = []
    plain = [(at, row) for at, row in given if not is_password_hash(row.password or "")]
    for at, row in plain[:MAX_PLAIN]:
        try:
            checked_password("password", row.password or "")
        except BadInput as error:
            errors.append(row_error(USERS, at, error))
    expected = f"an argon2id hash: {MAX_PLAIN} rows of a call may bring a plain one"
    too_many = BadInput("password", "********", expected)
    errors += [row_error(USERS, at, too_many) for at, _ in plain[MAX_PLAIN:]]
    if errors:
        raise RowsRefused(errors)


def _look(
    session: Session, tenant_id: str, batch: SyncRequest, passwords: Mapping[str, str]
) -> Plan:
    """What would change. Raises RowsRefused."""
    plan = make_plan(batch, _stock(session, tenant_id, batch), passwords.keys())
    if plan.errors:
        raise RowsRefused(plan.errors)
    return plan


def _stock(session: Session, tenant_id: str, batch: SyncRequest) -> Stock:
    department_ids = {link.department_id for link in (*batch.links, *batch.delete.links)}
    ids = {row.id for row in batch.departments} | {*batch.delete.departments}
    if ids:
        own = {row.id: row for row in departments.all_departments(session, [tenant_id])}
    else:
        own = departments.find_departments(session, tenant_id, department_ids)
    people = find_people(session, _uids_of(batch))
    links = link_queries.find_links(
        session, department_ids, {link.user_id for link in (*batch.links, *batch.delete.links)}
    )
    owners = departments.owners_of(session, ids)
    return Stock(
        tenant_id=tenant_id,
        people={uid: each for uid, each in people.items() if each.tenant_id == tenant_id},
        departments=own,
        links={which: sort for which, sort in links.items() if which[0] in own},
        foreign={(USERS, uid) for uid, each in people.items() if each.tenant_id != tenant_id}
        | {(DEPARTMENTS, one) for one, owner in owners.items() if owner != tenant_id},
        namesakes=_namesakes(session, tenant_id, batch),
    )


def _namesakes(session: Session, tenant_id: str, batch: SyncRequest) -> list[Person]:
    names = {row.name for row in batch.users if row.name}
    emails = {row.email for row in batch.users if row.email}
    if not names and not emails:
        return []
    return sync_queries.find_namesakes(session, tenant_id, names, emails)


def _uids_of(batch: SyncRequest) -> list[str]:
    named = {row.id for row in batch.users} | {link.user_id for link in batch.links}
    return sorted(named | {*batch.delete.users})


def _write(session: Session, tenant_id: str, plan: Plan, passwords: Mapping[str, str]) -> None:
    if plan.gone_people:
        delete_users(session, tenant_id, plan.gone_people)
    sync_queries.add_people(session, plan.new_people, passwords)
    sync_queries.change_people(session, plan.changed_people)
    new = {person.uid for person in plan.new_people}
    changed = {uid: stored for uid, stored in passwords.items() if uid not in new}
    sync_queries.change_passwords(session, changed)
    departments.delete_departments(session, tenant_id, sorted(plan.gone_departments))
    departments.add_departments(session, plan.new_departments)
    departments.put_departments(session, plan.changed_departments)
    link_queries.put_links(session, plan.links)
    link_queries.delete_these_links(session, plan.gone_links)
    _note(session, tenant_id, plan)


def _note(session: Session, tenant_id: str, plan: Plan) -> None:
    people = [*plan.new_people, *plan.changed_people]
    note_change(session, *(f"{person.uid}@user" for person in people))
    if plan.new_people:
        note_change(session, f"{tenant_id}@tenant")
    touched = [*plan.new_departments, *plan.changed_departments]
    ids = {row.id for row in touched} | {*plan.gone_departments}
    if ids:
        note_departments(session, tenant_id, ids)
    linked = {row.department_id for row in plan.links} | {one for one, _ in plan.gone_links}
    if linked:
        note_change(session, *(f"{one}@org" for one in sorted(linked)), f"orgs:{tenant_id}")
