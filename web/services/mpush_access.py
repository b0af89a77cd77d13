"""Who calls Mpush's HTTP side, by address and token: see core/mpush_tokens.py and core/mpush_tries.py."""

from time import monotonic

from appmodel.core.addresses import Addresses
from appmodel.core.mpush_auth import Bearer
from appmodel.core.mpush_tokens import EVERYTHING, Grant, Right
from appmodel.core.mpush_tries import TokenTries
from appmodel.errors import Unauthorized
from appmodel.protocol.http import Request


class MpushAccess:
    """The doorkeeper of the listener. Nothing waits."""

    def __init__(self, tries: TokenTries, addresses: Addresses) -> None:
        self._tries, self._addresses = tries, addresses

    def grant(self, request: Request, token: str) -> Grant:
        """What the caller's token allows.

        Raises:
            Unauthorized: there is none, or a bad one.
            LimitReached: too many wrong ones from where it comes from.
        """
        return self._tries.grant(token, self._addresses.origin_of(request), monotonic())

    def check(self, request: Request, token: str, right: Right) -> Grant:
        """The same, if `right` is not everybody's."""
        return EVERYTHING if self._tries.gate.is_open(right) else self.grant(request, token)

    def confirm_bearer(self, bearer: Bearer) -> None:
        """Raises Unauthorized: the token by which the device logged in is revoked."""
        if self._tries.gate.is_revoked(bearer.token_id, bearer.token_issued_at):
            raise Unauthorized("auth: the token that it was given for is revoked")
