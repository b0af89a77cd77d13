"""What a user keeps for himself: starred contacts, and whom he does not want to hear.

Both are his alone: whose they are is what his token says. Setting one twice is setting it once.

Source: appmsgsrv app/contact.go, app/shieldMsg.go; spec/appmsgsrv.md 4.4 (16, 34 to 36) and 8.9. Differences: what is
starred or muted is in the user's tenant (W8); groups and users can be muted too; there are no duplicates.
"""

from collections.abc import Callable
from typing import TypeVar

from msgspec import UNSET
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from appmodel.core.mutes import ShieldType
from appmodel.errors import LimitReached, NotFound
from appmodel.io.database import Database
from appmodel.orm import contact_queries as rows
from appmodel.orm.changes import note_change
from appmodel.orm.contacts import ShieldMsg, UserUser
from appmodel.orm.people_queries import find_person
from web.config import GroupsConfig
from web.core.fields import known_id
from web.core.groups import ContactChange, MuteChange
from web.core.paging import Paging
from web.core.principals import UserCaller

T = TypeVar("T")


class Contacts:
    """Starred users. Nothing caches them, so no change is noted."""

    def __init__(self, database: Database, limits: GroupsConfig) -> None:
        self._database = database
        self._limit = limits.contacts

    async def star(self, user: UserCaller, uid: str, wanted: ContactChange) -> rows.Contact:
        """Star somebody of the tenant, or change what is kept of him.

        Raises:
            BadInput: a text or number that does not fit.
            NotFound: no such user in the tenant.
            LimitReached: too many are starred.
        """
        wanted.check()
        contact_id = known_id("uid", uid)

        def keep(session: Session) -> rows.Contact:
            person = find_person(session, contact_id, user.tenant_id)
            if person is None:
                raise NotFound(f"uid: there is no user {contact_id!r}")
            row = rows.find_star(session, user.uid, contact_id)
            if row is None:
                if rows.count_stars(session, user.uid) >= self._limit:
                    raise LimitReached(f"contacts: {self._limit} are starred already")
                row = UserUser(from_user_id=user.uid, to_user_id=contact_id, remark_name="", sort=0)
                session.add(row)
            if wanted.remark is not UNSET:
                row.remark_name = wanted.remark
            if wanted.sort is not UNSET:
                row.sort = wanted.sort
            return rows.Contact(person, row.remark_name, row.sort)

        return await _once(self._database, keep)

    async def unstar(self, user: UserCaller, uid: str) -> None:
        """No contact any more, if he was one. Raises BadInput."""
        contact_id = known_id("uid", uid)
        await self._database.write(lambda s: rows.remove_star(s, user.uid, contact_id))

    async def page(self, user: UserCaller, paging: Paging) -> list[rows.Contact]:
        """A page of them, by `sort`, then by uid."""
        uid, tenant = user.uid, user.tenant_id
        return await self._database.read(
            lambda s: rows.stars_page(s, uid, tenant, paging.after, paging.limit)
        )


class Mutes:
    """What users do not want to hear; noted as "mute:<target id>"."""

    def __init__(self, database: Database, limits: GroupsConfig) -> None:
        self._database = database
        self._limit = limits.mutes

    async def mute(
        self, user: UserCaller, type_: ShieldType, target_id: str, wanted: MuteChange
    ) -> ShieldMsg:
        """Hear nothing of a user, application or group of the tenant, or change what is noted of it.

        Raises:
            BadInput: a text that does not fit.
            NotFound: no such target in the tenant.
            LimitReached: too many are muted.
        """
        wanted.check()
        target = known_id("target", target_id)

        def keep(session: Session) -> ShieldMsg:
            row = rows.find_mute(session, user.uid, type_, target)
            if row is None:
                if not rows.can_be_muted(session, type_, target, user.tenant_id):
                    raise NotFound(f"target: there is no {type_.name.lower()} {target!r}")
                if rows.count_mutes(session, user.uid) >= self._limit:
                    raise LimitReached(f"mutes: {self._limit} are set already")
                row = ShieldMsg(source_id=user.uid, target_id=target, type=int(type_), memo="")
                session.add(row)
            if wanted.memo is not UNSET:
                row.memo = wanted.memo
            note_change(session, f"mute:{target}")
            return row

        return await _once(self._database, keep)

    async def unmute(self, user: UserCaller, type_: ShieldType, target_id: str) -> None:
        """Hear it again, if it was muted. Raises BadInput."""
        target = known_id("target", target_id)

        def drop(session: Session) -> None:
            if rows.remove_mute(session, user.uid, type_, target):
                note_change(session, f"mute:{target}")

        await self._database.write(drop)

    async def is_muted(self, user: UserCaller, type_: ShieldType, target_id: str) -> bool:
        """Whether it is. Raises BadInput."""
        target = known_id("target", target_id)
        found = await self._database.read(lambda s: rows.find_mute(s, user.uid, type_, target))
        return found is not None

    async def page(self, user: UserCaller, paging: Paging) -> list[ShieldMsg]:
        """A page of them, by type and id."""
        return await self._database.read(
            lambda s: rows.mutes_page(s, user.uid, paging.after, paging.limit)
        )


async def _once(database: Database, keep: Callable[[Session], T]) -> T:
    """`keep` looks before it adds; if another call was first all the same, its row is there now."""
    try:
        return await database.write(keep)
    except IntegrityError:
        return await database.write(keep)
