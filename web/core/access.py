"""Who may do what: the credential of a request, weighed.

    Authorization: Bearer <access token>   a caller, in its realm, with its scopes
    Authorization: Bearer <ticket>         the holder of one key; also as parameter `token`

Without credentials in the configuration (auth.mode = "off", loopback only) everybody is at home: one
caller of the default realm who may do everything.
"""

import math

from appmodel.core.credentials import Caller, Credentials, Ticket
from appmodel.core.names import Key, parse_key
from appmodel.core.revocations import Revocations
from appmodel.errors import Forbidden, Unauthorized
from appmodel.protocol.http import Headers

HOME = Caller("home", "", frozenset({"admin"}), "", 0.0, math.inf)


class Access:
    """Answers for every listener of this node. `now` is Unix time in seconds."""

    def __init__(self, credentials: Credentials | None, revocations: Revocations) -> None:
        """`credentials` None: nobody is asked for one."""
        self._credentials = credentials
        self._revocations = revocations

    @property
    def home(self) -> bool:
        """Whether nobody is asked for a credential."""
        return self._credentials is None

    def caller(self, headers: Headers, scope: str, now: float, *, or_scope: str = "") -> Caller:
        """Who calls, if they may do `scope` (or `or_scope`).

        Raises:
            Unauthorized: no access token, or a bad one.
            Forbidden: its scopes do not cover this.
        """
        if self._credentials is None:
            return HOME
        caller = self._verified(self._credentials, bearer(headers), now)
        if isinstance(caller, Ticket):
            raise Unauthorized("Authorization: this is a ticket, and an access token is needed")
        if not caller.may(scope) and not (or_scope and caller.may(or_scope)):
            raise Forbidden(f"scope: the access token does not grant {scope!r}")
        return caller

    def readable_key(self, text: str, headers: Headers, ticket: str, now: float) -> Key:
        """The key called `text`, if its messages may be read: with its ticket, or with scope read.

        The realm comes from the credential: a caller cannot name a key of another one.

        Raises:
            BadInput: `text` is no key.
            Unauthorized: neither a ticket nor an access token, or a bad one.
            Forbidden: the ticket of another key, or a token without the scope.
        """
        if self._credentials is None:
            return parse_key(text)
        credential = self._verified(self._credentials, ticket or bearer(headers), now)
        if isinstance(credential, Ticket):
            key = parse_key(text, credential.key.realm)
            if key != credential.key:
                raise Forbidden(f"token: the ticket is for another key than {text!r}")
            return key
        if not credential.may("read"):
            raise Forbidden("scope: the access token does not grant 'read'")
        return parse_key(text, credential.realm)

    def _verified(self, credentials: Credentials, text: str, now: float) -> Ticket | Caller:
        credential = credentials.verify(text, now=now)
        if self._revocations.voids(credential):
            raise Unauthorized("credential: revoked")
        return credential


def bearer(headers: Headers) -> str:
    """The credential of the Authorization header; empty if there is none.

    Raises:
        Unauthorized: another scheme.
    """
    value = headers.get("authorization", "")
    if not value:
        return ""
    scheme, _, credential = value.partition(" ")
    if scheme.lower() != "bearer":
        raise Unauthorized('Authorization: expected "Bearer", then a credential')
    return credential.strip()
