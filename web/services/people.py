"""Users: create, find, change, disable, delete; and their passwords.

Everybody sees the users of his tenant. Who keeps them has permission SYNC there (an application, an admin of the
tenant) or is an operator; a user may change some of himself. Who is disabled, deleted or gets another password
is logged out everywhere.

Source: appmsgsrv app/org.go; spec/appmsgsrv.md 4.4 (17, 21), 4.5 (38) and 10.3. Differences: another tenant's users are
not found; syncUser changes a user that is there (C5), and only of the application's own tenant (W9).
"""

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from msgspec import UNSET
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from appmodel.core.departments import LinkRow
from appmodel.core.people import DISABLED, ENABLED, Person
from appmodel.errors import BadInput, Conflict, NotFound
from appmodel.io.database import Database
from appmodel.io.user_tokens import UserTokens
from appmodel.orm import people_queries as queries
from appmodel.orm.base import new_id
from appmodel.orm.changes import note_change
from appmodel.orm.link_queries import put_links
from appmodel.orm.login_queries import stored_password
from appmodel.orm.organisation_queries import hold_department
from appmodel.orm.people import User as Model
from appmodel.orm.searching import ApplicationEntry, search_applications, search_people
from appmodel.orm.tenant_queries import find_tenant
from appmodel.orm.user_changes import delete_users, insert_user, name_is_taken, update_user
from web.core.fields import known_id, uid_of
from web.core.paging import Paging, cut
from web.core.principals import AppCaller, Permission, Principal, UserCaller, tenant_for
from web.core.users import DeliveredUser, NewUser, PasswordChange, User, UserChange
from web.services.accounts import Accounts
from web.services.passwords import Passwords, checked_password


