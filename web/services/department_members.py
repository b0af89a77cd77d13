"""Who is in which department, and whom a user has starred.

A user and a department are linked within one tenant only. Linking twice is linking once; what is gone may be
unlinked again. What is noted for caches: "d3@org" and "orgs:<tenant>".

Source: appmsgsrv app/org.go; spec/appmsgsrv.md 4.4 (19, 20) and 4.5 (45 to 48). Differences: a link to a user or a
department that there is not is refused; lists are sorted; nobody sees another tenant's (W9, W10).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from msgspec import UNSET
from sqlalchemy.orm import Session

from appmodel.core.departments import LinkRow
from appmodel.core.people import Person
from appmodel.errors import BadInput, NotFound
from appmodel.io.database import Database
from appmodel.orm import link_queries as links
from appmodel.orm import organisation_queries as queries
from appmodel.orm.base import DISABLED
from appmodel.orm.changes import note_change
from appmodel.orm.link_queries import MemberRow
from web.core.fields import known_id, number_of
from web.core.organisation import Department, DepartmentMember, LinkChange, NewLinks
from web.core.paging import Paging, cut
from web.core.principals import Permission, Principal, UserCaller, tenant_for
from web.services.departments import department_of, found

MAX_USERS = 1000  # of one call
MAX_STARRED = 1000  # contacts in one answer


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a phone shows of a user beside the tree."""

    department_id: str | None  # the first one he is in
    starred: list[Person]


class DepartmentMembers:
    """The use cases. `tenant`: what the caller names, None = nothing; see `tenant_for`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def everybody(self, caller: Principal, department_id: str) -> list[MemberRow]:
        """Who is in a department itself, by (sort, nickname, id). Nobody in one that there is not."""
        tenant_id = tenant_for(caller, None)
        return await self._database.read(
            lambda session: links.members_of(session, tenant_id, department_id)
        )

    async def page(
        self,
        caller: Principal,
        department_id: str,
        paging: Paging,
        tenant: str | None,
        *,
        deep: bool,
    ) -> tuple[list[DepartmentMember], str | None]:
        """Some of those in a department, by (sort, id); `deep`: or below it, each once, by id.

        Raises:
            NotFound: the tenant has no such department.
        """
        tenant_id = tenant_for(caller, tenant)

        def find(session: Session) -> Sequence[DepartmentMember]:
            row = found(session, tenant_id, department_id)
            if deep:
                people = links.page_of_people_below(
                    session, tenant_id, row.location, paging.after, paging.limit
                )
                return [_member_of(person) for person in people]
            rows = links.page_of_members(
                session, tenant_id, department_id, paging.after, paging.limit
            )
            return [_member_of(row.person, row.sort) for row in rows]

        rows = await self._database.read(find)
        return cut(rows, paging, lambda row: (row.id,) if deep else (row.sort or 0, row.id))

    async def departments_of(
        self, caller: Principal, uid: str, tenant: str | None
    ) -> list[Department]:
        """In which a user of the tenant is, his first one first. None for one that there is not."""
        tenant_id = tenant_for(caller, tenant)
        rows = await self._database.read(
            lambda session: links.departments_of(session, tenant_id, uid)
        )
        return [department_of(row) for row in rows]

    async def surroundings(self, caller: UserCaller) -> Surroundings:
        """What a phone shows of the caller beside the tree."""

        def find(session: Session) -> Surroundings:
            own = links.departments_of(session, caller.tenant_id, caller.uid)
            starred = links.starred_by(session, caller.tenant_id, caller.uid, MAX_STARRED)
            return Surroundings(own[0].id if own else None, starred)

        return await self._database.read(find)

    async def add(
        self, caller: Principal, department_id: str, wanted: NewLinks, tenant: str | None
    ) -> None:
        """Put users into a department. Who is in it already, gets the sort.

        Raises:
            NotFound: the tenant has no such department.
            BadInput: it has no such user, or too many are named.
        """
        caller.require(Permission.SYNC)
        tenant_id = tenant_for(caller, tenant)
        number_of("sort", wanted.sort)
        if not 0 < len(wanted.user_ids) <= MAX_USERS:
            raise BadInput("user_ids", len(wanted.user_ids), f"1 to {MAX_USERS} ids")
        for at, uid in enumerate(wanted.user_ids):
            known_id(f"user_ids[{at}]", uid)

        def add(session: Session) -> None:
            _hold(session, tenant_id, department_id)
            there = links.users_of(session, tenant_id, wanted.user_ids)
            for at, uid in enumerate(wanted.user_ids):
                if uid not in there:
                    raise BadInput(f"user_ids[{at}]", uid, "a user of the tenant")
            links.put_links(session, [LinkRow(department_id, uid, wanted.sort) for uid in there])
            _note(session, tenant_id, department_id)

        await self._database.write(add)

    async def link(self, caller: Principal, department_id: str, uid: str) -> None:
        """Put a user into a department, at the front; who is in it stays as he is.

        Raises:
            NotFound: the tenant has no such department, or user.
        """
        caller.require(Permission.SYNC)
        tenant_id = tenant_for(caller, None)

        def link(session: Session) -> None:
            _hold(session, tenant_id, department_id)
            if not links.users_of(session, tenant_id, [uid]):
                raise NotFound(f"user: there is no {uid!r}")
            if not links.find_links(session, [department_id], [uid]):
                links.put_links(session, [LinkRow(department_id, uid, 0)])
                _note(session, tenant_id, department_id)

        await self._database.write(link)

    async def sort(
        self,
        caller: Principal,
        department_id: str,
        uid: str,
        wanted: LinkChange,
        tenant: str | None,
    ) -> None:
        """Give a user another place in a department. Raises NotFound: he is not in it."""
        caller.require(Permission.SYNC)
        tenant_id = tenant_for(caller, tenant)
        number_of("sort", wanted.sort)

        def sort(session: Session) -> None:
            _hold(session, tenant_id, department_id)
            if not links.find_links(session, [department_id], [uid]):
                raise NotFound(f"member: {uid!r} is not in {department_id!r}")
            links.put_links(session, [LinkRow(department_id, uid, wanted.sort)])
            _note(session, tenant_id, department_id)

        await self._database.write(sort)

    async def remove(
        self, caller: Principal, department_id: str, uid: str, tenant: str | None
    ) -> None:
        """Take a user out of a department, if he is in it. Raises NotFound: there is no such department."""
        caller.require(Permission.SYNC)
        tenant_id = tenant_for(caller, tenant)

        def remove(session: Session) -> None:
            _hold(session, tenant_id, department_id)
            if links.delete_links(session, department_id, [uid]):
                _note(session, tenant_id, department_id)

        await self._database.write(remove)


def _hold(session: Session, tenant_id: str, department_id: str) -> None:
    """It stays until the transaction ends. Raises NotFound: the tenant has no such department."""
    if not queries.hold_department(session, tenant_id, department_id):
        raise NotFound(f"department: there is no {department_id!r}")


def _note(session: Session, tenant_id: str, department_id: str) -> None:
    note_change(session, f"{department_id}@org", f"orgs:{tenant_id}")


def _member_of(person: Person, sort: int | None = None) -> DepartmentMember:
    return DepartmentMember(
        id=person.uid,
        name=person.login,
        nickname=person.nickname,
        avatar=person.avatar,
        disabled=person.status == DISABLED,
        sort=UNSET if sort is None else sort,
    )
