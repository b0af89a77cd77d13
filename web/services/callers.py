"""Whose credential a /v2 request carries: an operator's, an application's or a user's.

    Authorization: Bearer eyJhb....eyJ....sig      an access token of the cluster: three parts, two dots
    Authorization: Bearer u1_9f86d0...             a user token: <uid>_<random>
    Authorization: Bearer <anything else>          an application's token

Without credentials in the configuration (auth.mode = "off", loopback only) and without a bearer everybody
is the operator at home; who sends a user's or an application's token is that one at home too.
"""

import time

from appmodel.errors import Forbidden, Unauthorized
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
        if not token or is_access_token(token):
            return Operator(self._access.caller(headers, scope, time.time()))
        if "_" in token:
            try:
                return await self._authenticating.user(token)
            except Unauthorized:
                pass
        return await self._authenticating.application(token)

    async def user(self, headers: Headers) -> UserCaller:
        """The user who calls.

        Raises:
            Unauthorized: no user token, or a bad one.
        """
        return await self._authenticating.user(bearer(headers))

    async def operator(self, headers: Headers) -> Operator:
        """The operator who calls. Raises Forbidden for everybody else."""
        principal = await self.principal(headers, "admin")
        if not isinstance(principal, Operator):
            raise Forbidden("scope: this needs an access token with scope 'admin'")
        return principal

    async def keeper(self, headers: Headers) -> Operator | AppCaller:
        """An operator or an application: whoever keeps a tenant's data. Raises Forbidden for users."""
        principal = await self.principal(headers, "admin")
        if isinstance(principal, UserCaller):
            raise Forbidden("credential: users may not do this")
        return principal


def is_access_token(text: str) -> bool:
    """Whether it has the form of a JWT: what it is worth is found out later."""
    return text.startswith("eyJ") and text.count(".") == 2