class People:
    """The use cases. `tenant`: what the caller names, None = nothing; see `tenant_for`."""

    def __init__(
        self,
        database: Database,
        tokens: UserTokens,
        passwords: Passwords,
        accounts: Accounts,
        *,
        min_password: int,
    ) -> None:
        """`min_password`: characters of one that users choose."""
        self._database, self._tokens = database, tokens
        self._passwords, self._accounts = passwords, accounts
        self._min_password = min_password

    async def create(self, caller: Principal, wanted: NewUser) -> User:
        """A new one.

        Raises:
            BadInput: a field; or there is no such tenant.
            Conflict: the id is taken, or the name or e-mail address in the tenant.
        """
        caller.require(Permission.SYNC)
        wanted.check()
        tenant_id = tenant_for(caller, wanted.tenant_id)
        columns: dict[str, Any] = {
            name: getattr(wanted, name)
            for name in wanted.__struct_fields__
            if name not in {"id", "tenant_id", "password", "disabled"}
        }
        columns["id"] = uid = new_id() if wanted.id is UNSET else wanted.id
        columns["tenant_id"] = tenant_id
        columns["status"] = DISABLED if wanted.disabled else ENABLED
        if wanted.password:
            checked_password("password", wanted.password, least=self._min_password)
            columns["password"] = await self._passwords.hash(wanted.password)

        def create(session: Session) -> Person:
            if tenant_id and find_tenant(session, tenant_id) is None:
                raise BadInput("tenant_id", tenant_id, "a tenant that there is")
            _check_names(session, tenant_id, uid, wanted.name, wanted.email)
            insert_user(session, columns)
            return _found(session, tenant_id, uid)

        return user_of(await self._insert(uid, create))

    async def get(self, caller: Principal, uid: str, tenant: str | None) -> User:
        """One of the tenant. Raises NotFound."""
        tenant_id = tenant_for(caller, tenant)
        known_id("uid", uid)
        return user_of(await self._database.read(lambda session: _found(session, tenant_id, uid)))

    async def page(
        self, caller: Principal, paging: Paging, tenant: str | None, text: str
    ) -> tuple[list[User], str | None]:
        """Some of the tenant, by id; `text`: only whose nickname contains it."""
        tenant_id = tenant_for(caller, tenant)
        people = await self._database.read(
            lambda session: queries.page_of_people(
                session, tenant_id, text, paging.after, paging.limit
            )
        )
        rows, more = cut(people, paging, lambda person: (person.uid,))
        return [user_of(person) for person in rows], more

    async def member(self, caller: UserCaller, uid: str) -> tuple[Person, bool]:
        """One of the caller's tenant, and whether the caller starred him. Raises NotFound."""
        found = await self._database.read(
            lambda session: queries.find_member(session, uid, caller.tenant_id, caller.uid)
        )
        if found is None:
            raise _no_such(uid)
        return found

    async def search(
        self, caller: UserCaller, text: str, *, offset: int, limit: int
    ) -> tuple[list[Person], int]:
        """Users of the caller's tenant by a part of their nickname; and how many there are in all."""
        tenant_id = caller.tenant_id
        return await self._database.read(
            lambda session: search_people(session, tenant_id, text, offset=offset, limit=limit)
        )

    async def search_applications(
        self, caller: UserCaller, text: str, *, offset: int, limit: int
    ) -> tuple[list[ApplicationEntry], int]:
        """The same for applications, by their name."""
        tenant_id = caller.tenant_id
        return await self._database.read(
            lambda session: search_applications(
                session, tenant_id, text, offset=offset, limit=limit
            )
        )

    async def change(
        self, caller: Principal, uid: str, wanted: UserChange, tenant: str | None
    ) -> User:
        """Change one.

        Raises:
            Forbidden: the caller keeps no users, and it is another, or more than his own to change.
            NotFound: the tenant has no such user.
            BadInput: a field.
            Conflict: the name or e-mail address is another's in the tenant.
        """
        beyond = wanted.beyond_own()
        if beyond is not None or not _is(caller, uid):
            caller.require(Permission.SYNC)
        wanted.check()
        tenant_id = tenant_for(caller, tenant)
        known_id("uid", uid)
        columns = wanted.columns()
        disabled = columns.pop("disabled", None)
        if disabled is not None:
            enabled = sa.case((Model.status == DISABLED, ENABLED), else_=Model.status)
            columns["status"] = DISABLED if disabled else enabled

        name, email = columns.get("name", ""), columns.get("email", "")

        def change(session: Session) -> Person:
            if name or email:
                _check_names(session, tenant_id, uid, name, email)
            if not update_user(session, tenant_id, uid, columns):
                raise _no_such(uid)
            return _found(session, tenant_id, uid)

        person = await self._database.write(change)
        if disabled:
            await self._tokens.revoke_all(uid)
        return user_of(person)

    async def delete(self, caller: Principal, uid: str, tenant: str | None) -> None:
        """Delete one, with all that is his.

        Raises:
            NotFound: the tenant has no such user.
        """
        caller.require(Permission.SYNC)
        tenant_id = tenant_for(caller, tenant)
        known_id("uid", uid)
        await self._database.read(lambda session: _found(session, tenant_id, uid))
        await self._tokens.revoke_all(uid)  # first: a call that is repeated finds him still
        await self._database.write(lambda session: delete_users(session, tenant_id, [uid]))

    async def set_password(
        self, caller: Principal, uid: str, wanted: PasswordChange, tenant: str | None, origin: str
    ) -> None:
        """Give a user another password; all his logins end.

        Raises:
            LoginRefused: a user's old password is wrong.
            LimitReached: too many wrong tries from this `origin`, or of this user.
            Forbidden: somebody else, and the caller keeps no users.
            NotFound: the tenant has no such user.
        """
        if not _is(caller, uid):
            caller.require(Permission.SYNC)
        tenant_id = tenant_for(caller, tenant)
        known_id("uid", uid)
        checked_password("new_password", wanted.new_password, least=self._min_password)
        if _is(caller, uid):
            if wanted.old_password is UNSET:
                raise BadInput("old_password", None, "the password until now")
            await self._accounts.verify_password(uid, wanted.old_password, origin)
        await self._database.read(lambda session: _found(session, tenant_id, uid))
        stored = await self._passwords.hash(wanted.new_password)

        def change(session: Session) -> None:
            if not update_user(session, tenant_id, uid, {"password": stored}):
                raise _no_such(uid)

        await self._tokens.revoke_all(uid)  # first: if that fails, the old password is still good
        await self._database.write(change)
        await self._tokens.revoke_all(uid)  # and who came by it meanwhile

    async def end_logins(self, caller: Principal, uid: str, tenant: str | None) -> None:
        """Log a user out everywhere.

        Raises:
            Forbidden: somebody else, and the caller keeps no users.
            NotFound: the tenant has no such user.
        """
        if not _is(caller, uid):
            caller.require(Permission.SYNC)
        tenant_id = tenant_for(caller, tenant)
        known_id("uid", uid)
        await self._database.read(lambda session: _found(session, tenant_id, uid))
        await self._tokens.revoke_all(uid)

    async def put(self, caller: AppCaller, department_id: str, wanted: DeliveredUser) -> None:
        """Make the user as he is delivered: new, in the department if one is named; or changed.

        Raises:
            Forbidden: without permission SYNC; or he is said to be of another tenant.
            BadInput: a field; or there is no such department.
            Conflict: the id is another tenant's.
        """
        caller.require(Permission.SYNC)
        tenant_id = tenant_for(caller, wanted.tenant_id or None)
        uid, columns = uid_of("member.uid", wanted.uid), wanted.columns()
        if department_id:
            known_id("orgId", department_id)
        stored = await self._database.read(lambda session: stored_password(session, tenant_id, uid))
        is_new_password = False
        if wanted.password:
            checked_password("member.password", wanted.password)
            check = await self._passwords.check(wanted.password, stored)
            is_new_password = not check.is_right
            if is_new_password:
                columns["password"] = await self._passwords.hash_delivered(wanted.password)

        def put(session: Session) -> None:
            if update_user(session, tenant_id, uid, columns):
                return
            if department_id and not hold_department(session, tenant_id, department_id):
                raise BadInput("orgId", department_id, "a department of the tenant")
            insert_user(session, {**columns, "id": uid, "tenant_id": tenant_id})
            if department_id:
                put_links(session, [LinkRow(department_id, uid, 0)])
                note_change(session, f"{department_id}@org", f"orgs:{tenant_id}")

        ends_logins = stored is not None and (is_new_password or columns["status"] == DISABLED)
        if ends_logins:
            await self._tokens.revoke_all(
                uid
            )  # first: a call that is repeated sees the difference still
        try:
            await self._database.write(put)
        except IntegrityError:  # perhaps he was delivered twice at once: then he is there now
            await self._insert(uid, put)
        if ends_logins:
            await self._tokens.revoke_all(uid)  # and who came by the old one meanwhile

    async def _insert(self, uid: str, work: Callable[[Session], Any]) -> Any:
        try:
            return await self._database.write(work)
        except IntegrityError:
            raise Conflict(f"id: {uid!r} is taken") from None


