"""Sessions in the application REST.

    setSessionState   {"baseRequest","sessionId":"u1_iOS-d1","state":"inactive"}     active or inactive
    getSessions       {"baseRequest":{"uid":"u1",...}}       {"memberList":[{"id","type","userId","sate",...}]}

Source: appmsgsrv app/session.go; spec/appmsgsrv.md 4.4 (29), 4.5 (41, 42), 5. `sate` is its spelling. Difference:
a session that is not there, or not the caller's to set, is 65531 (there: success, whosever it is: W8).
"""

from typing import Any, Literal

from appmodel.core.sessions import SessionState
from appmodel.orm.presence import Session
from web.api.app_frame import Answer, AppFrame, BaseRequest, Body, Call
from web.core.paging import MAX_LIMIT, Paging
from web.core.principals import AppCaller, UserCaller
from web.core.times import rfc3339
from web.services.sessions import Sessions


class SetSessionState(Body):
    """29, 41"""

    state: Literal["active", "inactive"]
    session_id: str


class OfUser(BaseRequest, kw_only=True):
    """A baseRequest that says whose sessions are wanted."""

    uid: str


class GetSessions(Body, kw_only=True):
    """42"""

    base_request: OfUser


class AppSessions:
    """The handlers."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def add_to(self, frame: AppFrame) -> None:
        """Add the routes."""
        for whose in ("device", "app"):
            frame.either(f"/app/client/{whose}/setSessionState", SetSessionState, self.set_state)
        frame.application("/app/client/app/getSessions", GetSessions, self.list)

    async def set_state(self, call: Call[SetSessionState, UserCaller | AppCaller]) -> Answer:
        """29, 41"""
        body = call.body
        await self._sessions.set_state(call.caller, body.session_id, SessionState(body.state))
        return Answer()

    async def list(self, call: Call[GetSessions, AppCaller]) -> Answer:
        """42"""
        uid, paging = call.body.base_request.uid, Paging(MAX_LIMIT)
        sessions, _ = await self._sessions.page(call.caller, uid, paging)
        return Answer({"memberList": [_session(one) for one in sessions]})


def _session(row: Session) -> dict[str, Any]:
    return {
        "id": row.id,
        "type": row.type,
        "userId": row.user_id,
        "sate": row.state,
        "created": rfc3339(row.created),
        "updated": rfc3339(row.updated),
    }
