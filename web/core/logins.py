"""Logins, as /v2 takes and answers them."""

from typing import Annotated

import msgspec
from msgspec import Meta

from web.core.users import User


class Login(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A name and its password."""

    name: Annotated[str, Meta(description="Login name or e-mail address")]
    password: str
    tenant_id: Annotated[
        str | None, Meta(description="Only a user of this one, if several have the name")
    ] = None
    device_id: Annotated[str, Meta(description="As in the device's session key")] = ""
    device_type: Annotated[str, Meta(description="iOS, Android, or whatever it is")] = ""


class LoginAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What lets the user call."""

    token: Annotated[str, Meta(description="Authorization: Bearer <token>")]
    expires_in: Annotated[float, Meta(description="Seconds without a call; each call begins anew")]
    user: User
