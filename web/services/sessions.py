"""Who is there, on which device, and in which state: read and set by those who may.

    a user                his own sessions
    an application        its tenant's users, with permission `sessions`
    an operator           everybody's

Sessions of others are not found rather than refused. Source: appmsgsrv app/session.go; spec/appmsgsrv.md 4.4 (29),
4.5 (42). Difference: there anybody sets anybody's state (W8), and any application reads everybody's sessions.
"""

from sqlalchemy.orm import Session as Rows

from appmodel.core.sessions import SessionState
from appmodel.errors import Forbidden, NotFound
from appmodel.io.database import Database
from appmodel.orm import session_queries as queries
from appmodel.orm.changes import note_here
from appmodel.orm.presence import Session
from web.core.fields import known_id, text_of
from web.core.paging import Paging, cut
from web.core.principals import Permission, Principal, UserCaller, tenant_for

MAX_SESSION = 255  # characters: session.id


class Sessions:
    """The sessions of all users."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(
        self, caller: Principal, uid: str, paging: Paging, asked: str | None = None
    ) -> tuple[list[Session], str | None]:
        """A page of the sessions of a user, by id, and where the next one begins.

        Args:
            asked: the tenant that an operator names.

        Raises:
            BadInput: `uid` is no id.
            Forbidden: the caller may not see them.
            Unavailable: the database is away.
        """
        wanted, tenant = known_id("user", uid), tenant_for(caller, asked)
        if _own(caller) not in {None, wanted}:
            raise Forbidden("user: users see their own sessions only")
        rows = await self._database.read(
            lambda session: queries.sessions_page(
                session, wanted, tenant, paging.after, paging.limit
            )
        )
        return cut(rows, paging, lambda row: (row.id,))

    async def set_state(
        self, caller: Principal, session_id: str, state: SessionState, asked: str | None = None
    ) -> Session:
        """The session, in its new state. Pushes of other web nodes hear of it within `staleness`.

        Raises:
            BadInput: `session_id` is no id.
            NotFound: no such session, or none of the caller's.
            Forbidden: the caller may set none.
            Unavailable: the database is away.
        """
        wanted = text_of("session", session_id, MAX_SESSION, least=1)
        tenant, user = tenant_for(caller, asked), _own(caller)

        def change(session: Rows) -> Session:
            row = queries.set_state(session, wanted, state, user=user, tenant=tenant)
            if row is None:
                raise NotFound(f"session: there is no session {wanted!r}")
            note_here(session, f"{wanted}@session")
            return row

        return await self._database.write(change)


def _own(caller: Principal) -> str | None:
    """The user whose sessions alone the caller may see and set; None = those of any user of the tenant."""
    if isinstance(caller, UserCaller):
        return caller.uid
    caller.require(Permission.SESSIONS)
    return None
