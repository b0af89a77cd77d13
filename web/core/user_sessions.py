"""Sessions, as /v2 shows and takes them."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from appmodel.core.sessions import SessionState
from web.core.paging import Next

Instant = Annotated[float | None, Meta(description="Unix seconds; null: not known")]


class UserSession(msgspec.Struct, frozen=True, kw_only=True):
    """A device of a user that holds a connection."""

    id: Annotated[str, Meta(description="Its key without @user: u1_Android-d1")]
    user_id: str
    type: Annotated[str, Meta(description="What the client calls itself: Android")]
    state: Annotated[SessionState, Meta(description="What the client said last; init: nothing yet")]
    created_at: Instant
    updated_at: Annotated[
        float | None, Meta(description="When it came last, Unix seconds; null: not known")
    ]


class UserSessionsAnswer(msgspec.Struct, frozen=True):
    """A page of them."""

    items: list[UserSession]
    next: Next


class UserSessionChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a client says of itself."""

    state: Literal["active", "inactive"]
