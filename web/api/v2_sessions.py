"""Sessions of /v2: who is there, on which device, and in which state.

    GET   /v2/sessions?user=u1                            {"items":[{"id","user_id","type","state",...}],"next":null}
    PATCH /v2/sessions/u1_iOS-d1   {"state":"active"}     {"id",...}

A session is there as long as it holds a connection.
"""

import msgspec
from quart import Response as QuartResponse

from appmodel.core.sessions import SessionState
from appmodel.orm.presence import Session
from web.api import openapi_sessions as described
from web.api.v2_frame import Rule, body, headers, json_answer, query, tenant_of
from web.core.decoding import decode
from web.core.paging import PARAMETERS, paging_of
from web.core.user_sessions import UserSession, UserSessionChange, UserSessionsAnswer
from web.services.callers import Callers
from web.services.sessions import Sessions

_CHANGE = msgspec.json.Decoder(UserSessionChange)


class SessionsPart:
    """The handlers."""

    structs = (UserSession, UserSessionsAnswer, UserSessionChange)

    def __init__(self, callers: Callers, sessions: Sessions) -> None:
        self._callers, self._sessions = callers, sessions
        one = "/v2/sessions/<path:session_id>"
        self.rules = (
            Rule("GET", "/v2/sessions", self.list_sessions, described.list_sessions()),
            Rule("PATCH", one, self.change_session, described.change_session()),
        )

    async def list_sessions(self) -> QuartResponse:
        """A page of a user's."""
        caller = await self._callers.principal(headers(), "admin")
        asked = query("user", "tenant", *PARAMETERS)
        uid, paging = asked.get("user", ""), paging_of(asked, str)
        rows, after = await self._sessions.page(caller, uid, paging, tenant_of(asked))
        return json_answer(UserSessionsAnswer([_shown(row) for row in rows], after))

    async def change_session(self, session_id: str) -> QuartResponse:
        """Say whether somebody looks at it."""
        caller = await self._callers.principal(headers(), "admin")
        asked, state = query("tenant"), SessionState(decode(_CHANGE, await body()).state)
        row = await self._sessions.set_state(caller, session_id, state, tenant_of(asked))
        return json_answer(_shown(row))


def _shown(row: Session) -> UserSession:
    return UserSession(
        id=row.id,
        user_id=row.user_id,
        type=row.type,
        state=SessionState(row.state),
        created_at=None if row.created is None else row.created.timestamp(),
        updated_at=None if row.updated is None else row.updated.timestamp(),
    )
