"""Whose credential a /v2 request carries: an operator's, an application's or a user's.

    Authorization: Bearer u1_019f86d0...           a user token: <uid>_ and 82 hexadecimal digits
    Authorization: Bearer eyJhb....eyJ....sig      an access token of the cluster: three parts, two dots
    Authorization: Bearer <anything else>          an application's token

Without credentials in the configuration (auth.mode = "off", loopback only) and without a bearer everybody
is the operator at home; who sends a user's or an application's token is that one at home too.
"""

import time

from appmodel.core.names import Key, parse_key
from appmodel.core.user_tokens import looks_like_token
from appmodel.errors import Forbidden
from appmodel.protocol.http import Headers
from web.core.access import Access, bearer
from web.core.principals import AppCaller, Authenticating, Operator, Principal, UserCaller


class Callers:
    """Answers for the parts of /v2."""

    def __init__(self, access: Access, authenticating: Authenticating) -> None:
        self._access = access
        self._authenticating = authenticating

    async def principal(self, headers: Headers, scope: str) -> Principal:
        """Who calls. `scope`: what an operator's access token must grant.

        Raises:
            Unauthorized: no credential, or a bad one.
            Forbidden: an access token without the scope.
            Unavailable: the database is away, and an access token would be needed to do without.
        """
        token = bearer(headers)
        if looks_like_token(token):
            return await self._authenticating.user(token)
        if not token or is_access_token(token):
            return Operator(self._access.caller(headers, scope, time.time()))
        return await self._authenticating.application(token)

    async def user(self, headers: Headers) -> UserCaller:
        """The user who calls.

        Raises:
            Unauthorized: no user token, or a bad one.
        """
        return await self._authenticating.user(bearer(headers))

    async def operator(self, headers: Headers) -> Operator:
        """The operator of the default realm who calls. Raises Forbidden for everybody else."""
        principal = await self.principal(headers, "admin")
        if not isinstance(principal, Operator) or principal.caller.realm:
            raise Forbidden("scope: this needs an access token with scope 'admin'")
        return principal

    async def readable_key(self, text: str, headers: Headers, token: str, now: float) -> Key:
        """The key called `text`, if its messages may be read.

        With its ticket, or an access token with scope read; a user's token reads his inbox and his sessions, an
        application's its own inbox. `token`: another place for the credential than the header.

        Raises:
            BadInput: `text` is no key.
            Unauthorized: no credential, or a bad one.
            Forbidden: the credential is for other keys.
            Unavailable: the database is away.
        """
        given = "" if self._access.home else token or bearer(headers)
        if not given or (is_access_token(given) and not looks_like_token(given)):
            return self._access.readable_key(text, headers, token, now)
        key = parse_key(text)
        if looks_like_token(given):
            check_own(await self._authenticating.user(given), key)
        else:
            check_own(await self._authenticating.application(given), key)
        return key


def check_own(principal: UserCaller | AppCaller, key: Key) -> None:
    """Raise Forbidden unless it is the caller's inbox, or one of a user's sessions."""
    if isinstance(principal, UserCaller):
        is_own = key.user == principal.uid
    else:
        is_own = key == Key("", principal.id, "app")
    if not is_own:
        raise Forbidden(f"token: the credential is for other keys than {str(key)!r}")


def is_access_token(text: str) -> bool:
    """Whether it has the form of a JWT: what it is worth is found out later."""
    return text.startswith("eyJ") and text.count(".") == 2