def user_of(person: Person) -> User:
    """As /v2 shows him."""
    return User(
        id=person.uid,
        tenant_id=person.tenant_id,
        name=person.login,
        nickname=person.nickname,
        avatar=person.avatar,
        name_py=person.name_py,
        name_quanpin=person.name_quanpin,
        email=person.email,
        mobile=person.mobile,
        area=person.area,
        role=person.role,
        disabled=person.status == DISABLED,
    )


def _is(caller: Principal, uid: str) -> bool:
    return isinstance(caller, UserCaller) and caller.uid == uid


def _found(session: Session, tenant_id: str, uid: str) -> Person:
    person = queries.find_person(session, uid, tenant_id)
    if person is None:
        raise _no_such(uid)
    return person


def _no_such(uid: str) -> NotFound:
    return NotFound(f"user: there is no {uid!r}, or not for this caller")


def _check_names(session: Session, tenant_id: str, uid: str, name: str, email: str) -> None:
    """One at a time in each tenant, so that two who ask at once do not both get a name."""
    if tenant_id:
        find_tenant(session, tenant_id, lock=True)
    taken = name_is_taken(session, tenant_id, uid, name, email)
    if taken is not None:
        value = name if taken == "name" else email
        raise Conflict(f"{taken}: {value!r} is another user's")
